"""What ends a worker that can no longer run any Python at all.

A model that holds the interpreter's lock for ever (a loop in C) stops every thread of its process, the lifeline
among them; while the gateway lives it kills such a worker, but a gateway that is gone cannot. faulthandler's timer is
a thread in C that needs no lock: it prints where every thread stands, and exits. It runs only while a model computes,
and the event loop sets it back; so it fires when the event loop has had no turn for the whole time.
"""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import Callable


class Watchdog:
    """``timeout`` in seconds. ``busy`` tells whether the worker still has work."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float, busy: Callable[[], bool]) -> None:
        self._loop = loop
        self._timeout = timeout
        self._busy = busy
        self._armed = False

    def wake(self) -> None:
        """There is work. Costs an attribute while it is awake already."""
        if not self._armed:
            self._armed = True
            self._arm()

    def _arm(self) -> None:
        faulthandler.dump_traceback_later(self._timeout, exit=True)
        self._loop.call_later(self._timeout / 3, self._look)

    def _look(self) -> None:
        if self._busy():
            self._arm()
        else:
            faulthandler.cancel_dump_traceback_later()
            self._armed = False
