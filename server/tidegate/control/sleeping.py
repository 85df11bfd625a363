"""A version of a model that is loaded on demand: one to its callers, with a life for each time it is awake.

It stands in front of the model that is loaded, if one is, and remembers what callers may ask of it while it sleeps: its
signature, its configuration, its statistics. A request that comes while it sleeps waits for it, and goes on to it as if
it had just come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

import msgspec

from tidegate.batching.item import ANYBODY, Caller
from tidegate.batching.settings import BatchSettings
from tidegate.control.activation import State
from tidegate.control.activator import Activator
from tidegate.control.model import Answer, Executor, Model
from tidegate.control.waiting import Waiting
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.content import content_bytes
from tidegate.protocol.errors import DeadlineExceeded, ModelLoadFailed, ModelNotReady, ShuttingDown, TidegateError
from tidegate.protocol.messages import InferRequest, ModelMetadata
from tidegate.replicas.readiness import Readiness
from tidegate.telemetry.statistics import RevisionStatistics
from tidegate.telemetry.sums import over, together

log = logging.getLogger(__name__)

_NOTHING = RevisionStatistics(batcher=None, replicas={}, executed={}, last_inference=0.0, untouched=True)
_LEAST_LOOK = 1.0
"""Seconds between two looks at whether sequences are still open."""


class Lives(Protocol):
    """Makes a model for each time that it is awake, all of the same content."""

    def next(self) -> Model: ...

    async def close(self) -> None:
        """There will be no more."""
        ...


class SleeperSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one model before it was ever awake."""

    name: str
    runtime: str
    size: int
    """Bytes of its files."""
    batching: BatchSettings
    ready_timeout: float
    """Seconds that a waking may take."""


