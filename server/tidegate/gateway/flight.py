"""Executions that several identical requests wait for, and how many may.

An execution is nobody's own: whoever waits for it leaves alone.
"""

from __future__ import annotations

import asyncio

from tidegate.batching.room import Room
from tidegate.gateway.backend import Caller
from tidegate.protocol.errors import DeadlineExceeded, Overloaded
from tidegate.protocol.messages import InferRequest, InferResponse

_RETRY_AFTER = 1.0
"""Seconds, the least that HTTP can say: the executions that they wait for are under way."""


class Asker:
    """One request that waits for a shared execution, and its own deadline."""

    __slots__ = ("caller", "deadline", "future", "request", "timer")

    def __init__(self, request: InferRequest, deadline: float, caller: Caller, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self.deadline = deadline
        self.caller = caller
        self.future: asyncio.Future[InferResponse] = loop.create_future()
        self.timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Expire at the deadline. Not for the owner of an execution: the backend keeps that deadline, and counts it."""
        self.timer = self.future.get_loop().call_at(self.deadline, self._expire)

    def unwatch(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def _expire(self) -> None:
        model = self.request.model_name
        self.fail(DeadlineExceeded(f"model '{model}' did not answer before the request's deadline"))


class Flight:
    """One execution and who waits for it. It is the ``owner``'s request, deadline and place in the queue."""

    __slots__ = ("askers", "owner", "task")

    def __init__(self, owner: Asker) -> None:
        self.owner = owner
        self.askers: dict[Asker, None] = {owner: None}
        self.task: asyncio.Task[None] | None = None

    def join(self, asker: Asker) -> None:
        self.askers[asker] = None
        asker.watch()

    def succeed(self, response: InferResponse) -> None:
        for asker in self.askers:
            if not asker.future.done():
                asker.future.set_result(response)
        self.askers.clear()

    def fail(self, error: Exception) -> None:
        for asker in self.askers:
            asker.fail(error)
        self.askers.clear()

    def owner_expired(self, error: DeadlineExceeded) -> bool:
        """The owner's deadline is the owner's alone. Whether somebody is left, who is the owner from now on.

        Who has the same place in the queue and no more time shares the error, for nothing else would become of them.
        """
        late = self.owner
        for asker in list(self.askers):
            if asker is late or (asker.deadline <= late.deadline and asker.caller == late.caller):
                del self.askers[asker]
                asker.fail(error)
        left = [asker for asker in self.askers if not asker.future.done()]
        if left:
            self.owner = max(left, key=lambda asker: asker.deadline)
            self.owner.unwatch()
        return bool(left)


class Sharing(Room):
    """Who shares the execution that another request began, all flights of a revision together: bounded."""

    def admit(self, model: str, rows: int, nbytes: int) -> None:
        """One more, until ``leave``.

        Raises:
            Overloaded: it would be too many.
        """
        if self.full_for(rows, nbytes):
            raise Overloaded(
                f"model '{model}' has {self.requests} requests with {self.rows} rows waiting for executions that "
                "others began, which is as many as it may",
                retry_after=_RETRY_AFTER,
            )
        self.enter(rows, nbytes)
