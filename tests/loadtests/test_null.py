"""The null server answers what its wire formats allow, however the bytes are cut."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from grpclib.client import Channel, UnaryUnaryMethod
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, PingAckReceived, ResponseReceived, StreamEnded, TrailersReceived
from hypothesis import given
from hypothesis import strategies as st

from tidegate.client.grpc_calls import SERVICE
from tidegate.client.grpc_transport import Bytes
from tidegate.loadtests.connections import GrpcConnection, HttpConnection
from tidegate.loadtests.null import ANSWER, METADATA, NullHttp, grpc_answers
from tidegate.loadtests.null_grpc import NullGrpc
from tidegate.loadtests.payload import http_message
from tidegate.protocol import documents, grpc, rest
from tidegate.protocol.limits import DEFAULT_LIMITS

CALL = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", f"{SERVICE}ModelInfer"),
    (":authority", "x"),
    ("te", "trailers"),
)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


def connected(protocol: asyncio.Protocol) -> Wire:
    wire = Wire()
    protocol.connection_made(cast(asyncio.Transport, wire))
    return wire


def feed(protocol: asyncio.Protocol, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        protocol.data_received(data[start : start + size])


@given(size=st.integers(1, 200), calls=st.integers(1, 4), padding=st.sampled_from([None, 0, 7]))
def test_every_call_has_its_answer(size: int, calls: int, padding: int | None) -> None:
    """Each call of a real HTTP/2 client gets status, message and trailers, whatever the cuts and the padding."""
    _, answer = grpc_answers()
    server = NullGrpc(b"metadata", answer)
    wire = connected(server)
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    for number in range(calls):
        stream = 2 * number + 1
        client.send_headers(stream, CALL)
        client.send_data(stream, b"\0\0\0\0\2hi", end_stream=True, pad_length=padding)
    client.ping(b"12345678")
    feed(server, client.data_to_send(), size)
    events: list[Any] = client.receive_data(bytes(wire.written))
    kinds = [type(event) for event in events]
    assert kinds.count(StreamEnded) == kinds.count(TrailersReceived) == calls
    [status, form] = next(event.headers for event in events if isinstance(event, ResponseReceived))
    assert (status, form) == ((b":status", b"200"), (b"content-type", b"application/grpc"))
    assert next(event.headers for event in events if isinstance(event, TrailersReceived)) == [(b"grpc-status", b"0")]
    got = {bytes(event.data) for event in events if isinstance(event, DataReceived)}
    assert got == {b"\0" + len(answer).to_bytes(4) + answer}
    assert kinds.count(PingAckReceived) == 1


@given(size=st.integers(1, 200))
def test_http_answers_in_turn(size: int) -> None:
    """Two requests, cut anywhere, have two answers; GET tells the signature."""
    server = NullHttp()
    wire = connected(server)
    message = b"GET /v2/models/m HTTP/1.1\r\nhost: x\r\n\r\n" + http_message("http://x", "m", b"{}", None)
    feed(server, message, size)
    first, second = bytes(wire.written).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert documents.decode_model_metadata(first.partition(b"\r\n\r\n")[2]) == METADATA
    assert (
        rest.decode_response(second.partition(b"\r\n\r\n")[2], None, limits=DEFAULT_LIMITS).model_name
        == ANSWER["model_name"]
    )


def test_what_is_not_http_is_closed() -> None:
    """A load client that is pointed at the wrong port sees its connection end."""
    server = NullHttp()
    wire = connected(server)
    server.data_received(b"\x16\x03\x01\x00\x00\r\n\r\n")
    assert wire.closed


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_the_load_client_takes_its_answers(kind: str) -> None:
    """Both kinds of connection see a success, again on the same connection."""

    async def main() -> list[str]:
        made = NullHttp if kind == "http" else lambda: NullGrpc(*grpc_answers())
        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection: HttpConnection | GrpcConnection
        if kind == "http":
            connection = HttpConnection("127.0.0.1", port, http_message("http://x", "m", b"{}", None))
        else:
            connection = GrpcConnection("127.0.0.1", port, b"")
        try:
            return [await connection.ask(), await connection.ask()]
        finally:
            connection.close()
            server.close()

    assert asyncio.run(main()) == (["200"] * 2 if kind == "http" else ["OK"] * 2)


def test_the_signature_is_told_over_grpc() -> None:
    """A connection whose first call is ModelMetadata is told it."""

    async def main() -> bytes:
        server = await asyncio.get_running_loop().create_server(lambda: NullGrpc(*grpc_answers()), "127.0.0.1", 0)
        channel = Channel("127.0.0.1", server.sockets[0].getsockname()[1], codec=Bytes())
        try:
            ask = UnaryUnaryMethod(channel, SERVICE + "ModelMetadata", bytes, bytes)
            return bytes(await ask(grpc.encode_model_request("m", "")))
        finally:
            channel.close()
            server.close()

    told = grpc.decode_model_metadata(asyncio.run(main()))
    assert told.inputs == METADATA.inputs
