"""The task that empties the outbox: each channel in its order, several channels side by side, until it is stopped.

It sleeps until something is told or the next attempt is due; an empty outbox costs nothing. A message leaves the outbox
once the channel has taken it, and the time between the two is one write of the store: a process that is killed within
it sends the message once more after its restart. Otherwise each is sent once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from tidegate.control.notifications.courier import Courier
from tidegate.control.notifications.outcome import Fate, Outcome, pause
from tidegate.control.notifications.settings import NotificationSettings
from tidegate.protocol.errors import ShuttingDown
from tidegate.resources.channel import sort_of
from tidegate.resources.store import Outbox, Store, Unsent

log = logging.getLogger(__name__)
T = TypeVar("T")
Counted = Callable[[str, str], None]
"""Is told the sort of channel and what became of an attempt: delivered, retried or failed."""


class Sender:
    """``clock`` gives seconds since 1970, ``chance`` numbers from 0 to 1. ``start`` it in an event loop."""

    def __init__(
        self,
        store: Store,
        courier: Courier,
        settings: NotificationSettings,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        counted: Counted = lambda sort, outcome: None,
    ) -> None:
        self._store = store
        self._courier = courier
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._counted = counted
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._settled: set[int] = set()
        """Numbers of those that were settled since the look began: what it brings of them is of before."""
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Sender, {len(self._sending)} lanes under way>"

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="notifications")
        self._task.add_done_callback(_ended)

    async def stop(self) -> None:
        """Begin nothing more, and let end what is being sent, for a bounded time. It may be called again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._sending:
            await asyncio.wait(self._sending.values(), timeout=self._settings.stop_grace)
        self.kill()
        if self._sending:
            await asyncio.wait(self._sending.values())

    def kill(self) -> None:
        """Break off what is being sent; ``stop`` is still to be awaited."""
        for task in (self._task, *self._sending.values()):
            if task is not None:
                task.cancel()

    async def _run(self) -> None:
        with suppress(ShuttingDown):
            while True:
                self._settled.clear()
                outbox = await self._patiently(self._look)
                for unsent in outbox.due:
                    if unsent.lane not in self._sending and self._has_room and unsent.number not in self._settled:
                        self._begin(unsent)
                if not self._settled:  # else it is not known when the next is due
                    await self._change(outbox)

    @property
    def _has_room(self) -> bool:
        return len(self._sending) < self._settings.concurrent

    def _look(self) -> Awaitable[Outbox]:
        # What is being sent is due as well, and comes first: it must not hide what is behind it.
        return self._store.outbox(self._clock(), self._settings.concurrent + len(self._sending))

    async def _change(self, outbox: Outbox) -> None:
        """Return when there may be something else to do than what was looked at."""
        waited: set[asyncio.Future[None]] = set(self._sending.values())
        told = asyncio.ensure_future(self._store.told_after(outbox.position))
        timeout = None if outbox.then is None else max(0.001, outbox.then - self._clock())
        try:
            if self._has_room:
                waited.add(told)
            await asyncio.wait(waited, timeout=timeout if self._has_room else None, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                told.result()
        finally:
            told.cancel()

    def _begin(self, unsent: Unsent) -> None:
        task = asyncio.create_task(self._settle(unsent), name=f"notification {unsent.number}")
        self._sending[unsent.lane] = task

        def ended(task: asyncio.Task[None]) -> None:
            del self._sending[unsent.lane]
            self._settled.add(unsent.number)
            _ended(task)

        task.add_done_callback(ended)

    async def _settle(self, unsent: Unsent) -> None:
        """Send one, and write what became of it; that is tried until it is done, or it would be sent again."""
        outcome = await self._attempt(unsent)
        store, number = self._store, unsent.number
        now = self._clock()
        with suppress(ShuttingDown):
            match outcome.fate:
                case Fate.DELIVERED:
                    await self._patiently(lambda: store.delivered(number))
                    stays = False
                case Fate.REFUSED:
                    await self._patiently(lambda: store.failed(number, outcome.why))
                    stays = False
                case Fate.AGAIN | Fate.MEND:
                    warn = outcome.fate is Fate.MEND
                    seconds = pause(unsent.attempts + 1, outcome.retry_after, self._settings, self._chance())
                    stays = await self._patiently(
                        lambda: store.postponed(number, now + seconds, outcome.why, warn=warn)
                    )
            told = "delivered" if outcome.fate is Fate.DELIVERED else "retried" if stays else "failed"
            self._counted(sort_of(unsent.channel), told)

    async def _attempt(self, unsent: Unsent) -> Outcome:
        try:
            return await self._courier.deliver(unsent.channel, unsent.occurrence, self._clock())
        except Exception as error:
            # Ours: it must not stop the others, and what comes after it in its lane is not better off without it.
            log.error("a notification could not be made", exc_info=error)
            return Outcome(Fate.AGAIN, "it could not be made; the server's log has the cause")

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the store until it answers, whatever it says meanwhile: a disk that is full now may have room later, and
        what has arrived must not be sent again because that cannot be written."""
        for attempt in itertools.count(1):
            try:
                return await call()
            except ShuttingDown:
                raise
            except Exception as error:
                log.warning("notifications wait for the state: %s", error)
            await asyncio.sleep(pause(attempt, None, self._settings, 0.0))
        raise AssertionError("it is tried for ever")


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: nothing more is sent", task.get_name(), exc_info=error)
