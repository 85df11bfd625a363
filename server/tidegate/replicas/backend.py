"""The gateway's port to a model, over replicas that are child processes of this one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

from tidegate.batching.item import ANYBODY, Caller
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.replicas.batch import BatchResult
from tidegate.replicas.directory import sweep
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.footprint import footprint
from tidegate.replicas.log import Log
from tidegate.replicas.pool import Pool
from tidegate.replicas.readiness import Readiness
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.supervisor import Replica
from tidegate.replicas.zygotes import Zygotes
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import RevisionMetrics
from tidegate.telemetry.statistics import RevisionStatistics

DEFAULT_BATCHING = BatchSettings()


class LocalAnswer:
    """A response over a worker's memory, which ``release`` gives back."""

    __slots__ = ("_result", "response")

    def __init__(self, response: InferResponse, result: BatchResult) -> None:
        self.response = response
        self._result = result

    def release(self) -> None:
        """The response's tensors are not read any more."""
        self._result.release()


class LocalBackend:
    """One revision of a model in worker processes of this machine. Implements the gateway's Backend."""

    def __init__(
        self,
        artifact: Artifact,
        runtime: str,
        settings: ReplicaSettings,
        metrics: RevisionMetrics,
        batching: BatchSettings = DEFAULT_BATCHING,
        log: Log | None = None,
        zygotes: Zygotes | None = None,
    ) -> None:
        self._artifact = artifact
        self._settings = settings
        self._dispatcher = Dispatcher(artifact.name, batching)
        self._pool = Pool(artifact, runtime, settings, self._dispatcher, metrics, log or Log(), zygotes)

    def __repr__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self._pool.states.items())
        return f"<LocalBackend {self._artifact.name} version {self._artifact.version}, {states}>"

    @property
    def metadata(self) -> ModelMetadata | None:
        return self._dispatcher.metadata

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        """The signature. It is not waited for: what is loaded with the server is known once the server is ready.

        Raises:
            ModelNotReady: the first load has not ended yet.
        """
        if self.metadata is None:
            raise ModelNotReady(self._artifact.name, self.readiness.reason, retry_after=1.0)
        return self.metadata

    @property
    def readiness(self) -> Readiness:
        return self._pool.readiness

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The workers that are to be there, and their keepers, to look at."""
        return tuple(self._pool.replicas)

    @property
    def ready(self) -> int:
        """How many replicas take requests."""
        return self._pool.ready

    @property
    def hopeless(self) -> bool:
        """Whether requests are refused because no replica is worth waiting for."""
        return self._pool.hopeless is not None

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called, in the event loop, whenever a replica's state or their number has changed."""
        self._pool.subscribe(changed)

    def resize(self, replicas: int) -> None:
        """Have so many replicas, at least 1, from now on. No request fails by it, and nobody waits for it."""
        self._pool.resize(replicas)

    def statistics(self) -> RevisionStatistics:
        return self._dispatcher.statistics(dict(self._pool.states))

    def relocate(self, path: Path) -> None:
        """Load the artifact from here, not from where it was found. Before ``start``."""
        self._pool.relocate(path)

    def give_up(self, refusal: ModelLoadFailed) -> None:
        """There is nothing to load: requests are answered with the reason. Instead of ``start``."""
        self._pool.give_up(refusal)

    async def start(self) -> None:
        """Start the workers and return at once; ``wait_ready`` tells when it answers."""
        sweep(self._settings.directory)
        await self._pool.start()

    async def wait_ready(self, timeout: float) -> None:
        """Return once the model answers.

        Raises:
            ModelLoadFailed: the model's own refusal; it will not be tried again.
            ModelNotReady: it fails again and again, or is not ready after ``timeout`` seconds.
        """
        pool = self._pool
        try:
            async with asyncio.timeout(timeout):
                while not pool.readiness.ready:
                    if pool.refusal is not None:
                        raise pool.refusal
                    if pool.hopeless is not None:
                        break
                    await pool.changed()
                else:
                    return
        except TimeoutError:
            pass
        raise ModelNotReady(self._artifact.name, pool.readiness.reason, retry_after=1.0)

    async def measure(self) -> int:
        """Bytes of memory that the workers hold together; 0 where this system does not tell."""
        pids = [replica.pid for replica in self._pool.every if replica.pid is not None]
        return await asyncio.to_thread(lambda: sum(map(footprint, pids)))

    async def stop(self) -> None:
        """Finish what the workers have, refuse what still waits, and leave nothing behind.

        Cancelling this leaves nothing behind, either: the end goes on by itself.
        """
        await self._pool.stop()

    def kill(self) -> None:
        """End the workers now, with what they execute; ``stop`` is still to be awaited, and returns without delay."""
        self._pool.kill()

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> LocalAnswer:
        """Execute a request that fits the signature; ``deadline`` is a time of the event loop, in seconds.

        Cancelling the task withdraws the request. The answer must be released once it is encoded.

        Raises:
            TidegateError: see ``Dispatcher.execute``.
        """
        return self._answer(request, await self._dispatcher.execute(request, deadline, caller))

    async def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[LocalAnswer, None]:
        """Execute a request of a decoupled model: its answers as they come, each to be released once it is encoded.

        Raises:
            TidegateError: see ``Dispatcher.stream``.
        """
        async with aclosing(self._dispatcher.stream(request, deadline, caller)) as results:
            async for result in results:
                yield self._answer(request, result)

    def _answer(self, request: InferRequest, result: BatchResult) -> LocalAnswer:
        response = InferResponse(request.model_name, result.outputs, self._artifact.version, request.id)
        return LocalAnswer(response, result)
