"""What ends a worker that can no longer run any Python at all.

A model that holds the interpreter's lock for ever (a loop in C) stops every thread of its process, the lifeline
among them; while the gateway lives it kills such a worker, but a gateway that is gone cannot. faulthandler's timer is
a thread in C that needs no lock: it prints where every thread stands, and exits. It runs only while there is work, and
the event loop sets it back; so it fires when the event loop has had no turn for the whole time.
"""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import Callable


class Watchdog:
    """``patience`` tells how many seconds what the worker does now may hold the lock; 0 while it has no work."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: Callable[[], float]) -> None:
        self._loop = loop
        self._patience = patience
        self._armed = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There is work. Costs next to nothing while it is awake already."""
        if self._patience() != self._armed:
            self._look()

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed = self._patience()
        if self._armed:
            faulthandler.dump_traceback_later(self._armed, exit=True)
            self._timer = self._loop.call_later(self._armed / 3, self._look)
        else:
            faulthandler.cancel_dump_traceback_later()
