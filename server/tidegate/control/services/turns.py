"""A queue per object: an object that is asked for is looked at once, and again if it was asked for meanwhile.

Never twice at the same time, so many objects at once, and one that fails is tried again after a pause that grows,
whatever becomes of the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from tidegate.control.services.settings import ServiceSettings
from tidegate.protocol.errors import ShuttingDown, TidegateError

log = logging.getLogger(__name__)
_TICK = 0.001
"""Seconds; the loop's timers know whole milliseconds, and one that is rounded down would come too early."""


class Name(NamedTuple):
    """What is looked at as one: the services of a name in a namespace, of whatever kind."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"service {self.namespace}/{self.name}"


K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """``K`` is what objects are told apart by, and its ``str`` is what people read.

    Everything is called in one event loop. It owns a task per object that is being looked at, and its timers.
    """

    def __init__(self, look: Callable[[K], Awaitable[None]], settings: ServiceSettings) -> None:
        self._look = look
        self._settings = settings
        self._room = asyncio.Semaphore(settings.at_once)
        self._asked: set[K] = set()
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._closed = False

    def ask(self, name: K) -> None:
        """Have it looked at, once whatever happens in this turn of the loop has happened."""
        if self._closed:
            return
        self._asked.add(name)
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._serve(name), name=f"look at {name}")

    def ask_in(self, name: K, seconds: float | None) -> None:
        """Have it looked at then, in the place of what was said before; None for not by itself."""
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        if seconds is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timers[name] = loop.call_later(max(seconds, 0.0) + _TICK, self._due, name)

    async def idle(self) -> None:
        """Return once nobody is being looked at."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def stop(self) -> None:
        """End every look, wherever it is."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _due(self, name: K) -> None:
        del self._timers[name]
        self.ask(name)

    async def _serve(self, name: K) -> None:
        try:
            while name in self._asked:
                async with self._room:
                    self._asked.discard(name)
                    pause = await self._tried(name)
                if pause:
                    self.ask_in(name, pause)
        finally:
            del self._tasks[name]

    async def _tried(self, name: K) -> float:
        """Look once. Returns the seconds after which to try again; 0 where it went well."""
        try:
            await self._look(name)
        except ShuttingDown:
            return 0.0
        except TidegateError as error:
            log.warning("%s: %s", name, error.message)
        except Exception:
            log.exception("unexpected error while %s was looked at", name)
        else:
            self._failures.pop(name, None)
            return 0.0
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        return self._settings.pause(failures)
