"""Attacks on the gRPC port, frame by frame: after each the server answers others, and holds no more memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import psutil
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol.errors import GrpcStatus
from tidegate.testing.backends import identity_route
from tidegate.testing.served import Served
from tidegate.testing.served_grpc import PREFACE, RawHttp2, data, framed, many, raw_frame, served_grpc

MIB = 1 << 20
GROWTH = 64 * MIB
"""Bytes by which the process may grow in one attack: far below what any of them would take unbounded."""

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 1, 3, 5, 6
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served_grpc(identity_route("m")) as running:
        yield running


def alive(server: Served) -> None:
    """A fresh client is answered."""
    with RawHttp2(server.port) as client:
        reply = client.call(1)
        assert (reply.status, reply.body) == (GrpcStatus.OK, framed(b"\x08\x01"))


def rapid_reset(client: RawHttp2, times: int) -> list[bytes]:
    return [
        client.headers(1 + 2 * n).serialize() + RstStreamFrame(1 + 2 * n, error_code=8).serialize()
        for n in range(times)
    ]


def header_bomb(client: RawHttp2) -> bytes:
    """A kilobyte in the dynamic table, and then four thousand references to it of one byte each."""
    block = client.encoder.encode([("x", "y" * 3000)])
    return bytes(HeadersFrame(1, block + b"\xbe" * 12_000, flags=["END_HEADERS"]).serialize())


def continuations(client: RawHttp2) -> list[bytes]:
    start = HeadersFrame(1, client.encoder.encode([(":method", "POST")])).serialize()
    return [start, many(ContinuationFrame(1, b""), 10_000)]


# Each sends its frames on a connection that has greeted properly; the server then closes with this code.
FATAL: list[object] = [
    pytest.param(lambda c: raw_frame(0, 0, 0, b"x"), PROTOCOL_ERROR, id="DATA on stream 0"),
    pytest.param(lambda c: data(1, b"x"), PROTOCOL_ERROR, id="DATA on an idle stream"),
    pytest.param(lambda c: raw_frame(1, 4, 0, b"\x82"), PROTOCOL_ERROR, id="HEADERS on stream 0"),
    pytest.param(lambda c: c.headers(2), PROTOCOL_ERROR, id="HEADERS on an even stream"),
    pytest.param(lambda c: [c.headers(5), c.headers(3)], PROTOCOL_ERROR, id="HEADERS on a lower stream"),
    pytest.param(lambda c: raw_frame(0, 0, 1, b"", length=1 << 20), FRAME_SIZE_ERROR, id="oversized frame"),
    pytest.param(lambda c: raw_frame(6, 0, 0, b"1234567"), FRAME_SIZE_ERROR, id="PING of seven bytes"),
    pytest.param(lambda c: raw_frame(4, 0, 0, b"12345"), FRAME_SIZE_ERROR, id="SETTINGS of five bytes"),
    pytest.param(lambda c: raw_frame(4, 0, 1, b""), PROTOCOL_ERROR, id="SETTINGS on a stream"),
    pytest.param(
        lambda c: raw_frame(4, 0, 0, b"\x00\x04\xff\xff\xff\xff"), FLOW_CONTROL_ERROR, id="SETTINGS window overflow"
    ),
    pytest.param(
        lambda c: raw_frame(4, 0, 0, b"\x00\x05\x00\x00\x00\x01"), PROTOCOL_ERROR, id="SETTINGS frame size of one"
    ),
    pytest.param(lambda c: raw_frame(8, 0, 0, bytes(4)), PROTOCOL_ERROR, id="WINDOW_UPDATE of 0"),
    pytest.param(
        lambda c: many(WindowUpdateFrame(0, window_increment=2**31 - 1), 2),
        FLOW_CONTROL_ERROR,
        id="WINDOW_UPDATE overflow",
    ),
    pytest.param(lambda c: raw_frame(3, 0, 0, bytes(4)), PROTOCOL_ERROR, id="RST_STREAM on stream 0"),
    pytest.param(lambda c: RstStreamFrame(1), PROTOCOL_ERROR, id="RST_STREAM on an idle stream"),
    pytest.param(lambda c: ContinuationFrame(1, b"\x82"), PROTOCOL_ERROR, id="CONTINUATION without HEADERS"),
    pytest.param(lambda c: [HeadersFrame(1, b"\x82"), PingFrame(0)], PROTOCOL_ERROR, id="PING inside a header block"),
    pytest.param(
        lambda c: PushPromiseFrame(1, promised_stream_id=2, data=b"\x82", flags=["END_HEADERS"]),
        PROTOCOL_ERROR,
        id="PUSH_PROMISE from a client",
    ),
    pytest.param(
        lambda c: HeadersFrame(1, b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"]),
        PROTOCOL_ERROR,
        id="HPACK garbage",
    ),
    pytest.param(
        lambda c: HeadersFrame(1, b"\xbe", flags=["END_HEADERS"]), PROTOCOL_ERROR, id="HPACK index out of range"
    ),
    pytest.param(header_bomb, ENHANCE_YOUR_CALM, id="HPACK bomb"),
    pytest.param(lambda c: [c.headers(1, {f"x-{n}": "y" * 4000 for n in range(20)})], None, id="huge header list"),
    pytest.param(continuations, PROTOCOL_ERROR, id="CONTINUATION flood"),
    pytest.param(
        lambda c: [HeadersFrame(1, b""), many(ContinuationFrame(1, bytes(100_000)), 3)],
        FRAME_SIZE_ERROR,
        id="CONTINUATION of big frames",
    ),
    pytest.param(lambda c: many(PingFrame(0, b"12345678"), 10_000), ENHANCE_YOUR_CALM, id="PING flood"),
    pytest.param(lambda c: many(SettingsFrame(0), 10_000), ENHANCE_YOUR_CALM, id="SETTINGS flood"),
    pytest.param(
        lambda c: many(WindowUpdateFrame(0, window_increment=1), 10_000), ENHANCE_YOUR_CALM, id="WINDOW_UPDATE flood"
    ),
    pytest.param(lambda c: many(PriorityFrame(1, depends_on=3), 10_000), ENHANCE_YOUR_CALM, id="PRIORITY flood"),
    pytest.param(lambda c: rapid_reset(c, 10_000), ENHANCE_YOUR_CALM, id="rapid reset"),
    pytest.param(lambda c: [c.headers(1), many(DataFrame(1), 10_000)], ENHANCE_YOUR_CALM, id="empty DATA flood"),
    pytest.param(lambda c: [c.headers(1 + 2 * n) for n in range(4000)], ENHANCE_YOUR_CALM, id="streams without an end"),
]


def sent(client: RawHttp2, attack: Callable[[RawHttp2], object]) -> None:
    frames = attack(client)
    client.send(*(frames if isinstance(frames, list) else [frames]))


@pytest.mark.parametrize(("attack", "code"), FATAL)
def test_an_attack_ends_its_connection_only(
    server: Served, attack: Callable[[RawHttp2], object], code: int | None
) -> None:
    """The connection is closed with the code that names the offence; others are answered, and nothing is left."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    with RawHttp2(server.port) as client:
        sent(client, attack)
        if code is None:
            reply = client.reply(1)
            assert reply.status is GrpcStatus.INVALID_ARGUMENT
        else:
            assert client.end() == code
    alive(server)
    server.until(lambda: server.state == "0 connections, 0 calls")
    assert process.memory_info().rss - before < GROWTH


