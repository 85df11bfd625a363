"""A model that is loaded on demand, without a process: how long it takes, and what it holds, is said by the test.

It tells on whoever uses it wrongly: a request to a life that has not begun or has ended is a failed assertion. ::

    lives = FakeLives("m", load_seconds=2.0)
    model = SleepingModel(lives.settings(), lives, activator)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from tidegate.batching.item import ANYBODY, Caller
from tidegate.batching.sequences import SequenceStatistics
from tidegate.batching.settings import BatchSettings
from tidegate.control.sleeping import SleeperSettings
from tidegate.gateway.backend import Readiness, RevisionStatistics
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import ModelNotReady, ShuttingDown, TidegateError
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.telemetry.statistics import Executed
from tidegate.testing.backends import FakeAnswer, identity_metadata


class FakeLives:
    """Implements control's Lives. What is changed holds from the next life on, or from the next request."""

    def __init__(
        self, name: str, *, load_seconds: float = 1.0, nbytes: int = 100, metadata: ModelMetadata | None = None
    ) -> None:
        self.name = name
        self.load_seconds = load_seconds
        self.stop_seconds = 0.5
        self.infer_seconds = 0.25
        self.nbytes = nbytes
        self.metadata = metadata or identity_metadata(name)
        self.error: TidegateError | Exception | None = None
        """What a load raises instead of ending well."""
        self.open_sequences = 0
        self.begun: list[FakeLife] = []
        self.closed = False

    @property
    def alive(self) -> int:
        """Lives that have memory: from the beginning of a load to the end of a stop."""
        return sum(life.alive for life in self.begun)

    @property
    def answered(self) -> int:
        """Requests, by all lives."""
        return sum(life.answered for life in self.begun)

    def settings(self, size: int = 10, ready_timeout: float = 60.0, **batching: int | float) -> SleeperSettings:
        return SleeperSettings(
            name=self.name,
            runtime="fake",
            size=size,
            batching=BatchSettings(**batching),  # type: ignore[arg-type]
            ready_timeout=ready_timeout,
        )

    def next(self) -> FakeLife:
        assert not self.closed, "a model woke that has ended"
        life = FakeLife(self)
        self.begun.append(life)
        return life

    async def close(self) -> None:
        self.closed = True


class FakeLife:
    """Implements control's Model and Executor: it answers with its inputs."""

    def __init__(self, lives: FakeLives) -> None:
        self._lives = lives
        self.metadata: ModelMetadata | None = None
        self.alive = True
        self.open = False
        self.answered = 0
        self.executing = 0
        self.interrupted = 0
        """Requests that were executing when it was told to stop."""
        self.replicas = 1
        """As many as it was told to have; all of them are ready while it is open."""
        self.hopeless = False
        self._watcher: Callable[[], None] | None = None

    @property
    def executor(self) -> FakeLife:
        return self

    @property
    def awake(self) -> bool:
        return True

    @property
    def readiness(self) -> Readiness:
        return Readiness(self.open)

    @property
    def ready(self) -> int:
        return self.replicas if self.open else 0

    def subscribe(self, changed: Callable[[], None]) -> None:
        self._watcher = changed

    def resize(self, replicas: int) -> None:
        assert replicas >= 1, "a model has at least one replica"
        self.replicas = replicas
        self._tell()

    def wish(self, awake: bool) -> None:
        """Nothing: it does not sleep."""

    def crash(self, *, hopeless: bool = False) -> None:
        """Its replicas are lost; ``recover`` brings them back."""
        self.open, self.hopeless = False, hopeless
        self._tell()

    def recover(self) -> None:
        """What was lost is ready again."""
        self.open, self.hopeless = True, False
        self._tell()

    def _tell(self) -> None:
        if self._watcher is not None:
            self._watcher()

    async def start(self, timeout: float) -> None:
        await asyncio.sleep(self._lives.load_seconds)
        if self._lives.error is not None:
            raise self._lives.error
        if self._lives.load_seconds > timeout:
            raise ModelNotReady(self._lives.name, "it takes too long")
        self.metadata = self._lives.metadata
        self.open = True
        self._tell()

    async def wake(self, timeout: float) -> None:
        """Nothing."""

    async def measure(self) -> int:
        return self._lives.nbytes

    async def stop(self) -> None:
        self.open = False
        self._tell()
        self.interrupted = self.executing
        await asyncio.sleep(self._lives.stop_seconds)
        self.alive = False

    def kill(self) -> None:
        self.open = False
        self._tell()

    def configuration(self) -> ModelConfiguration:
        return ModelConfiguration(
            name=self._lives.name,
            platform="tidegate_fake",
            backend="fake",
            version_policy={"latest": {"num_versions": 1}},
            max_batch_size=0,
            input=(),
            output=(),
            instance_group=(),
        )

    def statistics(self) -> RevisionStatistics:
        return RevisionStatistics(
            batcher=None,
            replicas={"ready": self.replicas} if self.open else {},
            executed={1: Executed(self.answered, 0.0, 0.0, 0.0)},
            last_inference=0.0,
            sequences=SequenceStatistics(open=self._lives.open_sequences, started=0, ended=0, expired=0, lost=0),
        )

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        assert self.metadata is not None
        return self.metadata

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> FakeAnswer:
        self._check()
        self.executing += 1
        try:
            await asyncio.sleep(self._lives.infer_seconds)
            return self._answer(request)
        finally:
            self.executing -= 1

    async def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[FakeAnswer, None]:
        self._check()
        self.executing += 1
        try:
            for _ in range(2):
                await asyncio.sleep(self._lives.infer_seconds)
                yield self._answer(request)
        finally:
            self.executing -= 1

    def _answer(self, request: InferRequest) -> FakeAnswer:
        if not self.open:
            raise ShuttingDown
        self.answered += 1
        return FakeAnswer(InferResponse(self._lives.name, request.inputs))

    def _check(self) -> None:
        assert self.open, f"a request met model '{self._lives.name}' asleep"
