"""The gateway's port to a model, over replicas that are child processes of this one."""

from __future__ import annotations

import asyncio

import msgspec

from tidegate.protocol.errors import ModelNotReady, ShuttingDown
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.replicas.batch import Batch, BatchResult
from tidegate.replicas.directory import sweep
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.readiness import Readiness
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.supervisor import Replica
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import RevisionMetrics


class LocalAnswer:
    """A response over a worker's memory, which ``release`` gives back."""

    __slots__ = ("_result", "response")

    def __init__(self, response: InferResponse, result: BatchResult) -> None:
        self.response = response
        self._result = result

    def release(self) -> None:
        """The response's tensors are not read any more."""
        self._result.release()


class BackendStatistics(msgspec.Struct, frozen=True):
    """A backend at one instant."""

    state: str
    pid: int | None
    """The worker's process, None while there is none."""
    waiting: int
    waiting_bytes: int
    inflight: int
    """Requests at the worker: executing, or next."""
    executed: int
    restarts: int
    failures: int
    """Failures in a row; 0 for a worker that never failed."""
    service_seconds: float


class LocalBackend:
    """One revision of a model in one worker process. Implements the gateway's Backend."""

    def __init__(self, artifact: Artifact, runtime: str, settings: ReplicaSettings, metrics: RevisionMetrics) -> None:
        self._artifact = artifact
        self._settings = settings
        self._dispatcher = Dispatcher(artifact.name, settings)
        self._replica = Replica(artifact, runtime, settings, self._dispatcher, metrics)

    def __repr__(self) -> str:
        return f"<LocalBackend {self._artifact.name} version {self._artifact.version}, {self._replica.state}>"

    @property
    def metadata(self) -> ModelMetadata | None:
        return self._replica.metadata

    @property
    def readiness(self) -> Readiness:
        return self._replica.readiness

    def statistics(self) -> BackendStatistics:
        replica, queue = self._replica, self._dispatcher.statistics()
        return BackendStatistics(
            state=replica.state.value,
            pid=replica.pid,
            waiting=queue.waiting,
            waiting_bytes=queue.waiting_bytes,
            inflight=replica.inflight,
            executed=queue.executed,
            restarts=replica.restarts,
            failures=replica.failures,
            service_seconds=queue.service_seconds,
        )

    async def start(self) -> None:
        """Start the worker and return at once; ``wait_ready`` tells when it answers."""
        sweep(self._settings.directory)
        await self._replica.start()

    async def wait_ready(self, timeout: float) -> None:
        """Return once the model answers.

        Raises:
            ModelLoadFailed: the model's own refusal; it will not be tried again.
            ModelNotReady: it fails again and again, or is not ready after ``timeout`` seconds.
        """
        replica = self._replica
        try:
            async with asyncio.timeout(timeout):
                while not replica.readiness.ready:
                    if replica.refusal is not None:
                        raise replica.refusal
                    if replica.crash_looping:
                        break
                    await replica.changed()
                else:
                    return
        except TimeoutError:
            pass
        raise ModelNotReady(self._artifact.name, replica.readiness.reason, retry_after=1.0)

    async def stop(self) -> None:
        """Finish what the worker has, refuse what still waits, and leave nothing behind.

        Cancelling this leaves nothing behind, either: the end goes on by itself.
        """
        self._dispatcher.refuse(ShuttingDown)
        await self._replica.stop()

    def kill(self) -> None:
        """End the worker now, with what it executes; ``stop`` is still to be awaited, and returns without delay."""
        self._dispatcher.refuse(ShuttingDown)
        self._replica.kill()

    async def infer(self, request: InferRequest, deadline: float) -> LocalAnswer:
        """Execute a request that fits the signature; ``deadline`` is a time of the event loop, in seconds.

        Cancelling the task withdraws the request. The answer must be released once it is encoded.

        Raises:
            TidegateError: see ``Dispatcher.execute``.
        """
        result = await self._dispatcher.execute(Batch.of(request), deadline)
        response = InferResponse(request.model_name, result.outputs, self._artifact.version, request.id)
        return LocalAnswer(response, result)
