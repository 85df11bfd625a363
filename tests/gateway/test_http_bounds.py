"""What a connection may hold and how long it may take: no client makes the server wait or grow without end."""

from __future__ import annotations

import gzip
import logging
import os
from contextlib import suppress

import psutil
import pytest

from tidegate.gateway.dataplane import GatewaySettings
from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.limits import Limits
from tidegate.testing.backends import identity_route
from tidegate.testing.requests import BODY, head, infer, json_length, plain
from tidegate.testing.served import RawConnection, Served, served

MIB = 1 << 20
ENDLESS = 128 * MIB
"""What an endless client sends at most, so that the test ends even where the bound does not hold."""
GENEROUS = 64 * MIB
"""What the process may grow by while it refuses ENDLESS bytes: half of them is a bound that does not hold."""


def grown(connection: RawConnection, first: bytes, piece: bytes) -> int:
    """Send ``first`` and then ``piece`` without end; by how much the process (both ends live in it) grew meanwhile."""
    process = psutil.Process(os.getpid())
    before = most = process.memory_info().rss
    with suppress(OSError):  # the server hangs up, as it should
        connection.socket.sendall(first)
        for _ in range(ENDLESS // len(piece)):
            connection.socket.sendall(piece)
            most = max(most, process.memory_info().rss)
    return most - before


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        pytest.param(b"GET /v2 HTTP/1.1\r\nA: ", b"x" * MIB, id="header-value"),
        pytest.param(b"GET /v2 HTTP/1.1\r\n", b"x" * MIB, id="header-name"),
        pytest.param(b"GET /v2 HTTP/1.1\r\n", b"A: b\r\n" * 10_000, id="header-lines"),
        pytest.param(b"GET /", b"x" * MIB, id="target"),
        pytest.param(b"", b"\r\n" * 10_000, id="empty-lines-before-the-request"),
        pytest.param(head(b"Transfer-Encoding: chunked") + b"3;", b"x" * MIB, id="chunk-extension"),
        pytest.param(head(b"Transfer-Encoding: chunked") + b"0\r\nA: ", b"x" * MIB, id="trailer"),
        pytest.param(head(b"Transfer-Encoding: chunked"), b"10000\r\n" + bytes(65536) + b"\r\n", id="chunks"),
        pytest.param(head(b"Content-Length: 1099511627776"), bytes(MIB), id="announced-body"),
        pytest.param(
            head(b"Transfer-Encoding: chunked", path=b"/nope"), b"10000\r\n" + bytes(65536) + b"\r\n", id="unwanted"
        ),
        pytest.param(b"", plain(b"GET", b"/v2") * 1000, id="pipelined-requests-without-reading"),
    ],
)
def test_an_endless_request_holds_bounded_memory(first: bytes, piece: bytes) -> None:
    """Whatever never ends is refused before it fills the memory, and others are answered."""
    limits = Limits(max_body_bytes=MIB)
    http = HttpSettings(linger=0.05, write_timeout=0.5)
    with served(identity_route("m"), gateway=GatewaySettings("0", limits=limits), http=http) as server:
        with server.connect() as connection:
            assert grown(connection, first, piece) < GENEROUS
        assert server.ask(plain(b"GET", b"/v2/health/live")).status == 200


def test_all_bodies_together_are_bounded() -> None:
    """A request that would take more memory than the server gives to all is asked to come back."""
    http = HttpSettings(max_receiving_bytes=1000, linger=0.05)
    with served(identity_route("m"), http=http) as server, server.connect() as first:
        first.send(head(b"Content-Length: 950"), b" " * 900)
        server.until(lambda: server.state == "1 connections, 1 requests")
        answers = [server.ask(infer(BODY + b" " * 100)) for _ in range(2)]
        assert [answer.status for answer in answers] == [503, 503]
        assert answers[0].error == "requests of 900 bytes are being received, there is no room now"
        assert answers[0].headers["retry-after"] == "1"
        first.send(b" " * 50)
        assert first.reply().status == 400
        assert server.ask(infer(BODY + b" " * 100)).status == 200


def test_what_a_body_is_inflated_to_counts() -> None:
    """Else a kilobyte could take a megabyte, as often as connections are allowed."""
    body = gzip.compress(BODY + b" " * 1000)
    with served(identity_route("m"), http=HttpSettings(max_receiving_bytes=1000)) as server:
        assert server.ask(infer(body, b"Content-Encoding: gzip")).status == 503
        assert server.ask(infer(gzip.compress(BODY), b"Content-Encoding: gzip")).status == 200


def test_an_answer_that_waits_leaves_less_room() -> None:
    """What a slow client has not taken counts: requests to come are refused, until it has."""
    size = 8 * MIB
    text = b'{"inputs":[{"name":"bool","datatype":"BOOL","shape":[1,%d],"parameters":{"binary_data_size":%d}}]' % (
        size,
        size,
    )
    text += b',"parameters":{"binary_data_output":true}}'
    http = HttpSettings(max_receiving_bytes=9 * MIB)
    with served(identity_route("m", Datatype.BOOL), http=http) as server, server.connect() as slow:
        slow.send(infer(text + bytes(size), json_length(text)))
        server.until(lambda: counted(server, 200) == 1)
        assert server.ask(infer(b" " * 2 * MIB)).status == 503
        assert slow.reply().status == 200
        server.until(lambda: server.state.endswith(" 0 requests"))
        assert server.ask(infer(b" " * 2 * MIB)).status == 400


def counted(server: Served, code: int) -> float:
    labels = {"model": "m", "version": "1", "protocol": "http", "code": str(code)}
    return server.plane.metrics.registry.get_sample_value("tidegate_requests_total", labels) or 0


