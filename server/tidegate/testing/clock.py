"""An event loop whose time is virtual: where nothing is ready it jumps to the next timer instead of waiting.

Code under test reads the loop's own clock, so a minute of back-off takes no time and every deadline comes exactly.
For code without sockets and processes: what waits for another process would be jumped over. There are no threads
either: what would run in one is done at once, and told ``blocking`` seconds later.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at time 0. ``blocking`` is how many seconds everything takes that is given to a thread."""

    def __init__(self) -> None:
        self._now = 0.0
        self.blocking = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass without a turn of the loop."""
        self._now += seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call it now, and tell its result later."""
        told: asyncio.Future[T] = self.create_future()
        tell: Callable[[], None]
        try:
            tell = partial(told.set_result, func(*args))
        except Exception as error:
            tell = partial(told.set_exception, error)
        self.call_later(self.blocking, lambda: None if told.done() else tell())
        return told


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # Nothing is scheduled and nothing is ready: in virtual time nothing can ever happen again.
            raise RuntimeError("every task waits for something that will never come")
        self._loop.advance(timeout)
        return []


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Like ``asyncio.run``, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
