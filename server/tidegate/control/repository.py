"""The live model repository: it owns every version that runs, and does what leads from what runs to what is wished.

At most one operation is under way per model. Whoever wishes the same joins it; an unload breaks a load off. A version
takes requests only when it answers; then the one before it is routed to no more, finishes what it has, and ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tidegate.control.index import UNLOADED, Key, Standing, index, known, unavailable
from tidegate.control.lease import Lease
from tidegate.control.model import Model
from tidegate.control.offer import Offer, Survey, steps, touched
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import (
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    ShuttingDown,
    TidegateError,
    VersionNotFound,
)
from tidegate.protocol.messages import ModelMetadata
from tidegate.protocol.repository import IndexEntry

log = logging.getLogger(__name__)


class RepositorySettings(msgspec.Struct, frozen=True, kw_only=True):
    ready_timeout: float = 600.0
    """Seconds until a load that is not over counts as failed."""
    stop_timeout: float = 10.0
    """Seconds that the requests of a model have to end when it is unloaded. Where another one takes over from it they
    have all the time they need."""


class Observer(Protocol):
    """Who is told what happens."""

    def found(self, offer: Offer) -> None:
        """It is about to be loaded."""
        ...

    def loaded(self, offer: Offer, seconds: float, metadata: ModelMetadata) -> None: ...

    def failed(self, model: str, version: str, error: TidegateError, serving: bool) -> None:
        """``version`` is "" where the model as a whole is wrong; ``serving`` tells that the one before answers on."""
        ...

    def unloaded(self, offer: Offer) -> None:
        """It is routed to no more, and nothing has taken its place."""
        ...

    def gone(self, model: str, version: str) -> None:
        """It does not lie there any more, and nothing of it runs."""
        ...


class Operation(msgspec.Struct):
    """What is done with a model."""

    verb: str
    task: asyncio.Task[None]


Look = Callable[[], Survey]
"""Looks at the disk. It blocks, and is called in a thread."""
Make = Callable[[Offer], Model]
"""Makes a model, without starting it. Raises ModelLoadFailed where what is said of it contradicts itself."""
Publish = Callable[[Iterable[Lease], Mapping[str, str]], None]
"""Takes what is to be routed to from now on, of several versions of a model the default last; and why other models
that are known answer nothing."""


class Repository:
    """Implements the gateway's ModelRepository."""

    def __init__(
        self, look: Look, make: Make, publish: Publish, observer: Observer, settings: RepositorySettings
    ) -> None:
        self._look = look
        self._make = make
        self._publish = publish
        self._observer = observer
        self._settings = settings
        self._survey = Survey()
        self._live: dict[str, dict[str, Lease]] = {}
        self._operations: dict[str, Operation] = {}
        self._failures: dict[Key, str] = {}
        self._unloaded: set[str] = set()
        self._endings: dict[asyncio.Task[None], Lease] = {}
        self._starting: set[Lease] = set()
        self._looking: asyncio.Task[Survey] | None = None
        self._routing: asyncio.Handle | None = None
        self._stopping = False
        self._known_now: set[Key] = set()

    def __repr__(self) -> str:
        return f"<Repository {len(self._live)} models, {len(self._operations)} operations, {len(self._endings)} ending>"

    @property
    def leases(self) -> list[Lease]:
        """What takes requests."""
        return [lease for versions in self._live.values() for lease in versions.values()]

    def open(self, survey: Survey) -> None:
        """Make everything that is offered, and route to it at once: what is not loaded yet answers so.

        Raises:
            ModelLoadFailed: what is said of a model contradicts itself.
        """
        self._survey = survey
        for model, versions in survey.offers.items():
            self._live[model] = {version: Lease(offer, self._make(offer)) for version, offer in versions.items()}
        self._route()

    async def start(self) -> list[BaseException | None]:
        """Load everything that ``open`` has made; returns what became of each version.

        One that fails stays, and answers why: it may be late, and answer after all.
        """
        results: list[BaseException | None] = []

        async def start(leases: list[Lease]) -> None:
            found = await asyncio.gather(*(self._start(lease, wake=False) for lease in leases), return_exceptions=True)
            results.extend(found)
            for failure in filter(None, found):
                raise failure

        for model, versions in self._live.items():
            for lease in versions.values():
                self._observer.found(lease.offer)
            self._begin(model, "load", start(list(versions.values())))
        tasks = [operation.task for operation in self._operations.values()]
        if tasks:
            await asyncio.wait(tasks)
        return results

    async def index(self) -> tuple[IndexEntry, ...]:
        """See the port."""
        await self.look()
        return index(self._standing())

    async def load(self, model: str) -> None:
        """See the port. A load that is under way is joined."""
        if model not in self._operations:
            await self._known(model)
        while (operation := self._operations.get(model)) is not None and operation.verb != "load":
            await asyncio.wait({operation.task})
        await self._join(model, operation or self._begin(model, "load", self._load(model, wake=True)))
        timeout = self._settings.ready_timeout
        for lease in list(self._live.get(model, {}).values()):  # a load that was joined may have left them asleep
            await lease.model.wake(timeout)

    async def unload(self, model: str) -> None:
        """See the port. A load that is under way is broken off."""
        await self._known(model)
        while (operation := self._operations.get(model)) is not None and operation.verb != "unload":
            operation.task.cancel()
            await asyncio.wait({operation.task})
        await self._join(model, operation or self._begin(model, "unload", self._unload(model)))

    async def follow(self, paths: Iterable[Path]) -> None:
        """Serve what has changed at these paths as it is now; what was unloaded on request stays so.

        What fails is told to the observer.
        """
        survey = await self.look()
        models = touched(survey, [lease.offer for lease in self.leases], list(paths))
        await asyncio.gather(*(self._follow(model) for model in models))

    async def _follow(self, model: str) -> None:
        while (operation := self._operations.get(model)) is not None:
            await asyncio.wait({operation.task})  # it may have looked before the change
        if model in self._unloaded:
            return
        survey = self._survey
        offered = survey.offers.get(model, {})
        served = {version: lease.offer for version, lease in self._live.get(model, {}).items()}
        if survey.problem(model, served) is None and not steps(offered, served):
            return
        with suppress(TidegateError):
            await self._join(model, self._begin(model, "load", self._load(model, wake=False)))

    def configuration(self, model: str, version: str) -> ModelConfiguration:
        """See the port."""
        versions = self._live.get(model)
        if not versions:
            raise ModelNotFound(model)
        if version not in versions:
            raise VersionNotFound(model, version, ", ".join(versions))
        return versions[version].model.configuration()

    async def look(self) -> Survey:
        """What lies on disk now. Who asks during a look shares the next one: this one has begun too early."""
        under_way = self._looking
        if under_way is not None:
            await asyncio.wait({under_way})
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(self._look))
            self._looking.add_done_callback(self._looked)
        return await asyncio.shield(self._looking)

    async def stop(self) -> None:
        """Stop everything, and return once nothing is left. Cancelling this leaves the end to go on by itself."""
        self._stopping = True
        for operation in self._operations.values():
            operation.task.cancel()
        for lease in self.leases:
            self._end(lease, 0.0)
        self._live = {}
        tasks = [*self._endings, *(operation.task for operation in self._operations.values())]
        if self._looking is not None:
            tasks.append(self._looking)  # type: ignore[arg-type]  # only waited for
        if tasks:
            await asyncio.wait(tasks)
        while self._endings:  # of what an operation had started
            await asyncio.wait(list(self._endings))

    def kill(self) -> None:
        """End all models with all that they have; ``stop`` is still to be awaited."""
        for lease in (*self.leases, *self._starting, *self._endings.values()):
            lease.model.kill()

    def _begin(self, model: str, verb: str, work: Coroutine[Any, Any, None]) -> Operation:
        if self._stopping:
            work.close()
            raise ShuttingDown
        operation = Operation(verb, asyncio.create_task(work, name=f"{verb} {model}"))
        self._operations[model] = operation
        operation.task.add_done_callback(lambda task: self._ended(model, task))
        return operation

    def _ended(self, model: str, task: asyncio.Task[None]) -> None:
        del self._operations[model]
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, TidegateError):
            log.error("unexpected error while model %s was loaded or unloaded", model, exc_info=error)
        if self._routing is None:  # hundreds of loads may end in one turn of the loop
            self._routing = asyncio.get_running_loop().call_soon(self._route)

    async def _join(self, model: str, operation: Operation) -> None:
        try:
            await asyncio.shield(operation.task)
        except asyncio.CancelledError:
            if operation.task.cancelled():
                raise (ShuttingDown() if self._stopping else ModelNotReady(model, UNLOADED)) from None
            raise

    async def _known(self, model: str) -> None:
        if model not in self._live and model not in (await self.look()).models:
            raise ModelNotFound(model)

    async def _load(self, model: str, *, wake: bool) -> None:
        """Serve a model as it lies there now; ``wake`` it where it may sleep."""
        self._unloaded.discard(model)
        survey = await self.look()
        live = self._live.get(model, {})
        served = {version: lease.offer for version, lease in live.items()}
        problem = survey.problem(model, served)
        if problem is not None:
            error = ModelLoadFailed(problem)
            self._observer.failed(model, "", error, self._answers(model))
            raise error
        broken = [version for version, lease in live.items() if not lease.readiness.ready]
        todo = steps(survey.offers.get(model, {}), served, broken)
        for key in [key for key in self._failures if key[0] == model]:
            del self._failures[key]
        failures = await self._take(model, todo.load, wake)
        if failures:
            raise failures[0]
        self._drop(model, todo.unload)
        if not self._live.get(model):
            raise ModelNotFound(model)

    async def _take(self, model: str, offers: tuple[Offer, ...], wake: bool) -> list[TidegateError]:
        """Start what is offered, and let each that answers take over from the one before it.

        What takes over from one that is awake must be, too.
        """
        awake = {version for version, lease in self._live.get(model, {}).items() if lease.model.awake}
        fresh: list[Lease] = []
        failures: list[TidegateError] = []
        for offer in offers:
            self._observer.found(offer)
            try:
                fresh.append(Lease(offer, self._make(offer)))
            except ModelLoadFailed as error:
                self._failed(offer, error)
                failures.append(error)
        self._starting.update(fresh)
        self._route()
        try:
            # With the exceptions as results, so that none of them is still being started when one has raised.
            results = await asyncio.gather(
                *(self._start(lease, wake or lease.offer.version in awake) for lease in fresh), return_exceptions=True
            )
            for fault in results:
                if fault is not None and not isinstance(fault, TidegateError):
                    raise fault
        except BaseException:  # broken off, or a fault of ours
            for lease in fresh:
                lease.model.kill()
            endings = [self._end(lease, 0.0) for lease in fresh]
            if endings:
                await asyncio.wait(endings)  # who breaks it off waits until nothing is left of it
            raise
        finally:
            self._starting.difference_update(fresh)
        for lease, failure in zip(fresh, results, strict=True):
            if isinstance(failure, TidegateError):
                failures.append(failure)
                lease.model.kill()
                self._end(lease, 0.0)
                continue
            versions = self._live.get(model, {})
            former = versions.get(lease.offer.version)
            self._serve(model, {**versions, lease.offer.version: lease})
            if former is not None:
                self._end(former, None)
        return failures

    async def _start(self, lease: Lease, wake: bool) -> TidegateError | None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await lease.model.start(self._settings.ready_timeout)
            if wake:
                await lease.model.wake(self._settings.ready_timeout)
        except TidegateError as error:
            self._failed(lease.offer, error)
            return error
        if lease.metadata is not None:  # else it sleeps
            self._observer.loaded(lease.offer, loop.time() - began, lease.metadata)
        return None

    def _failed(self, offer: Offer, error: TidegateError) -> None:
        self._failures[offer.model, offer.version] = error.message
        self._observer.failed(offer.model, offer.version, error, self._answers(offer.model))

    def _answers(self, model: str) -> bool:
        return any(lease.readiness.ready for lease in self._live.get(model, {}).values())

    def _serve(self, model: str, versions: Mapping[str, Lease]) -> None:
        """Route to these versions of a model, and to no other."""
        if versions:
            self._live[model] = dict(sorted(versions.items(), key=lambda item: int(item[0])))
        else:
            self._live.pop(model, None)
        self._route()

    def _drop(self, model: str, versions: Iterable[str]) -> None:
        """Route no more to versions that are not offered any more; others have taken over."""
        live = self._live.get(model, {})
        gone = {version: live[version] for version in versions}
        if gone:
            for lease in gone.values():
                self._end(lease, None)  # a task: it begins once nothing leads there any more
            self._serve(model, {version: lease for version, lease in live.items() if version not in gone})
            for lease in gone.values():
                self._observer.unloaded(lease.offer)

    async def _unload(self, model: str) -> None:
        self._unloaded.add(model)
        leases = self._live.get(model, {}).values()
        endings = [self._end(lease, self._settings.stop_timeout) for lease in leases]
        self._serve(model, {})
        if endings:
            await asyncio.wait(endings)
        for lease in leases:
            self._observer.unloaded(lease.offer)

    def _end(self, lease: Lease, patience: float | None) -> asyncio.Task[None]:
        """Let a version that is routed to no more finish, in a task of its own that nobody cancels."""
        name = f"end of {lease.offer.model} version {lease.offer.version}"
        task = asyncio.create_task(lease.end(patience), name=name)
        self._endings[task] = lease
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        lease = self._endings.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error while %r ended", lease, exc_info=error)
        self._route()

    def _looked(self, task: asyncio.Task[Survey]) -> None:
        self._looking = None
        if task.cancelled() or task.exception() is not None:
            return
        before, self._survey = self._survey, task.result()
        self._unloaded &= self._survey.models
        self._failures = {key: why for key, why in self._failures.items() if key[0] in self._survey.models}
        if before != self._survey:
            self._route()

    def _standing(self) -> Standing:
        return Standing(
            self._survey,
            {(lease.offer.model, lease.offer.version): lease.readiness for lease in self.leases},
            {model for model, operation in self._operations.items() if operation.verb == "load"},
            {(lease.offer.model, lease.offer.version) for lease in self._endings.values()},
            self._failures,
            self._unloaded,
        )

    def _route(self) -> None:
        if self._routing is not None:
            self._routing.cancel()
            self._routing = None
        if not self._stopping:
            standing = self._standing()
            self._publish(self.leases, unavailable(standing))
            before, self._known_now = self._known_now, known(standing)
            for key in before - self._known_now:
                self._observer.gone(*key)
