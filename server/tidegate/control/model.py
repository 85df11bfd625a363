"""The port to a version of a model that can be started and stopped. Whoever composes a server makes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from tidegate.batching.item import ANYBODY, Caller
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.replicas.readiness import Readiness
from tidegate.telemetry.statistics import RevisionStatistics


class Answer(Protocol):
    """A response whose tensors may lie in memory that the model wants back."""

    @property
    def response(self) -> InferResponse: ...

    def release(self) -> None:
        """Say that the response's tensors are no longer read, exactly once."""
        ...


class Executor(Protocol):
    """What executes requests. The gateway has the same port under the name of Backend."""

    @property
    def metadata(self) -> ModelMetadata | None: ...

    @property
    def readiness(self) -> Readiness: ...

    def statistics(self) -> RevisionStatistics: ...

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata: ...

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> Answer: ...

    def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[Answer, None]: ...


class Model(Protocol):
    """One version of a model: it lives once, from ``start`` to ``stop``."""

    @property
    def executor(self) -> Executor:
        """The same for its whole life."""
        ...

    @property
    def awake(self) -> bool:
        """Whether it is loaded, or being loaded. One that is loaded on demand sleeps between."""
        ...

    @property
    def ready(self) -> int:
        """How many replicas take requests."""
        ...

    @property
    def hopeless(self) -> bool:
        """Whether no replica is ready, and trying goes on at most slowly; its readiness says why."""
        ...

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called, in the event loop and at once, whenever these or its readiness have changed."""
        ...

    def resize(self, replicas: int) -> None:
        """Have so many replicas, at least 1, from now on; started or not. No request fails by it.

        Those that are added start in the background; those that go finish what they have. One that sleeps has so many
        when it wakes.
        """
        ...

    def wish(self, awake: bool) -> None:
        """Of one that is loaded on demand: be loaded by now, or sleep as soon as nobody uses it. A request wakes it
        whatever is wished."""
        ...

    async def start(self, timeout: float) -> None:
        """Load and warm it up, and return once it answers; one that is loaded on demand may be asked from now on.

        Raises:
            ModelLoadFailed: it cannot be loaded; trying again would change nothing.
            ModelNotReady: it fails again and again, or is not ready after ``timeout`` seconds; it may yet be.
        """
        ...

    async def wake(self, timeout: float) -> None:
        """Return once it is loaded, whoever needs it. After ``start``.

        Raises:
            TidegateError: as ``start``.
        """
        ...

    async def measure(self) -> int:
        """Bytes of memory that it holds while it is loaded; 0 where this system does not tell."""
        ...

    async def stop(self) -> None:
        """Finish what is being executed, refuse what waits, and leave nothing behind. Started or not."""
        ...

    def kill(self) -> None:
        """End it now, with what it executes; ``stop`` is still to be awaited."""
        ...

    def configuration(self) -> ModelConfiguration:
        """How it is run.

        Raises:
            ModelNotReady: its first load has not ended yet.
        """
        ...
