"""A data plane served over HTTP by a thread with an event loop of its own, and a client that speaks in raw bytes.

So that a test can use blocking clients against real sockets: ::

    with served(identity_route("m")) as server:
        httpx.get(f"{server.url}/v2/models/m")
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any, Protocol, TypeVar

import msgspec

from tidegate.gateway.access import Access
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.http.server import HttpServer
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.http.status import StatusServer
from tidegate.gateway.repository import ModelRepository
from tidegate.gateway.routes import Route, RouteTable
from tidegate.gateway.services import Service
from tidegate.telemetry.metrics import Metrics

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which a test that waits is hanging; nothing is measured by it."""


class Listening(Protocol):
    @property
    def port(self) -> int: ...
    async def start(self) -> None: ...
    async def stop(self, grace: float) -> None: ...


class Served:
    """A running server. ``run`` does something in its event loop, ``until`` waits for something there."""

    def __init__(self, plane: DataPlane, listener: Listening, loop: asyncio.AbstractEventLoop) -> None:
        self.plane = plane
        self.listener = listener
        self._loop = loop

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> str:
        """What the listener says of itself: "2 connections, 1 requests"."""
        return repr(self.listener).partition(", ")[2].rstrip(">")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.begin(work).result(PATIENCE)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start something in the server's event loop without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, act: Callable[[], T]) -> T:
        """Call a function in the server's thread."""

        async def work() -> T:
            return act()

        return self.run(work())

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, as the server's event loop sees it."""

        async def wait() -> None:
            async with asyncio.timeout(PATIENCE):
                while not condition():  # noqa: ASYNC110 - the condition is any, so nothing could set an event
                    await asyncio.sleep(0)

        self.run(wait())

    def connect(self) -> RawConnection:
        return RawConnection(self.port)

    def ask(self, *pieces: bytes) -> RawReply:
        """Send raw bytes on a new connection and read one reply."""
        with self.connect() as connection:
            connection.send(*pieces)
            return connection.reply()


class RawReply(msgspec.Struct, frozen=True):
    """One HTTP response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The text of an error in v2's form."""
        return msgspec.json.decode(self.body, type=dict[str, str])["error"]

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class RawConnection:
    """A client's connection on which any bytes can be sent."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._unread = b""

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send pieces one after the other; a server that has hung up is found out by ``reply``."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            return

    def reply(self, *, head: bool = False) -> RawReply:
        """Read one response; ``head`` tells that it answers HEAD and has no body.

        Raises:
            ConnectionError: the server closed before the response was complete.
        """
        text = self._read_to(b"\r\n\r\n").decode("latin-1")
        first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if head else int(headers.get("content-length", "0"))
        while len(self._unread) < length:
            self._receive()
        body, self._unread = self._unread[:length], self._unread[length:]
        return RawReply(int(first.split(" ")[1]), headers, body)

    def ended(self) -> bool:
        """Wait for the server's next act: True if it closed the connection, False if it sent more."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def _read_to(self, end: bytes) -> bytes:
        while end not in self._unread:
            self._receive()
        position = self._unread.index(end) + len(end)
        head, self._unread = self._unread[:position], self._unread[position:]
        return head

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"the server closed the connection; unread: {self._unread!r}")
        self._unread += data


@contextmanager
def served(
    *routes: Route,
    services: Sequence[Service] = (),
    http: HttpSettings | None = None,
    gateway: GatewaySettings | None = None,
    status: bool = False,
    access: Access | None = None,
    repository: ModelRepository | None = None,
    tls: SSLContext | None = None,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> Iterator[Served]:
    """Serve routes on a free port of 127.0.0.1; with ``status`` it is the status port that listens."""
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever, name="served")
    thread.start()
    settings = msgspec.structs.replace(http or HttpSettings(), port=0)

    async def start() -> Served:
        plane = DataPlane(RouteTable.of(*routes, services=services), Metrics("0"), gateway or GatewaySettings("0"))
        plane.access, plane.repository = access, repository
        server = StatusServer(plane, settings) if status else HttpServer(plane, settings, tls)
        await server.start()
        return Served(plane, server, loop)

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE)
        try:
            yield server
        finally:
            server.run(server.listener.stop(0.0))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