HARMLESS: list[object] = [
    pytest.param(lambda c: raw_frame(0x42, 0, 0, b"whatever"), id="a frame of an unknown type"),
    pytest.param(lambda c: raw_frame(0x42, 0xFF, 7, b"whatever"), id="an unknown frame on an idle stream"),
    pytest.param(lambda c: raw_frame(4, 0, 0, b"\xab\xcd\x00\x00\x00\x07"), id="an unknown setting"),
    pytest.param(lambda c: many(PingFrame(0), 100), id="a hundred PINGs"),
    pytest.param(lambda c: many(WindowUpdateFrame(0, window_increment=1), 100), id="a hundred WINDOW_UPDATEs"),
    pytest.param(lambda c: rapid_reset(c, 200), id="two hundred cancelled calls"),
    pytest.param(lambda c: raw_frame(2, 0, 9, b"\x00\x00\x00\x00\x10"), id="PRIORITY on an idle stream"),
    pytest.param(
        lambda c: raw_frame(1, 4 | 8, 1001, b"\x05" + c.headers(1).serialize()[9:] + bytes(5)), id="padded HEADERS"
    ),
]


@pytest.mark.parametrize("odd", HARMLESS)
def test_what_the_protocol_allows_is_borne(server: Served, odd: Callable[[RawHttp2], object]) -> None:
    """The same connection goes on to be answered."""
    with RawHttp2(server.port) as client:
        sent(client, odd)
        assert client.call(9001).status is GrpcStatus.OK
    alive(server)