def test_a_caller_that_does_not_take_its_answer_is_dropped() -> None:
    """An answer that nobody reads is not kept for ever."""
    numbers = b"1," * 2_000_000 + b"1"
    body = b'{"inputs":[{"name":"fp32","datatype":"FP32","shape":[1,2000001],"data":[%s]}]}' % numbers
    with served(identity_route("m"), http=HttpSettings(write_timeout=0.05)) as server, server.connect() as connection:
        connection.send(infer(body))
        server.until(lambda: server.plane.traffic(server.plane.routes.resolve("m")).rows == 1)
        server.until(lambda: server.state == "0 connections, 0 requests")


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        pytest.param(b"GET /v2 HTT", "headers", id="request-line"),
        pytest.param(b"GET /v2 HTTP/1.1\r\nA: b\r\n", "headers", id="header-lines"),
        pytest.param(b"\r\n", "headers", id="an-empty-line"),
        pytest.param(infer(BODY)[:-1], "body", id="body"),
        pytest.param(head(b"Transfer-Encoding: chunked") + b"3\r\nabc", "body", id="chunk"),
        pytest.param(head(b"Content-Length: 9", path=b"/nope") + b"half", "body", id="unwanted-body"),
    ],
)
def test_a_request_that_stops_on_its_way_is_refused(sent: bytes, part: str) -> None:
    """Half a request does not hold a connection: it is told 408, and closed."""
    http = HttpSettings(header_timeout=0.05, body_timeout=0.05, linger=0.05)
    with served(identity_route("m"), http=http) as server, server.connect() as connection:
        connection.send(sent)
        answer = connection.reply()
        assert (answer.status, answer.error) == (408, f"the request's {part} did not arrive within 0.05 s")
        assert answer.closes
        assert connection.ended()


def test_a_request_that_trickles_is_refused() -> None:
    """The clock runs from the first byte, and no further byte sets it back (slowloris)."""
    http = HttpSettings(header_timeout=0.2, linger=0.05)
    with served(identity_route("m"), http=http) as server, server.connect() as connection:
        connection.send(b"GET /v2 HTTP/1.1\r\n")
        connection.socket.settimeout(0.01)
        for _ in range(1000):
            connection.send(b"A: b\r\n")
            try:
                connection._unread += connection.socket.recv(65536)
                break
            except TimeoutError:
                continue
        connection.socket.settimeout(20)
        assert connection.reply().status == 408


def test_a_connection_that_says_nothing_is_closed() -> None:
    """Who never asks gets no answer, and no connection either."""
    with (
        served(identity_route("m"), http=HttpSettings(header_timeout=0.05)) as server,
        server.connect() as connection,
    ):
        assert connection.ended()
        server.until(lambda: server.state == "0 connections, 0 requests")


def test_a_kept_connection_has_the_same_time_for_its_next_request() -> None:
    """The clock starts anew with the first byte of each request."""
    http = HttpSettings(header_timeout=0.05, linger=0.05)
    with served(identity_route("m"), http=http) as server, server.connect() as connection:
        connection.send(infer(BODY))
        assert connection.reply().status == 200
        connection.send(b"GET /v2 ")
        assert connection.reply().status == 408


def test_one_connection_too_many_is_told_so() -> None:
    """Beyond the limit a connection is answered 503 and closed; when another one goes there is room again."""
    with served(identity_route("m"), http=HttpSettings(max_connections=1, linger=0.05)) as server:
        with server.connect() as first:
            first.send(infer(BODY))
            assert first.reply().status == 200
            with server.connect() as second:
                answer = second.reply()
                assert (answer.status, answer.error) == (503, "the server has reached its limit of 1 connections")
                assert answer.headers["retry-after"] == "1"
                assert second.ended()
            first.send(infer(BODY))
            assert first.reply().status == 200
        server.until(lambda: server.state.startswith("0 connections"))
        assert server.ask(infer(BODY)).status == 200


def test_too_many_waiting_requests_end_the_connection() -> None:
    """Who pipelines without reading gets the answers begun, and no more are queued for it."""
    with served(identity_route("m"), http=HttpSettings(linger=0.05)) as server, server.connect() as connection:
        connection.send(infer(BODY) * 40)
        statuses: list[int] = []
        with suppress(ConnectionError):
            statuses += (connection.reply().status for _ in range(40))
        assert 1 <= len(statuses) < 40
        assert set(statuses) == {200}


def test_large_headers_with_a_large_body_are_counted_apart() -> None:
    """A head below its limit passes, though more than the limit arrives with it in one piece."""
    limits = Limits(max_header_bytes=1024)
    numbers = b"1," * 10_000 + b"1"
    body = b'{"inputs":[{"name":"fp32","datatype":"FP32","shape":[1,10001],"data":[%s]}]}' % numbers
    with served(identity_route("m"), gateway=GatewaySettings("0", limits=limits)) as server:
        assert server.ask(infer(body, b"A: " + b"x" * 800)).status == 200
        assert server.ask(infer(body, b"A: " + b"x" * 1000)).status == 431


def test_nothing_is_logged_of_a_clients_faults(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody fills the log from outside."""
    with caplog.at_level(logging.DEBUG), served(identity_route("m"), http=HttpSettings(linger=0.05)) as server:
        server.ask(b"nonsense\r\n\r\n")
        server.ask(head(b"Connection: Upgrade", b"Upgrade: websocket", method=b"GET", path=b"/v2"))
        server.ask(infer(b"nonsense"))
        server.ask(head(b"Transfer-Encoding: chunked") + b"zz\r\n")
        server.ask(head(b"Content-Length: 99999999"))
        server.until(lambda: server.state == "0 connections, 0 requests")
    assert [record for record in caplog.records if record.name != "asyncio"] == []
