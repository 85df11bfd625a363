"""How far a stream may run ahead of whoever reads it: the compute thread waits here, and the event loop makes room.

Without it a model that is faster than its reader would fill the memory of worker or gateway. With it the model pauses
between two responses, for as long as the reader takes.
"""

from __future__ import annotations

import threading

from tidegate.runtimes.frames import Window


class Flow:
    """The responses of one stream that are sent and not read."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._changed = threading.Condition()
        self._unread: dict[int, int] = {}
        self._nbytes = 0
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Flow {state}, {len(self._unread)} responses, {self._nbytes} bytes unread>"

    def enter(self, number: int, nbytes: int) -> bool:
        """Wait until there is room for a response, and take it; False where the stream is to end instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(nbytes))
            if self._closed:
                return False
            self._unread[number] = nbytes
            self._nbytes += nbytes
            return True

    def acknowledge(self, number: int) -> None:
        """A response is read. One that is not known changes nothing."""
        with self._changed:
            self._nbytes -= self._unread.pop(number, 0)
            self._changed.notify()

    def close(self) -> None:
        """Nobody reads any more: whoever waits, waits no longer."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _has_room(self, nbytes: int) -> bool:
        if not self._unread:
            return True
        return len(self._unread) < self._window.responses and self._nbytes + nbytes <= self._window.nbytes
