"""One revision on this machine, in a task of its own: made, started, kept, drained, ended, as it is wished.

It is level-based: what is wished is a value, and the task leads there from wherever it is. One that is to end and is
wished for again while it still drains goes on as it is; one that has begun to stop is made anew once it is gone, so
that it is never there twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from tidegate.control.formats import without_version
from tidegate.control.lease import Lease
from tidegate.control.model import Model
from tidegate.control.offer import Offer
from tidegate.protocol.errors import InternalError, TidegateError
from tidegate.protocol.messages import ModelMetadata
from tidegate.replicas.log import Log
from tidegate.replicas.readiness import Readiness
from tidegate.resources.actuator import Phase, Standing, Workload, version_of
from tidegate.storage.repository import ModelSource

log = logging.getLogger(__name__)

Make = Callable[[Workload, Log], Awaitable[Model]]
"""Makes the model of a revision, without starting it; its replicas write to the log. Raises TidegateError."""


class Observer(Protocol):
    """Who is told what becomes of revisions, in the event loop and at once."""

    def loaded(self, workload: Workload, seconds: float, metadata: ModelMetadata) -> None:
        """It answers, so many seconds after it was made."""
        ...

    def failed(self, workload: Workload, error: TidegateError) -> None:
        """It could not be made, or does not answer."""
        ...

    def unloaded(self, workload: Workload) -> None:
        """It is gone, loaded or not; of one that failed that has been told."""
        ...


def standing_of(
    *,
    wanted: int,
    ending: bool,
    ready: int = 0,
    readiness: Readiness | None = None,
    hopeless: bool = False,
    failure: TidegateError | None = None,
) -> Standing:
    """How a revision stands. ``readiness`` is its model's, None before there is one; ``failure`` what making or
    starting it ended with, unless it was ready since.
    """
    if ending:
        return Standing(Phase.ENDING, ready, 0, "it finishes what it has")
    if ready:
        return Standing(Phase.READY, ready, wanted)
    reason = "it is being made" if readiness is None else " ".join(readiness.reason.split())
    if failure is not None:
        told = failure.message if readiness is None or not reason else reason
        return Standing(Phase.FAILED, 0, wanted, " ".join(told.split()))
    return Standing(Phase.FAILED if hopeless else Phase.STARTING, 0, wanted, reason)


class RunningRevision:
    """``wish`` says what it is to be; ``run`` is its task's work, and returns once nothing of it is left."""

    def __init__(
        self,
        workload: Workload,
        make: Make,
        ready_timeout: float,
        output: Log,
        changed: Callable[[], None],
        observer: Observer | None = None,
    ) -> None:
        self.log = output
        self.lease: Lease | None = None
        """What answers its requests, ready or not; None while there is nothing."""
        self.workload = workload
        self.wanted = True
        self._make = make
        self._ready_timeout = ready_timeout
        self._changed = changed
        self._observer = observer
        self._turned = asyncio.Event()
        self._failure: TidegateError | None = None
        self._hurried = False
        self._told: Standing | None = None

    def __repr__(self) -> str:
        return f"<RunningRevision {self.workload.id}, {self.standing.phase}>"

    @property
    def standing(self) -> Standing:
        if self.lease is None:
            return standing_of(wanted=self.workload.replicas, ending=not self.wanted, failure=self._failure)
        model = self.lease.model
        return standing_of(
            wanted=self.workload.replicas,
            ending=not self.wanted,
            ready=model.ready,
            readiness=self.lease.readiness,
            hopeless=model.hopeless,
            failure=self._failure,
        )

    def wish(self, workload: Workload) -> None:
        """It is to run so."""
        before, self.workload, self.wanted = self.workload, workload, True
        if before.replicas != workload.replicas and self.lease is not None:
            self.lease.model.resize(workload.replicas)
        self._turn()

    def wish_away(self) -> None:
        """It is to end once its requests are answered."""
        self.wanted = False
        self._turn()

    def hurry(self) -> None:
        """It is to end, and does not wait for the requests in front of its replicas."""
        self._hurried = True
        self.wish_away()

    def kill(self) -> None:
        """It is to end with all that it has, now."""
        if self.lease is not None:
            self.lease.model.kill()
        self.hurry()

    async def run(self) -> None:
        """Live for as long as it is wished for."""
        while self.wanted:
            self._failure = None
            try:
                model = await self._make(self.workload, self.log)
            except Exception as error:
                self._fail(error)
                await self._until(lambda: not self.wanted)
                continue
            await self._live(Lease(offer_of(self.workload), model))

    async def _live(self, lease: Lease) -> None:
        """One life of its model, from the start to the stop."""
        self.lease = lease
        lease.model.subscribe(self._tell)
        lease.model.resize(self.workload.replicas)  # it may have changed while the model was being made
        self._tell()
        try:
            if await self._started(lease):
                while True:
                    await self._until(lambda: not self.wanted)
                    if await self._drained(lease):
                        return
        finally:
            self.lease = None  # nobody is led there any more, wished for again or not
            await lease.model.stop()
            if self._failure is None and self._observer is not None:
                self._observer.unloaded(self.workload)
            self._tell()

    async def _started(self, lease: Lease) -> bool:
        """Start it, and return when that is over, well or not; False where it is wished for no more before it is."""
        loop = asyncio.get_running_loop()
        model, began = lease.model, loop.time()
        starting = asyncio.ensure_future(model.start(self._ready_timeout))
        while not await self._before(starting, lambda: not self.wanted):
            if not self.wanted:
                model.kill()
                starting.cancel()
                await asyncio.wait({starting})
                return False
        if (error := starting.exception()) is not None:
            self._fail(error)
        elif self._observer is not None and lease.metadata is not None:  # else it sleeps
            self._observer.loaded(self.workload, loop.time() - began, lease.metadata)
        return True

    async def _drained(self, lease: Lease) -> bool:
        """Wait until its requests are answered; False where it was wished for again before they were."""
        idle = asyncio.ensure_future(lease.idle())
        await self._before(idle, lambda: self.wanted or self._hurried)
        idle.cancel()
        await asyncio.wait({idle})
        return not self.wanted and (self._hurried or not lease.requests)

    async def _before(self, work: asyncio.Future[None], holds: Callable[[], bool]) -> bool:
        """Whether the work is over, once it is or a condition holds."""
        turned = asyncio.ensure_future(self._until(holds))
        await asyncio.wait({work, turned}, return_when=asyncio.FIRST_COMPLETED)
        turned.cancel()
        await asyncio.wait({turned})
        return work.done()

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Return once a condition holds; it is looked at whenever a wish has come."""
        while not holds():
            self._turned.clear()
            await self._turned.wait()

    def _fail(self, error: BaseException) -> None:
        """It could not be made or started. Where anybody keeps trying, it is whoever keeps its replicas."""
        if not isinstance(error, TidegateError):
            log.error("unexpected error while %s was started", self.workload.id, exc_info=error)
            error = InternalError()
        self._failure = error
        if self._observer is not None:
            self._observer.failed(self.workload, error)
        self._tell()

    def _turn(self) -> None:
        self._turned.set()
        self._tell()

    def _tell(self) -> None:
        """Say so where it stands otherwise than it was last told."""
        standing = self.standing
        if standing.phase is Phase.READY:
            self._failure = None  # it was late, and is there after all
        if standing != self._told:
            self._told = standing
            self._changed()


def offer_of(workload: Workload) -> Offer:
    """A revision as those know it who route to it: by the name of its service, and by the model version."""
    resolved = workload.resolved
    runtime = without_version(resolved.runtime)
    return Offer(ModelSource(workload.id.service, version_of(workload), Path(), runtime, resolved.format))
