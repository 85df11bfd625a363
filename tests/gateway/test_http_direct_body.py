"""Large bodies, which are received past the parser: nothing of it shows, whatever happens on their way."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import uvloop

from tidegate.gateway.http.direct_body import SMALLEST
from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.testing.backends import identity_route
from tidegate.testing.requests import BODY, head, infer, json_length
from tidegate.testing.served import RawReply, Served, served

ROWS = 3
ROUTE = identity_route("m", Datatype.UINT8)

both_loops = pytest.mark.parametrize(
    "new_loop", [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
)
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def large(number: int, size: int = 4 * SMALLEST) -> tuple[bytes, bytes]:
    """A request of about ``size`` bytes, different for each number, and the bytes that come back."""
    columns = size // ROWS
    content = np.random.default_rng(number).integers(0, 256, ROWS * columns, np.uint8).tobytes()
    text = (
        b'{"inputs":[{"name":"uint8","datatype":"UINT8","shape":[%d,%d],"parameters":{"binary_data_size":%d}}],'
        b'"parameters":{"binary_data_output":true}}' % (ROWS, columns, len(content))
    )
    return infer(text + content, json_length(text)), content


def content_of(reply: RawReply) -> bytes:
    assert reply.status == 200, reply.body[:200]
    return reply.body[int(reply.headers["inference-header-content-length"]) :]


@both_loops
def test_large_and_small_requests_share_a_connection(new_loop: NewLoop) -> None:
    """The parser takes over again where the large body ends."""
    with served(ROUTE, new_loop=new_loop) as server, server.connect() as connection:
        for number in range(6):
            request, content = large(number, size=SMALLEST * (1 + 7 * (number % 2)))
            connection.send(request)
            assert content_of(connection.reply()) == content
            connection.send(infer(BODY))
            assert connection.reply().status in (200, 400)


@both_loops
def test_requests_that_follow_a_large_one_at_once_are_answered(new_loop: NewLoop) -> None:
    """What comes behind a large body in the same packets is no part of it."""
    made = [large(number) for number in range(3)]
    with served(ROUTE, new_loop=new_loop) as server, server.connect() as connection:
        connection.send(b"".join(request for request, _ in made) + infer(BODY))
        for _, content in made:
            assert content_of(connection.reply()) == content
        assert connection.reply().status in (200, 400)


@both_loops
def test_a_large_body_arrives_in_any_pieces(new_loop: NewLoop) -> None:
    """Each piece comes when the one before it has been taken."""
    request, content = large(1)
    end = request.index(b"\r\n\r\n") + 4
    with served(ROUTE, new_loop=new_loop) as server, server.connect() as connection:
        for piece in (request[: end - 2], request[end - 2 : end + 1], request[end + 1 : -70_001], request[-70_001:-1]):
            connection.send(piece)
            server.do(lambda: None)
        connection.send(request[-1:])
        assert content_of(connection.reply()) == content


@both_loops
def test_a_caller_that_leaves_in_between_leaves_nothing(new_loop: NewLoop) -> None:
    """Its request ends, and its connection is gone."""
    request, content = large(1)
    with served(ROUTE, new_loop=new_loop) as server:
        with server.connect() as connection:
            connection.send(request[:-1])
            server.until(lambda: server.state == "1 connections, 1 requests")
        server.until(lambda: server.state == "0 connections, 0 requests")
        assert content_of(server.ask(request)) == content


@both_loops
def test_a_large_body_that_stops_on_its_way_is_refused(new_loop: NewLoop) -> None:
    """The time for a body holds for every way of receiving it."""
    http = HttpSettings(body_timeout=0.1, linger=0.05)
    with served(ROUTE, http=http, new_loop=new_loop) as server, server.connect() as connection:
        connection.send(large(1)[0][:-1])
        answer = connection.reply()
        assert (answer.status, answer.error) == (408, "the request's body did not arrive within 0.1 s")
        assert answer.closes
        assert connection.ended()


@both_loops
def test_what_has_arrived_of_a_large_body_is_counted(new_loop: NewLoop) -> None:
    """All bodies together keep to their bound, and one over it is refused as soon as it is."""
    http = HttpSettings(max_receiving_bytes=5 * SMALLEST, linger=0.05)
    request, content = large(1)
    with served(ROUTE, http=http, new_loop=new_loop) as server, server.connect() as first:
        first.send(request[: 3 * SMALLEST])
        refused = next(reply for reply in asked_again_and_again(server, request) if reply.status != 200)
        assert refused.status == 503
        assert refused.error.endswith("bytes are being received, there is no room now")
        first.send(request[3 * SMALLEST :])
        assert content_of(first.reply()) == content
        assert content_of(server.ask(request)) == content


def asked_again_and_again(server: Served, request: bytes) -> Iterator[RawReply]:
    """Until what another client has sent before has been read by the server, whenever that is."""
    for _ in range(1000):
        yield server.ask(request)


@both_loops
def test_compressed_and_announced_bodies_are_large_ones_too(new_loop: NewLoop) -> None:
    """What is inflated is the body, and a caller that asks first is told to go on."""
    request, content = large(1)
    lines, _, body = request.partition(b"\r\n\r\n")
    length = next(line for line in lines.split(b"\r\n") if line.lower().startswith(b"inference-header"))
    packed = gzip.compress(body)
    assert len(packed) > SMALLEST
    with served(ROUTE, new_loop=new_loop) as server, server.connect() as connection:
        connection.send(infer(packed, length, b"Content-Encoding: gzip"))
        assert content_of(connection.reply()) == content
        connection.send(head(b"Content-Length: %d" % len(body), length, b"Expect: 100-continue"))
        assert connection._read_to(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        connection.send(body)
        assert content_of(connection.reply()) == content
