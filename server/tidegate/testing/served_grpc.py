"""A data plane served over gRPC by a thread with an event loop of its own, and a client that speaks in raw frames."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ssl import SSLContext
from urllib.parse import unquote

import msgspec
from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tidegate.gateway.access import Access
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.grpc.server import GrpcServer, GrpcSettings
from tidegate.gateway.repository import ModelRepository
from tidegate.gateway.routes import Route, RouteTable
from tidegate.gateway.services import Service
from tidegate.protocol.errors import GrpcStatus
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.served import PATIENCE, Served

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LIVE = "/inference.GRPCInferenceService/ServerLive"


class GrpcReply(msgspec.Struct, frozen=True):
    """One answer: everything that its header blocks hold, names in lower case, and the bytes of its DATA frames."""

    headers: dict[str, str]
    body: bytes
    reset: int | None = None
    """The code of the RST_STREAM that ended it instead of trailers."""

    @property
    def status(self) -> GrpcStatus:
        return GrpcStatus(int(self.headers["grpc-status"]))

    @property
    def text(self) -> str:
        return unquote(self.headers.get("grpc-message", ""))


class RawHttp2:
    """A client's HTTP/2 connection on which any frames can be sent; with ``greet`` it begins as the protocol asks.

    ``receives`` is how many bytes its socket takes before somebody reads them; 0 leaves that to the system. It is said
    before it connects: a buffer that shrinks afterwards drops what its own window had allowed, acknowledgements with
    it, and what is sent then waits for retransmissions, each twice as long as the one before.
    """

    def __init__(self, port: int, *, greet: bool = True, receives: int = 0) -> None:
        self.socket = socket.socket()
        if receives:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._unread = b""
        if greet:
            # Windows of a gigabyte, so that no answer waits for this client to open them.
            window = {SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 30}
            self.send(PREFACE, SettingsFrame(0, settings=window), WindowUpdateFrame(0, window_increment=1 << 30))

    def __enter__(self) -> RawHttp2:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: Frame | bytes) -> None:
        """Send frames or bytes; a server that has hung up is found out by ``reply``."""
        data = b"".join(piece if isinstance(piece, bytes) else piece.serialize() for piece in pieces)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def headers(self, stream: int, changed: dict[str, str | bytes | None] | None = None, *, end: bool = False) -> Frame:
        """The HEADERS frame of a ServerLive call, its headers ``changed``; None leaves one out."""
        found: dict[str, str | bytes | None] = {
            ":method": "POST",
            ":scheme": "http",
            ":path": LIVE,
            ":authority": "x",
            "content-type": "application/grpc",
            "te": "trailers",
            **(changed or {}),
        }
        block = self.encoder.encode([(name, value) for name, value in found.items() if value is not None])
        return HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"])

    def call(
        self, stream: int, message: bytes = b"", changed: dict[str, str | bytes | None] | None = None
    ) -> GrpcReply:
        """A whole call with one message, and its answer."""
        self.send(self.headers(stream, changed), data(stream, framed(message), end=True))
        return self.reply(stream)

    def reply(self, stream: int) -> GrpcReply:
        """Read to the end of a stream.

        Raises:
            ConnectionError: the server closed before.
        """
        headers: dict[str, str] = {}
        body = b""
        while True:
            frame = self.frame()
            if isinstance(frame, HeadersFrame):
                block = self._decoder.decode(frame.data)
                if frame.stream_id == stream:
                    headers.update((str(name), str(value)) for name, value in block)
            elif isinstance(frame, DataFrame) and frame.stream_id == stream:
                body += frame.data
            elif isinstance(frame, RstStreamFrame) and frame.stream_id == stream:
                return GrpcReply(headers, body, frame.error_code)
            if frame.stream_id == stream and "END_STREAM" in frame.flags:
                return GrpcReply(headers, body)

    def frame(self) -> Frame:
        """Read one frame.

        Raises:
            ConnectionError: the server closed the connection.
        """
        self._fill(9)
        frame, length = Frame.parse_frame_header(memoryview(self._unread[:9]))
        self._fill(9 + length)
        frame.parse_body(memoryview(self._unread[9 : 9 + length]))
        self._unread = self._unread[9 + length :]
        return frame

    def end(self) -> int | None:
        """Read until the server closes: the code of its GOAWAY, None if it sent none."""
        code: int | None = None
        while True:
            try:
                frame = self.frame()
            except ConnectionError:
                return code
            if isinstance(frame, GoAwayFrame):
                code = frame.error_code

    def _fill(self, size: int) -> None:
        while len(self._unread) < size:
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("the server closed the connection")
            self._unread += received


def framed(message: bytes, flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix, which may lie."""
    return bytes([flag]) + (len(message) if length is None else length).to_bytes(4, "big") + message


def data(stream: int, content: bytes, *, end: bool = False) -> Frame:
    return DataFrame(stream, content, flags=["END_STREAM"] if end else [])


def raw_frame(kind: int, flags: int, stream: int, body: bytes, length: int | None = None) -> bytes:
    """A frame byte by byte, whatever the protocol says of it."""
    size = len(body) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def many(frame: Frame, times: int) -> bytes:
    return bytes(frame.serialize()) * times


@contextmanager
def served_grpc(
    *routes: Route,
    services: Sequence[Service] = (),
    grpc: GrpcSettings | None = None,
    gateway: GatewaySettings | None = None,
    access: Access | None = None,
    repository: ModelRepository | None = None,
    tls: SSLContext | None = None,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> Iterator[Served]:
    """Serve routes over gRPC on a free port of 127.0.0.1."""
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever, name="served")
    thread.start()
    settings = msgspec.structs.replace(grpc or GrpcSettings(), port=0)

    async def start(routes: Sequence[Route]) -> Served:
        plane = DataPlane(RouteTable.of(*routes, services=services), Metrics("0"), gateway or GatewaySettings("0"))
        plane.access, plane.repository = access, repository
        server = GrpcServer(plane, settings, tls)
        await server.start()
        return Served(plane, server, loop)

    try:
        server = asyncio.run_coroutine_threadsafe(start(routes), loop).result(PATIENCE)
        try:
            yield server
        finally:
            server.run(server.listener.stop(0.0))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