BEFORE_GREETING = [
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP/1"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", id="bad preface"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="TLS"),
    pytest.param(bytes(range(256)) * 64, id="garbage"),
    pytest.param(PREFACE + b"\xff" * 4096, id="garbage after the preface"),
    pytest.param(PREFACE + raw_frame(0, 0, 1, b"x"), id="DATA before SETTINGS"),
]


@pytest.mark.parametrize("opening", BEFORE_GREETING)
def test_what_is_no_http2_is_hung_up_on(server: Served, opening: bytes) -> None:
    """Another protocol on the port, or garbage, is not waited for."""
    with RawHttp2(server.port, greet=False) as client:
        client.send(opening)
        client.end()
    server.until(lambda: server.state == "0 connections, 0 calls")
    alive(server)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(PREFACE[:10], id="inside the preface"),
        pytest.param(PREFACE + SettingsFrame(0).serialize()[:5], id="inside a frame's head"),
        pytest.param(PREFACE + SettingsFrame(0).serialize() + raw_frame(1, 4, 1, b"\x82", 500), id="inside a frame"),
    ],
)
def test_a_connection_cut_short_leaves_nothing(server: Served, cut: bytes) -> None:
    """A client that dies in the middle of a frame is forgotten."""
    with RawHttp2(server.port, greet=False) as client:
        client.send(cut)
        server.until(lambda: server.state == "1 connections, 0 calls")
    server.until(lambda: server.state == "0 connections, 0 calls")
    alive(server)


def test_a_client_that_says_goodbye_is_let_go(server: Served) -> None:
    """GOAWAY ends the connection and the call that was still open on it."""
    with RawHttp2(server.port) as client:
        client.send(client.headers(1))
        server.until(lambda: server.state == "1 connections, 1 calls")
        client.send(GoAwayFrame(0))
        client.end()
    server.until(lambda: server.state == "0 connections, 0 calls")
    alive(server)


def test_a_header_block_may_be_continued(server: Served) -> None:
    """Metadata over several CONTINUATION frames is read as one."""
    with RawHttp2(server.port) as client:
        block = client.headers(1).serialize()[9:]
        client.send(HeadersFrame(1, block[:3]), ContinuationFrame(1, block[3:9]))
        client.send(ContinuationFrame(1, block[9:], flags=["END_HEADERS"]), data(1, framed(b""), end=True))
        assert client.reply(1).status is GrpcStatus.OK


def test_a_message_may_come_in_single_bytes(server: Served) -> None:
    """Prefix and message are put together from whatever pieces arrive."""
    with RawHttp2(server.port) as client:
        message = framed(b"\x0a\x01m")
        client.send(client.headers(1, {":path": "/inference.GRPCInferenceService/ModelReady"}))
        for index in range(len(message)):
            client.send(data(1, message[index : index + 1], end=index == len(message) - 1))
        assert client.reply(1).body == framed(b"\x08\x01")


def test_hpack_is_stateful_and_shared(server: Served) -> None:
    """A refused call's headers still enter the table that later calls refer to."""
    with RawHttp2(server.port) as client:
        assert client.call(1, changed={":path": "/x", "x-kept": "v"}).status is GrpcStatus.UNIMPLEMENTED
        assert client.call(3, changed={"x-kept": "v"}).status is GrpcStatus.OK


frames = st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40))


@settings(max_examples=150, deadline=None)
@given(sequence=st.lists(frames, max_size=12), greet=st.booleans())
def test_arbitrary_frames_do_no_harm(server: Served, sequence: list[tuple[int, int, int, bytes]], greet: bool) -> None:
    """Whatever frames come in whatever order, the server goes on, and keeps nothing of the connection."""
    with RawHttp2(server.port, greet=greet) as client:
        client.send(*(raw_frame(*frame) for frame in sequence))
        with RawHttp2(server.port) as other:
            assert other.call(1).status is GrpcStatus.OK
    server.until(lambda: server.state == "0 connections, 0 calls")
