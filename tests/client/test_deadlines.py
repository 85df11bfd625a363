"""Time and retries on real connections, by both faces of the client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tidegate.client import ConnectionLost, RetryPolicy, ServerUnreachable
from tidegate.protocol.errors import DeadlineExceeded, InternalError, InvalidResponse, Unavailable

ROW = {"x": np.ones((1, 1), np.float32)}
FINE = b'{"model_name": "m", "outputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}'
AT_ONCE = RetryPolicy(initial_backoff=0.0)


def told(head: str) -> int:
    """The milliseconds that a request tells."""
    return next(int(line.split(": ")[1]) for line in head.splitlines() if line.startswith("x-request-timeout-ms"))


def test_a_refusal_for_a_while_is_asked_again(face: Any, scripted: Any, answer: Any) -> None:
    """Over the same connection, and with the time that is left."""
    server = scripted(answer(503, b'{"error": "busy"}', retry_after="0"), answer(200, FINE))
    result = face(server.url, retries=AT_ONCE).infer("m", ROW, timeout=20.0)
    assert result.outputs["x"].tolist() == [[1.0]]
    first, second = (told(head) for head, _ in server.requests)
    assert 0 < second <= first <= 20_000
    assert server.connections == 1


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(face: Any, scripted: Any, answer: Any) -> None:
    """The error is known now, with the time that the server asks for."""
    server = scripted(answer(503, b'{"error": "busy"}', retry_after="7"))
    with pytest.raises(Unavailable, match=r"^busy$") as caught:
        face(server.url).infer("m", ROW, timeout=5.0)
    assert caught.value.retry_after == 7.0
    assert len(server.requests) == 1


def test_a_connection_that_breaks_is_tried_again(face: Any, scripted: Any, answer: Any) -> None:
    """A model may be asked twice."""
    server = scripted(None, answer(200, FINE))
    assert face(server.url, retries=AT_ONCE).infer("m", ROW).outputs["x"].tolist() == [[1.0]]
    assert server.connections == 2


def test_it_is_not_where_nothing_may_be_executed_twice(face: Any, scripted: Any) -> None:
    """The caller decides."""
    server = scripted(None)
    with pytest.raises(ConnectionLost):
        face(server.url, retries=RetryPolicy(idempotent=False)).infer("m", ROW)
    with pytest.raises(ConnectionLost):
        face(server.url).load_model("m")
    assert len(server.requests) == 2


def test_nobody_listens(face: Any) -> None:
    """Over either protocol the address is named, after the last attempt."""
    for url, shown in (("http://127.0.0.1:1", "http://127.0.0.1:1"), ("grpc://127.0.0.1:1", "127.0.0.1:1")):
        with pytest.raises(ServerUnreachable) as caught:
            face(url, retries=AT_ONCE).infer("m", ROW)
        assert not isinstance(caught.value, ConnectionLost)
        assert caught.value.message.startswith(f"{shown} is not reachable")


def test_a_server_that_says_nothing_ends_with_the_deadline(face: Any, scripted: Any, answer: Any) -> None:
    """In the client's own words: there are none of the server's."""
    server = scripted(answer(200), b"")
    client = face(server.url, grace=0.0)
    assert client.server_live()  # so that the connection is there, and only the answer takes time
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.1 s"):
        client.infer("m", ROW, timeout=0.1)


def test_a_grpc_server_that_says_nothing_ends_with_the_deadline(face: Any, scripted: Any) -> None:
    """As over HTTP."""
    server = scripted(b"")
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.1 s"):
        face(server.url.replace("http", "grpc"), grace=0.0).infer("m", ROW, timeout=0.1)


@pytest.fixture
def dripping(scripted: Callable[..., Any], answer: Any) -> Iterator[Any]:
    """A server whose second answer never ends: a byte now and then, each in time for a patience per byte."""
    server = scripted(answer(200), b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.01):
            for connection, _ in list(server.open) if len(server.requests) > 1 else []:
                try:
                    connection.sendall(b" ")
                except OSError:
                    continue

    thread = threading.Thread(target=drip)
    thread.start()
    yield server
    ended.set()
    thread.join()


def test_a_server_that_drips_ends_with_the_deadline(face: Any, dripping: Any) -> None:
    """One time bounds the whole call, however often a byte arrives."""
    client = face(dripping.url, grace=0.0)
    assert client.server_live()
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.2 s"):
        client.infer("m", ROW, timeout=0.2)


def test_an_answer_that_is_not_v2_is_shown_by_its_status(face: Any, scripted: Any, answer: Any) -> None:
    """The page of a proxy in between."""
    server = scripted(answer(508, b"<html>"))
    with pytest.raises(InternalError, match="the server answered 508 Whatever"):
        face(server.url).server_metadata()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        pytest.param({"body": b"[]"}, "the body: expected an object", id="no-object"),
        pytest.param({"body": FINE, "inference_header_content_length": "many"}, "is 'many'", id="length"),
        pytest.param({"body": FINE, "content_encoding": "gzip"}, "its compression is broken", id="compression"),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_said_to(
    face: Any, scripted: Any, answer: Any, reply: dict[str, Any], problem: str
) -> None:
    """Asking again would not mend it."""
    server = scripted(answer(200, **reply))
    with pytest.raises(InvalidResponse, match="the server's answer is not valid") as caught:
        face(server.url).infer("m", ROW)
    assert problem in caught.value.message
    assert len(server.requests) == 1


def test_an_answer_beyond_the_limit_is_not_read(face: Any, scripted: Any, answer: Any) -> None:
    """The client's memory is not the server's to fill."""
    from tidegate.protocol.limits import Limits

    server = scripted(answer(200, b" " * 2000))
    with pytest.raises(InvalidResponse, match="it has more than 1000 bytes"):
        face(server.url, limits=Limits(max_inflated_bytes=1000)).infer("m", ROW)
