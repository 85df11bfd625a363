"""Waiting until a number that only grows has passed another: how those who follow the log of occurrences are woken."""

from __future__ import annotations

import asyncio

from tidegate.protocol.errors import TidegateError


class Pulse:
    """All of it happens in one event loop."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._end: TidegateError | None = None
        self._changed = asyncio.Event()

    def beat(self, number: int) -> None:
        """It is this now."""
        self.number = max(self.number, number)
        self._wake()

    def close(self, error: TidegateError) -> None:
        """End all who wait, and who come later."""
        self._end = error
        self._wake()

    async def beyond(self, number: int) -> None:
        """Return once it is above a number; at once if it is."""
        while self.number <= number:
            if self._end is not None:
                raise self._end
            await self._changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
