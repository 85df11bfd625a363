"""The requests that wait for a model to wake: how many may, and what became of them.

They are bounded as those in the model's queue are, where they go next, and counted as those are.
"""

from __future__ import annotations

import msgspec

from tidegate.batching.room import Room
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import Overloaded
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.statistics import RevisionStatistics

_RETRY_AFTER = 1.0
"""Seconds, the least that HTTP can say: a small model is awake by then."""


class Waiting(Room):
    """Of one model."""

    def __init__(self, model: str, settings: BatchSettings) -> None:
        super().__init__(settings.max_queue, settings.max_queue_bytes)
        self._model = model
        self.overloaded = 0
        self.failed = 0
        self.expired = 0
        self.cancelled = 0
        self.too_late = 0

    def admit(self, rows: int, nbytes: int) -> None:
        """One more, until ``leave``.

        Raises:
            Overloaded: it would be too many.
        """
        if self.full_for(rows, nbytes):
            self.overloaded += 1
            raise Overloaded(
                f"model '{self._model}' is asleep, and {self.requests} requests with {self.rows} rows wait for it to "
                f"wake, which is as many as it may",
                retry_after=_RETRY_AFTER,
            )
        self.enter(rows, nbytes)

    def added(self, behind: RevisionStatistics) -> RevisionStatistics:
        """The statistics of the model, with those that wait for it as if they did so in its queue."""
        lost = self.failed + self.expired + self.cancelled
        if not (self.requests or lost or self.overloaded or self.too_late):
            return behind
        batcher = behind.batcher or IDLE
        counts, depth = batcher.counts, batcher.depth
        return msgspec.structs.replace(
            behind,
            untouched=False,
            batcher=msgspec.structs.replace(
                batcher,
                depth=msgspec.structs.replace(
                    depth,
                    requests=depth.requests + self.requests,
                    rows=depth.rows + self.rows,
                    nbytes=depth.nbytes + self.nbytes,
                ),
                counts=msgspec.structs.replace(
                    counts,
                    arrived=counts.arrived + lost,
                    failed=counts.failed + self.failed,
                    expired=counts.expired + self.expired,
                    cancelled=counts.cancelled + self.cancelled,
                    overloaded=counts.overloaded + self.overloaded,
                    too_late=counts.too_late + self.too_late,
                ),
            ),
        )
