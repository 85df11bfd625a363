"""One connection and the requests on it: kept, pipelined, chunked, expected, upgraded, closed."""

from __future__ import annotations

import json

from tidegate.gateway.http.settings import HttpSettings
from tidegate.testing.backends import identity_route
from tidegate.testing.requests import BODY, INFER, infer
from tidegate.testing.served import served


def test_a_connection_is_kept_after_an_error() -> None:
    """An error whose body was read whole costs the caller no new connection."""
    with served(identity_route("m")) as server, server.connect() as connection:
        connection.send(infer(b"nonsense"))
        assert connection.reply().status == 400
        connection.send(infer(BODY, path=b"/v2/models/other/infer"))
        assert connection.reply().status == 404
        connection.send(infer(BODY))
        assert connection.reply().status == 200


def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent without waiting get their own answers, the first one first."""
    with served(identity_route("m")) as server, server.connect() as connection:
        names = ["a", "b", "c"]
        bodies = [json.dumps({**json.loads(BODY), "id": name}).encode() for name in names]
        connection.send(b"".join(map(infer, bodies)))
        assert [json.loads(connection.reply().body)["id"] for _ in names] == names


def test_http_1_0_is_answered_and_closed() -> None:
    """A client of HTTP/1.0 gets its answer and the end of the connection."""
    with served(identity_route("m")) as server, server.connect() as connection:
        connection.send(b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (INFER, len(BODY), BODY))
        answer = connection.reply()
        assert (answer.status, answer.closes) == (200, True)
        assert connection.ended()


def test_a_chunked_body_is_read() -> None:
    """A body may come in chunks of any size, with extensions and trailers, which say nothing."""
    chunks = b"".join(b"%x;a=b\r\n%c\r\n" % (1, byte) for byte in BODY)
    head = b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % INFER
    trailer = b"Inference-Header-Content-Length: 3\r\nContent-Encoding: gzip\r\n\r\n"
    with served(identity_route("m")) as server:
        for piece in (head + chunks + b"0\r\n" + trailer,), (head, chunks, b"0\r\n", trailer):
            assert server.ask(*piece).status == 200


def test_a_caller_may_wait_for_100_continue() -> None:
    """Expect: 100-continue is granted once the body is wanted."""
    with served(identity_route("m")) as server, server.connect() as connection:
        head, body = infer(BODY, b"Expect: 100-continue").split(b"\r\n\r\n")
        connection.send(head + b"\r\n\r\n")
        assert connection.reply().status == 100
        connection.send(body)
        assert connection.reply().status == 200


def test_a_body_that_is_not_wanted_gets_no_100_continue() -> None:
    """An unknown model is told before the body is sent, and the connection ends, because the body may still come."""
    with served(identity_route("m"), http=HttpSettings(linger=0.0)) as server, server.connect() as connection:
        head = infer(BODY, b"Expect: 100-continue", path=b"/v2/models/other/infer").split(b"\r\n\r\n")[0]
        connection.send(head + b"\r\n\r\n")
        answer = connection.reply()
        assert (answer.status, answer.closes) == (404, True)
        assert connection.ended()


def test_an_upgrade_is_ignored() -> None:
    """A request that offers another protocol is answered in this one, and so is the next on the same connection."""
    with served(identity_route("m")) as server, server.connect() as connection:
        connection.send(b"GET /v2 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", infer(BODY))
        assert [connection.reply().status, connection.reply().status] == [200, 200]


def test_an_idle_connection_is_closed_after_its_time() -> None:
    """A kept connection on which nothing comes is closed without a word."""
    with served(identity_route("m"), http=HttpSettings(keep_alive_timeout=0)) as server, server.connect() as one:
        one.send(infer(BODY))
        assert one.reply().status == 200
        assert one.ended()
