"""What a caller is told who gets no result: one sentence each, with the model's name in it."""

from __future__ import annotations

from tidegate.protocol.errors import DeadlineExceeded, ExecutionFailed, OutOfMemory, Overloaded, ReplicaLost


class Errors:
    """Makes the errors of one revision's queue."""

    def __init__(self, model: str) -> None:
        self._model = model

    def overloaded(self, requests: int, rows: int, retry_after: float) -> Overloaded:
        """The queue is full."""
        return Overloaded(
            f"model '{self._model}' has {requests} requests with {rows} rows waiting, which is as many as it may",
            retry_after=retry_after,
        )

    def shed(self, wait: float, left: float, retry_after: float) -> Overloaded:
        """What waits takes too long; the first two in seconds: until its answer, and until its deadline."""
        return Overloaded(
            f"model '{self._model}' has so many requests waiting that this one would be answered in about {wait:.3g} s"
            f", and its deadline is in {left:.3g} s",
            retry_after=retry_after,
        )

    def too_late(self) -> DeadlineExceeded:
        """The deadline had passed on arrival."""
        return DeadlineExceeded(f"the request's deadline had passed when it reached model '{self._model}'")

    def expired(self, taken: bool) -> DeadlineExceeded:
        """The deadline passed since."""
        where = f"model '{self._model}' executed it" if taken else f"it waited for model '{self._model}'"
        return DeadlineExceeded(f"the request's deadline passed while {where}")

    def hopeless(self, needed: float, left: float) -> DeadlineExceeded:
        """It cannot finish in time; both in seconds."""
        return DeadlineExceeded(
            f"model '{self._model}' needs about {needed:.3g} s for this request, whose deadline is in {left:.3g} s, "
            "and every replica is busy"
        )

    def lost(self, begun: bool) -> ReplicaLost:
        """The replica ended, and the request must not be executed twice, or is partly answered."""
        why = "a part of its answer has gone out" if begun else "the service is not idempotent"
        return ReplicaLost(
            f"the replica of model '{self._model}' ended while it executed this request, "
            f"which is not repeated because {why}",
            retry_after=1.0,
        )

    def out_of_memory(self, rows: int, reason: str) -> OutOfMemory:
        """It does not fit, and cannot be executed in smaller parts."""
        what = "one row of this request" if rows == 1 else f"the {rows} rows of this request"
        return OutOfMemory(f"model '{self._model}' has not enough memory for {what} alone: {reason}")

    def guilty(self, seconds: float) -> ExecutionFailed:
        """It ended replicas by itself."""
        return ExecutionFailed(
            f"replicas of model '{self._model}' ended whenever they executed this request; "
            f"it is refused for the next {seconds:.0f} s"
        )

    def quarantined(self, left: float) -> ExecutionFailed:
        """Its content ended replicas before."""
        return ExecutionFailed(
            f"replicas of model '{self._model}' ended when they executed a request with this content; "
            f"it is refused for another {left:.0f} s"
        )
