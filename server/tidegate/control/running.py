"""One revision on this machine, in a task of its own: made, started, kept, drained, ended, as it is wished.

It is level-based: what is wished is a value, and the task leads there from wherever it is. One that is to end and is
wished for again while it still drains goes on as it is; one that has begun to stop is made anew once it is gone, so
that it is never there twice.

One that sleeps is loaded once before it takes requests, to learn its signature and that it can be loaded; unless it
answered before. Where it is to sleep and did not, or the other way round, another model of the same content is loaded
beside the one there is, and takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tidegate.control.formats import without_version
from tidegate.control.lease import Lease
from tidegate.control.model import Model
from tidegate.control.offer import Offer
from tidegate.control.standing import standing_of
from tidegate.protocol.errors import InternalError, ModelLoadFailed, TidegateError
from tidegate.protocol.messages import ModelMetadata
from tidegate.replicas.log import Log
from tidegate.resources.actuator import Phase, Standing, Workload, version_of
from tidegate.storage.repository import ModelSource

log = logging.getLogger(__name__)

_PAUSE, _MAX_PAUSE = 1.0, 60.0
"""Seconds until what was not ready in time is loaded again, the first time and at most: the activation's own."""

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
        self._known = workload.known
        self._sleeps = workload.sleeps
        """What its model does; tried once for each change of what is wished."""
        self._former: Model | None = None
        self._told: Standing | None = None

    def __repr__(self) -> str:
        return f"<RunningRevision {self.workload.id}, {self.standing.phase}>"

    @property
    def standing(self) -> Standing:
        if self.lease is None:
            return standing_of(self.workload, ending=not self.wanted, failure=self._failure)
        model = self.lease.model
        return standing_of(
            self.workload,
            ending=not self.wanted,
            ready=model.ready,
            readiness=self.lease.readiness,
            hopeless=model.hopeless,
            failure=self._failure,
            known=self._known,
        )

    def wish(self, workload: Workload) -> None:
        """It is to run so."""
        before, self.workload, self.wanted = self.workload, workload, True
        if before.replicas != workload.replicas and self.lease is not None:
            self._scale(self.lease.model, before.replicas)
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
        for model in (None if self.lease is None else self.lease.model, self._former):
            if model is not None:
                model.kill()
        self.hurry()

    async def run(self) -> None:
        """Live for as long as it is wished for."""
        pause = _PAUSE
        while self.wanted:
            self._sleeps, self._known = self.workload.sleeps, self.workload.known
            try:
                model = await self._make(self.workload, self.log)
            except Exception as error:
                self._fail(error)
                # What is wrong with its content stays wrong, and so do we; a disk that is full does not.
                await self._unwanted_within(pause if isinstance(error, OSError) else None)
                pause = min(2.0 * pause, _MAX_PAUSE)
                continue
            self._failure, pause = None, _PAUSE
            await self._live(Lease(offer_of(self.workload), model))

    async def _live(self, lease: Lease) -> None:
        """One life of its model, from the start to the stop."""
        self._take(lease)
        try:
            if await self._started(lease):
                await self._serve()
        finally:
            lease = self.lease or lease  # another may have taken its place
            self.lease = None  # nobody is led there any more, wished for again or not
            await lease.model.stop()
            if self._failure is None and self._observer is not None:
                self._observer.unloaded(self.workload)
            self._tell()

    def _take(self, lease: Lease) -> None:
        """Its requests are led there from now on. What is wished may have changed while the model was being made."""
        self.lease = lease
        lease.model.subscribe(self._tell)
        self._scale(lease.model, 1)
        self._tell()

    def _scale(self, model: Model, before: int) -> None:
        replicas = self.workload.replicas
        if replicas:
            model.resize(replicas)
        if bool(replicas) != bool(before):
            model.wish(awake=bool(replicas))

    async def _serve(self) -> None:
        """Return once it is wished for no more and its requests are answered."""
        while True:
            await self._until(lambda: not self.wanted or self.workload.sleeps != self._sleeps)
            if self.wanted:
                await self._renew()
            elif self.lease is None or await self._drained(self.lease):
                return

    async def _renew(self) -> None:
        """Have a model that sleeps in the place of one that does not, or the other way round. What cannot be loaded
        changes nothing for the callers; it is tried again when that is wished otherwise, and so again."""
        self._sleeps = self.workload.sleeps
        try:
            model = await self._make(self.workload, self.log)
        except Exception as unmade:
            self._kept(unmade)
            return
        begun, error = await self._begun(model, load=True)
        if not begun or error is not None or self.lease is None:
            await model.stop()
            if error is not None:
                self._kept(error)
            else:  # it may be wished for again
                self._sleeps = not self._sleeps
            return
        former = self.lease
        self._failure, self._known = None, True
        self._take(Lease(offer_of(self.workload), model))
        self._former = former.model
        await self._idle(former, lambda: self._hurried)
        await former.model.stop()
        self._former = None

    def _kept(self, error: BaseException) -> None:
        told = error.message if isinstance(error, TidegateError) else repr(error)
        does = "go on without sleep" if self.workload.sleeps else "go on with sleep"
        log.warning("%s has to %s, because it could not be loaded once more: %s", self.workload.id, does, told)

    async def _started(self, lease: Lease) -> bool:
        """Start it, and return when that is over, well or not; False where it is wished for no more before it is."""
        loop = asyncio.get_running_loop()
        model, began, pause = lease.model, loop.time(), _PAUSE
        while self.wanted:
            begun, error = await self._begun(model, load=not self._known)
            if not begun:
                return False
            if error is None:
                self._answers(lease, loop.time() - began)
                return True
            self._fail(error)
            if not self._sleeps or isinstance(error, ModelLoadFailed):
                return True
            await self._unwanted_within(pause)  # nobody else tries: it is not asked for while it takes no requests
            pause = min(2.0 * pause, _MAX_PAUSE)
        return False

    def _answers(self, lease: Lease, seconds: float) -> None:
        self._failure, self._known = None, True
        if self._observer is not None and lease.metadata is not None:  # else it sleeps
            self._observer.loaded(self.workload, seconds, lease.metadata)
        self._tell()

    async def _begun(self, model: Model, *, load: bool) -> tuple[bool, BaseException | None]:
        """Start a model, and ``load`` one that sleeps. Whether that is over, well or with the error; it is broken off
        where the revision is wished for no more."""

        async def begin() -> None:
            await model.start(self._ready_timeout)
            if load:
                await model.wake(self._ready_timeout)

        starting = asyncio.ensure_future(begin())
        while not await self._before(starting, lambda: not self.wanted):
            if not self.wanted:
                model.kill()
                starting.cancel()
                await asyncio.wait({starting})
                return False, None
        return True, starting.exception()

    async def _drained(self, lease: Lease) -> bool:
        """Wait until its requests are answered; False where it was wished for again before they were."""
        await self._idle(lease, lambda: self.wanted or self._hurried)
        return not self.wanted and (self._hurried or not lease.requests)

    async def _idle(self, lease: Lease, unless: Callable[[], bool]) -> None:
        """Wait until its requests are answered, or a condition holds."""
        idle = asyncio.ensure_future(lease.idle())
        await self._before(idle, unless)
        idle.cancel()
        await asyncio.wait({idle})

    async def _before(self, work: asyncio.Future[None], holds: Callable[[], bool]) -> bool:
        """Whether the work is over, once it is or a condition holds."""
        turned = asyncio.ensure_future(self._until(holds))
        await asyncio.wait({work, turned}, return_when=asyncio.FIRST_COMPLETED)
        turned.cancel()
        await asyncio.wait({turned})
        return work.done()

    async def _unwanted_within(self, seconds: float | None) -> None:
        """Return once it is wished for no more, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until(lambda: not self.wanted)

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
            self._failure, self._known = None, True  # it was late, and is there after all
        if standing != self._told:
            self._told = standing
            self._changed()


def offer_of(workload: Workload) -> Offer:
    """A revision as those know it who route to it: by the name of its service, and by the model version."""
    resolved = workload.resolved
    runtime = without_version(resolved.runtime)
    return Offer(ModelSource(workload.id.service, version_of(workload), Path(), runtime, resolved.format))
