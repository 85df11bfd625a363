"""The port to whatever executes a request: child processes here, pods and foreign v2 servers elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from tidegate.batching.item import ANYBODY, Caller
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.replicas.readiness import Readiness
from tidegate.telemetry.statistics import RevisionStatistics

__all__ = ["ANYBODY", "Answer", "Backend", "Caller", "Readiness", "RevisionStatistics"]


class Answer(Protocol):
    """A response whose tensors may lie in memory that the replica wants back."""

    @property
    def response(self) -> InferResponse: ...

    def release(self) -> None:
        """Say that the response's tensors are no longer read. Must be called exactly once, after encoding."""
        ...


class Backend(Protocol):
    """One revision of a model behind one signature."""

    @property
    def metadata(self) -> ModelMetadata | None:
        """The signature; None until the first load has told it. A request that does not fit wakes nobody up."""
        ...

    @property
    def readiness(self) -> Readiness: ...

    def statistics(self) -> RevisionStatistics:
        """What has happened so far, and what waits now."""
        ...

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        """The signature, as soon as it is known: one that sleeps, and was never awake, is woken for it.

        ``nbytes`` is what the caller holds while it waits.

        Raises:
            TidegateError: Unavailable and its kinds, DeadlineExceeded.
        """
        ...

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> Answer:
        """Execute a request that fits the signature, and answer or raise by its deadline.

        ``deadline`` is on the event loop's clock, in seconds; ``caller`` is who asks, as far as the order of the queue
        is concerned. Cancelling the task withdraws the request.

        Raises:
            TidegateError: Unavailable and its kinds, DeadlineExceeded, ExecutionFailed.
        """
        ...

    def stream(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> AsyncGenerator[Answer, None]:
        """Execute a request of a decoupled model: its answers in order, all of them by the deadline.

        The model runs ahead of the answers that are released by a bounded number. Closing the generator withdraws the
        request, at whatever point it is.

        Raises:
            TidegateError: as ``infer``, also after some answers.
        """
        ...
