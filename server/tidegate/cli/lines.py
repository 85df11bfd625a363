"""Lines to a descriptor that may be a pipe nobody reads: whoever has something to say never waits for it.

A thread writes them, and what it has not written yet is bounded: of more, the oldest are dropped, and their number is
said in their place. To make the descriptor non-blocking lost: that holds for everybody who shares it, shells included.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

MOST = 10_000
"""Lines that wait at most, a few megabytes: the start of a server of some thousand models is among them."""
LAST_WORDS = 1.0
"""Seconds that a reader has at the end to take what is left."""


class Lines:
    """Writes lines in order. ``lost`` makes the line that stands for so many that were dropped."""

    def __init__(self, descriptor: int, lost: Callable[[int], bytes], most: int = MOST) -> None:
        self._descriptor = descriptor
        self._lost = lost
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._changed = threading.Condition()
        self._ending = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Lines {len(self._waiting)} waiting, {self._dropped} dropped>"

    def say(self, line: bytes) -> None:
        """Have a line written, without its end; it returns at once."""
        with self._changed:
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="lines", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, patience: float = LAST_WORDS) -> None:
        """Wait until all is written, for so many seconds; a reader who takes nothing keeps nobody from leaving."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(patience)

    def _write_all(self) -> None:
        while (line := self._next()) is not None:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:  # the reader has read enough and left (`| head -1`), which does not end the server
                self._discard()
                return

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return self._lost(dropped) + b"\n"
            return self._waiting.popleft() + b"\n" if self._waiting else None

    def _discard(self) -> None:
        with self._changed:
            self._most = 1
            self._waiting.clear()
