"""Callers that were refused, and come back when the server told them to: its Retry-After is a promise to be held to."""

from __future__ import annotations

import asyncio
import time

import msgspec

from tidegate.loadtests.connections import HttpConnection

REFUSED = "503"
EVERY, EVERY_AT_LAST = 20, 4
"""Of so many refused one comes back: few, as they are a load of their own; more of the last, when it is nearly over."""
LAST = 1.0
"""Seconds before the end that are "the last"."""


class Refused(msgspec.Struct, frozen=True):
    """``wait`` is what Retry-After said, in seconds; None where it was not there or is no number."""

    wait: float | None


class Return(msgspec.Struct, frozen=True):
    """What a caller that came back was answered with, and whether the overload still lasted."""

    status: str
    during: bool


class RefusedConnection(HttpConnection):
    """Tells ``refusals`` of each answer 503 and its Retry-After."""

    def __init__(self, host: str, port: int, message: bytes, refusals: Refusals) -> None:
        super().__init__(host, port, message)
        self._refusals = refusals
        self._wait: float | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._wait = float(value) if value.isdigit() else None

    async def ask(self) -> str:
        self._wait = None
        status = await super().ask()
        if status == REFUSED:
            self._refusals.add(self._wait)
        return status


class Refusals:
    """All refusals of one overload that lasts until ``end`` of the clock, and the callers that come back."""

    def __init__(self, host: str, port: int, message: bytes, end: float) -> None:
        self.refused: list[Refused] = []
        self.returns: list[Return] = []
        self._address = (host, port, message)
        self._end = end
        self._clock = time.perf_counter
        self._coming: set[asyncio.Task[None]] = set()

    def connection(self) -> HttpConnection:
        """One for the first asking."""
        return RefusedConnection(*self._address, self)

    def add(self, wait: float | None) -> None:
        """Note a refusal; some of them come back."""
        self.refused.append(Refused(wait))
        every = EVERY_AT_LAST if self._clock() > self._end - LAST else EVERY
        if wait is not None and len(self.refused) % every == 0:
            task = asyncio.get_running_loop().create_task(self._return(wait))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def settle(self) -> None:
        """Wait for all that are still to come back."""
        while self._coming:
            await asyncio.gather(*self._coming)

    async def _return(self, wait: float) -> None:
        await asyncio.sleep(wait)
        during = self._clock() < self._end
        connection = HttpConnection(*self._address)
        try:
            status = await connection.ask()
        except OSError as error:
            status = type(error).__name__
        finally:
            connection.close()
        self.returns.append(Return(status, during))