class SleepingModel:
    """Implements Model, and is its own Executor. It sleeps from the beginning."""

    def __init__(self, settings: SleeperSettings, lives: Lives, activator: Activator) -> None:
        self._settings = settings
        self._lives = lives
        self._activator = activator
        self._waiting = Waiting(settings.name, settings.batching)
        self._life: Model | None = None
        self._executor: Executor | None = None
        self._door: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._metadata: ModelMetadata | None = None
        self._stateful = False
        self._configuration: ModelConfiguration | None = None
        self._failure: TidegateError | None = None
        self._stopping = False
        self._replicas: int | None = None
        self._watcher: Callable[[], None] | None = None
        self._sequences: asyncio.TimerHandle | None = None
        # As one value, because a scrape reads it in the middle: the lives before, and the one that is going on.
        self._told: tuple[RevisionStatistics, Executor | None] = (_NOTHING, None)
        activator.add(self)

    def __repr__(self) -> str:
        return f"<SleepingModel {self._settings.name}, {self._activator.state(self)}>"

    # What the activator needs.

    @property
    def runtime(self) -> str:
        return self._settings.runtime

    @property
    def size(self) -> int:
        return self._settings.size

    async def load(self) -> int:
        """See Sleepy."""
        if self._stopping:
            raise ShuttingDown
        loop = asyncio.get_running_loop()
        began = loop.time()
        life = self._life = self._lives.next()
        life.subscribe(self._tell)
        if self._replicas is not None:
            life.resize(self._replicas)
        self._told = (self._told[0], life.executor)
        try:
            await life.start(self._settings.ready_timeout)
            if self._metadata not in (None, life.executor.metadata):
                raise ModelLoadFailed("its signature is not what it was when it was last awake: the file has changed")
            nbytes = await life.measure()
        except BaseException:
            life.kill()
            await self.unload()
            raise
        self._configuration = life.configuration()
        seconds = loop.time() - began
        log.info("model %s is awake after %.3f s and holds %d bytes", self._settings.name, seconds, nbytes)
        return nbytes

    def opened(self) -> None:
        """See Sleepy."""
        assert self._life is not None
        self._executor = self._life.executor
        self._metadata = self._executor.metadata
        self._stateful = self._metadata is not None and self._metadata.stateful
        self._failure = None
        self._door.set_result(None)
        self._tell()

    def refuse(self, error: TidegateError) -> None:
        """See Sleepy."""
        log.warning("model %s could not be woken: %s", self._settings.name, error.message)
        self._failure = error.with_traceback(None)  # which would keep all that the load had
        self._reopen()
        self._tell()

    def shut(self) -> None:
        """See Sleepy."""
        self._executor = None
        self._door = asyncio.get_running_loop().create_future()
        if self._sequences is not None:
            self._sequences.cancel()
            self._sequences = None
        self._tell()

    async def unload(self) -> None:
        """See Sleepy."""
        life = self._life
        if life is None:
            return
        await life.stop()
        self._told = (over(together(self._told[0], life.executor.statistics())), None)
        self._life = None
        log.info("model %s is asleep", self._settings.name)

    # What whoever runs it needs.

    @property
    def executor(self) -> Executor:
        return self

    @property
    def awake(self) -> bool:
        return self._activator.state(self) in (State.WAKING, State.READY)

    @property
    def ready(self) -> int:
        """See Model: those of the life that is open."""
        return 0 if self._executor is None or self._life is None else self._life.ready

    @property
    def hopeless(self) -> bool:
        """See Model: it could not be woken, or not be kept awake."""
        return self._failure is not None if self._life is None else self._life.hopeless

    def subscribe(self, changed: Callable[[], None]) -> None:
        """See Model: over all of its lives."""
        self._watcher = changed

    def resize(self, replicas: int) -> None:
        """See Model. The number holds for the lives to come, too."""
        self._replicas = replicas
        if self._life is not None:
            self._life.resize(replicas)

    def wish(self, awake: bool) -> None:
        """See Model."""
        self._activator.wish(self, awake)

    async def start(self, timeout: float) -> None:
        """Nothing: it sleeps until somebody asks for it."""

    async def wake(self, timeout: float) -> None:
        """See Model."""
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            await self._enter(1, 0, deadline)
        except DeadlineExceeded as error:
            reason = f"it is not awake after {timeout:g} s"
            raise ModelNotReady(self._settings.name, reason, retry_after=1.0) from error
        except ModelNotReady:
            if self._failure is None:
                raise
            raise self._failure from None
        self._leave()

    async def measure(self) -> int:
        return 0 if self._life is None else await self._life.measure()

    async def stop(self) -> None:
        """See Model."""
        self._stopping = True
        if self._executor is None:
            self._reopen()
        await self._activator.end(self)
        await self._lives.close()

    def kill(self) -> None:
        """See Model."""
        self._stopping = True
        if self._life is not None:
            self._life.kill()

    def configuration(self) -> ModelConfiguration:
        """See Model. While it sleeps it is that of the last time it was awake: nothing of it can have changed."""
        if self._configuration is None:
            raise ModelNotReady(self._settings.name, "it was never awake", retry_after=1.0)
        return self._configuration

    # What its callers need.

    @property
    def metadata(self) -> ModelMetadata | None:
        return self._metadata

    @property
    def readiness(self) -> Readiness:
        if self._executor is not None:
            return self._executor.readiness
        if self._stopping:
            return Readiness(False, "it is being unloaded", asleep=True)
        if self._failure is not None:
            return Readiness(False, self._failure.message, asleep=True)
        return Readiness(True, self._activator.state(self).value, asleep=True)

    def statistics(self) -> RevisionStatistics:
        """Of all lives together, and of those who wait for the next."""
        before, executor = self._told
        return self._waiting.added(before if executor is None else together(before, executor.statistics()))

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        """See the gateway's Backend."""
        if self._metadata is None:
            await self._enter(1, nbytes, deadline)
            self._leave()
        assert self._metadata is not None, "a model that is awake has told its signature"
        return self._metadata

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> Answer:
        """See the gateway's Backend."""
        executor = self._executor
        if executor is None:
            executor = await self._enter(self._rows(request), content_bytes(request), deadline)
        else:
            self._activator.passes(self)
        try:
            return await executor.infer(request, deadline, caller)
        finally:
            if not self._stateful or not self._keeps():  # as ``_leave``, without the call
                self._activator.left(self)

    async def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[Answer, None]:
        """See the gateway's Backend."""
        executor = await self._enter(self._rows(request), content_bytes(request), deadline)
        try:
            async with aclosing(executor.stream(request, deadline, caller)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            self._leave()

    async def _enter(self, rows: int, nbytes: int, deadline: float) -> Executor:
        """Arrive, and wait until it is awake. It stays so until ``_leave``.

        Raises:
            Overloaded: too many wait for it.
            ModelNotReady: it could not be woken, now or a moment ago.
            DeadlineExceeded: the deadline passed meanwhile.
            ShuttingDown: it is being stopped.
        """
        if self._executor is not None:
            self._activator.passes(self)
            return self._executor
        if self._stopping:
            raise ShuttingDown
        if deadline <= asyncio.get_running_loop().time():
            self._waiting.too_late += 1
            raise DeadlineExceeded(f"the request's deadline had passed when it reached model '{self._settings.name}'")
        self._waiting.admit(rows, nbytes)
        try:
            retry_at = self._activator.arrived(self)
            if retry_at is not None:
                self._waiting.failed += 1
                raise self._refusal(retry_at)
            try:
                await self._opening(deadline)
                if self._executor is not None:
                    return self._executor
                self._waiting.failed += 1
                raise ShuttingDown if self._stopping else self._refusal(self._activator.retry_at(self))
            except BaseException:
                self._activator.left(self)
                raise
        finally:
            self._waiting.leave(rows, nbytes)

    async def _opening(self, deadline: float) -> None:
        """Return when it has been woken, or has not."""
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._door)
        except TimeoutError as error:
            self._waiting.expired += 1
            name = self._settings.name
            state = self._activator.state(self)
            what = "was waking" if state is State.WAKING else "had no room to wake"
            raise DeadlineExceeded(f"the request's deadline passed while model '{name}' {what}") from error
        except asyncio.CancelledError:
            self._waiting.cancelled += 1
            raise

    def _refusal(self, retry_at: float) -> ModelNotReady:
        """What callers are told who come too early after it could not be woken."""
        reason = "it could not be woken" if self._failure is None else self._failure.message
        left = retry_at - asyncio.get_running_loop().time()
        return ModelNotReady(self._settings.name, reason, retry_after=max(left, 0.001))

    def _leave(self) -> None:
        if not self._stateful or not self._keeps():
            self._activator.left(self)

    def _keeps(self) -> bool:
        """Whether a request stays arrived in the name of the sequences that are open."""
        if self._sequences is not None or not self._open_sequences():
            return False
        self._look_again()
        return True

    def _look_again(self) -> None:
        seconds = max(self._settings.batching.sequence_idle, _LEAST_LOOK)
        self._sequences = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._sequences = None
        if self._open_sequences():
            self._look_again()
        else:
            self._activator.left(self)

    def _open_sequences(self) -> int:
        sequences = None if self._executor is None else self._executor.statistics().sequences
        return 0 if sequences is None else sequences.open

    def _tell(self) -> None:
        if self._watcher is not None:
            self._watcher()

    def _reopen(self) -> None:
        """Let those who wait go on, and others wait anew."""
        door, self._door = self._door, asyncio.get_running_loop().create_future()
        door.set_result(None)

    def _rows(self, request: InferRequest) -> int:
        metadata = self._metadata
        return request.inputs[0].shape[0] if metadata is not None and metadata.batch_dimension and request.inputs else 1
