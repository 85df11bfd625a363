"""Signals that end the process: the first asks, the second insists."""

from __future__ import annotations

import asyncio
import signal
from types import TracebackType
from typing import Self

ENDING = (signal.SIGTERM, signal.SIGINT)


class EndSignals:
    """While entered, SIGTERM and SIGINT set ``asked``; any further one cancels the task that entered.

    ``number`` is the signal that came last, 0 before the first.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = False
        self.number = 0
        self._owner: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._owner = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._came, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.remove_signal_handler(number)

    @property
    def name(self) -> str:
        """As people call the signal that came: "SIGTERM"."""
        return signal.Signals(self.number).name if self.number else ""

    @property
    def code(self) -> int:
        """What a shell reports for a process that this signal ended."""
        return 128 + self.number

    def ignore(self) -> None:
        """Cancel nobody any more: the end is on its way, and to break it off would leave something behind."""
        self._owner = None

    def _came(self, number: int) -> None:
        self.number = number
        if not self.asked.is_set():
            self.asked.set()
        elif not self.forced and self._owner is not None:
            self.forced = True
            self._owner.cancel()
