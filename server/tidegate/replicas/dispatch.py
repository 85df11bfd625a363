"""From waiting requests to replicas: order, bounds, credits, and what becomes of a request whose replica died.

Requests wait in the order of their arrival, bounded in number and bytes. A link (a replica that is ready) has
credits; a request is bound to one only when a credit is free. If the link is lost, its oldest request may have
begun: that counts as an attempt. The others have not begun, and go back to where they came from. Each request is
answered once, whatever happens: its future is the one place where the answer can go.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import msgspec

from tidegate.protocol.errors import DeadlineExceeded, Overloaded, ReplicaLost, TidegateError
from tidegate.replicas.batch import Batch, BatchResult
from tidegate.replicas.settings import ReplicaSettings

_SMOOTHING = 0.1
"""Weight of the newest service time in the mean, so that about the last twenty count."""


class Work:
    """One request on its way. ``attempts`` counts the executions that may have begun."""

    __slots__ = ("attempts", "batch", "deadline", "future", "link", "number", "timer")

    def __init__(self, batch: Batch, deadline: float, future: asyncio.Future[BatchResult]) -> None:
        self.batch = batch
        self.deadline = deadline
        self.future = future
        self.attempts = 0
        self.number = 0
        self.link: Link | None = None
        self.timer: asyncio.TimerHandle | None = None

    def fail(self, error: TidegateError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Link(Protocol):
    """A replica that is ready."""

    @property
    def free(self) -> int:
        """Credits: how many more requests it takes."""
        ...

    def execute(self, work: Work) -> bool:
        """Send a request; False where the link cannot take it now, and will ask again when it can.

        Raises:
            TidegateError: the request itself cannot be sent.
        """
        ...

    def cancel(self, work: Work) -> None:
        """Nobody waits for this request any more. Its credit comes back when the replica says that it is done."""
        ...


class DispatchStatistics(msgspec.Struct, frozen=True):
    waiting: int
    waiting_bytes: int
    executed: int
    """Requests that replicas have answered, errors of the model among them."""
    service_seconds: float
    """Mean time between two answers while there was work, which is what a waiting request adds to the queue."""


class Dispatcher:
    """The queue of one revision and the links that empty it. Everything is called in one event loop."""

    def __init__(self, model: str, settings: ReplicaSettings) -> None:
        self._model = model
        self._settings = settings
        self._waiting: OrderedDict[int, Work] = OrderedDict()
        self._waiting_bytes = 0
        self._links: list[Link] = []
        self._numbers = 0
        self._refusal: Callable[[], TidegateError] | None = None
        self._executed = 0
        self._service_seconds = 0.0
        self._last_answer = 0.0

    def __repr__(self) -> str:
        return f"<Dispatcher {len(self._waiting)} waiting, {len(self._links)} links>"

    def statistics(self) -> DispatchStatistics:
        return DispatchStatistics(len(self._waiting), self._waiting_bytes, self._executed, self._service_seconds)

    async def execute(self, batch: Batch, deadline: float) -> BatchResult:
        """Have a batch executed. The result must be released.

        Raises:
            TidegateError: Overloaded, DeadlineExceeded, ReplicaLost, the refusal, or the model's error.
        """
        if self._refusal is not None:
            raise self._refusal()
        loop = asyncio.get_running_loop()
        work = Work(batch, deadline, loop.create_future())
        if self._waiting or not self._hand(work, loop.time()):
            self._wait(work, loop)
        try:
            return await work.future
        except asyncio.CancelledError:
            self._withdraw(work)
            raise

    def attach(self, link: Link) -> None:
        """A replica became ready."""
        self._links.append(link)
        self.pump()

    def detach(self, link: Link) -> None:
        """Send no more to a replica; what it has, it still answers."""
        if link in self._links:
            self._links.remove(link)

    def lost(self, link: Link, works: list[Work]) -> None:
        """A replica is dead; ``works`` it had taken and not answered, oldest first."""
        self.detach(link)
        if works:
            self._attempted(works[0])
        for work in reversed(works):
            self.returned(work)
        self.pump()

    def returned(self, work: Work) -> None:
        """A request that did not begin comes back to the head of the queue."""
        work.link = None
        if work.future.done():
            return
        if self._refusal is not None:
            work.fail(self._refusal())
            return
        self._enter(work, asyncio.get_running_loop())
        self._waiting.move_to_end(work.number, last=False)

    def finished(self, work: Work, outcome: BatchResult | TidegateError) -> None:
        """A replica has answered."""
        now = asyncio.get_running_loop().time()
        work.link = None
        self._learn(now)
        if work.future.done():
            if isinstance(outcome, BatchResult):
                outcome.release()
        elif isinstance(outcome, BatchResult):
            work.future.set_result(outcome)
        else:
            work.future.set_exception(outcome)
        self.pump()

    def pump(self) -> None:
        """Hand out what waits, as long as somebody takes it."""
        if not self._waiting:
            return
        now = asyncio.get_running_loop().time()
        while self._waiting:
            work = next(iter(self._waiting.values()))
            if work.deadline <= now:
                self._expire(work)
            elif self._hand(work, now):
                self._leave(work)
            else:
                return

    def refuse(self, refusal: Callable[[], TidegateError] | None) -> None:
        """Answer everything that waits, and all that comes, with this error; None takes requests again."""
        self._refusal = refusal
        if refusal is not None:
            for work in list(self._waiting.values()):
                self._leave(work)
                work.fail(refusal())

    def _hand(self, work: Work, now: float) -> bool:
        """Give a request to a link, or answer it here where it cannot be executed; False where no link takes it."""
        if work.deadline <= now:
            work.fail(_expired(self._model))
            return True
        for link in self._links:
            if link.free > 0:
                try:
                    if not link.execute(work):
                        continue
                except TidegateError as error:
                    work.fail(error)
                    return True
                work.link = link
                if link.free == self._settings.credits - 1:
                    self._last_answer = now  # it was idle: service begins now
                return True
        return False

    def _wait(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        settings, count = self._settings, len(self._waiting)
        over = self._waiting_bytes + work.batch.nbytes > settings.max_waiting_bytes
        if count >= settings.max_waiting or (over and count):
            raise Overloaded(
                f"model '{self._model}' has {count} requests waiting, which is as many as it may",
                retry_after=max(1.0, count * self._service_seconds),
            )
        self._enter(work, loop)

    def _enter(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self._numbers += 1
        work.number = self._numbers
        work.timer = loop.call_at(work.deadline, self._expire, work)
        self._waiting[work.number] = work
        self._waiting_bytes += work.batch.nbytes

    def _leave(self, work: Work) -> None:
        del self._waiting[work.number]
        self._waiting_bytes -= work.batch.nbytes
        if work.timer is not None:
            work.timer.cancel()
            work.timer = None

    def _expire(self, work: Work) -> None:
        self._leave(work)
        work.fail(_expired(self._model))

    def _withdraw(self, work: Work) -> None:
        """The caller is gone, at whatever point the request is."""
        if work.number in self._waiting:
            self._leave(work)
        elif work.link is not None:
            work.link.cancel(work)
        elif not work.future.cancelled() and work.future.exception() is None:
            work.future.result().release()  # answered in the same turn of the loop

    def _attempted(self, work: Work) -> None:
        work.attempts += 1
        if work.attempts >= self._settings.max_attempts:
            work.fail(
                ReplicaLost(
                    f"model '{self._model}': {work.attempts} workers ended while they executed this request",
                    retry_after=1.0,
                )
            )

    def _learn(self, now: float) -> None:
        seconds = max(0.0, now - self._last_answer)
        self._last_answer = now
        weight = _SMOOTHING if self._executed else 1.0
        self._executed += 1
        self._service_seconds += weight * (seconds - self._service_seconds)


def _expired(model: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"the request's deadline passed while it waited for model '{model}'")
