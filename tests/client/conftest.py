"""Both faces of the client behind one way of asking, and servers that are not ours."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any

import pytest

from tidegate.client import AsyncClient, Client, ClientSettings

PATIENCE = 20.0
"""Seconds after which a test that waits is hanging; nothing is measured by it."""


class Face:
    """A client of either kind. Its calls are the client's, and give what they give."""

    def __init__(self, kind: str, url: str, settings: ClientSettings) -> None:
        self._runner = asyncio.Runner() if kind == "async" else None
        self._client: Any = AsyncClient(url, settings) if self._runner else Client(url, settings)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)
        runner = self._runner
        return call if runner is None else lambda *words, **named: runner.run(call(*words, **named))

    def stream(self, *words: Any, **named: Any) -> Generator[Any, None, None]:
        """The results one by one; closing it closes the client's own iterator."""
        results = self._client.stream(*words, **named)
        runner = self._runner
        return results if runner is None else _driven(results, runner)

    def end(self) -> None:
        self.close()
        if self._runner is not None:
            self._runner.close()


def _driven(results: AsyncGenerator[Any, None], runner: asyncio.Runner) -> Generator[Any, None, None]:
    async def following() -> Any:
        return await anext(results, None)

    async def closed() -> None:
        await results.aclose()

    try:
        while (result := runner.run(following())) is not None:
            yield result
    finally:
        runner.run(closed())


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Iterator[Callable[..., Face]]:
    """Makes a client of a URL, with fields of its settings: a blocking one, and one for asyncio."""
    with ExitStack() as opened:

        def make(url: str, **fields: Any) -> Face:
            made = Face(request.param, url, ClientSettings(**fields))
            opened.callback(made.end)
            return made

        yield make


class Scripted:
    """An HTTP server that gives one reply after the other, the last for ever; None hangs up instead of replying.

    ``requests`` are what it was sent, heads in lower case; ``connections`` how many there were.
    """

    def __init__(self, replies: Sequence[bytes | None]) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.connections = 0
        self._replies = list(replies)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.open: list[tuple[socket.socket, threading.Thread]] = []
        self._thread = threading.Thread(target=self._accept, name="scripted", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        for connection, thread in self.open:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), name="scripted connection", daemon=True)
            self.open.append((connection, thread))
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:  # until the client hangs up
            while head := _head(stream):
                length = next((int(v) for n, _, v in _fields(head) if n == "content-length"), 0)
                self.requests.append((head, stream.read(length)))
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                if reply is None:
                    return
                connection.sendall(reply)


def _head(stream: IO[bytes]) -> str:
    """The head of the next request, "" at the end of the connection."""
    lines: list[bytes] = []
    while (line := stream.readline()) not in (b"", b"\r\n"):
        lines.append(line)
    return b"".join(lines).decode("latin-1").lower()


def _fields(head: str) -> list[tuple[str, str, str]]:
    return [line.strip().partition(": ") for line in head.splitlines()[1:]]


def reply(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """An HTTP answer, byte by byte."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Starts an HTTP server with these replies."""
    with ExitStack() as started:

        def start(*replies: bytes | None) -> Scripted:
            server = Scripted(replies)
            started.callback(server.close)
            return server

        yield start


@pytest.fixture
def answer() -> Callable[..., bytes]:
    """See ``reply``."""
    return reply
