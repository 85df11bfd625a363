"""The refused come back when they were told to, and what becomes of them is counted."""

from __future__ import annotations

import asyncio
import itertools
import math
from typing import cast

import httptools

from tidegate.loadtests.load import Load
from tidegate.loadtests.payload import http_message
from tidegate.loadtests.returns import EVERY, Refusals

MESSAGE = http_message("http://x", "m", b"{}", None)


class Server(asyncio.Protocol):
    """One connection. ``refuses`` tells whether all its requests are refused."""

    def __init__(self, refuses: bool) -> None:
        self._refuses = refuses
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        line = b"503 Service Unavailable\r\nretry-after: 0" if self._refuses else b"200 OK"
        self._transport.write(b"HTTP/1.1 " + line + b"\r\ncontent-length: 0\r\n\r\n")


def ran(requests: int, end: float, *, refused: bool = True) -> Refusals:
    """A closed loop of one connection, the first that the server sees; who comes back has another."""

    async def main() -> Refusals:
        numbers = itertools.count()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Server(refused and next(numbers) == 0), "127.0.0.1", 0)
        refusals = Refusals("127.0.0.1", server.sockets[0].getsockname()[1], MESSAGE, end)
        await Load([refusals.connection()], None, None, requests).run()
        await refusals.settle()
        server.close()
        return refusals

    return asyncio.run(main())


def test_some_come_back_and_get_in() -> None:
    """Every twentieth returns by itself, and the wait that it was told is kept with each refusal."""
    refusals = ran(EVERY + 2, end=math.inf)
    assert [one.wait for one in refusals.refused] == [0.0] * (EVERY + 2)
    assert [(one.status, one.during) for one in refusals.returns] == [("200", True)]


def test_later_is_told_apart() -> None:
    """Those that come back once the overload is over are no competitors, and more of them are sent."""
    refusals = ran(EVERY, end=0.0)
    assert [(one.status, one.during) for one in refusals.returns] == [("200", False)] * 5


def test_good_answers_are_no_refusals() -> None:
    """Without a refusal nobody comes back."""
    refusals = ran(3, end=math.inf, refused=False)
    assert (refusals.refused, refusals.returns) == ([], [])
