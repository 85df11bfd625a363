"""The requests that wait for a model to wake: how many may, and what became of them.

They are bounded as those in the model's queue are, where they go next, and counted as those are.
"""

from __future__ import annotations

import msgspec

from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import Overloaded
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.statistics import RevisionStatistics

_RETRY_AFTER = 1.0
"""Seconds, the least that HTTP can say: a small model is awake by then."""


class Waiting:
    """Of one model. A request that finds nobody waiting is always taken, as in the queue."""

    def __init__(self, model: str, settings: BatchSettings) -> None:
        self._model = model
        self._settings = settings
        self.requests = 0
        self.rows = 0
        self.nbytes = 0
        self.overloaded = 0
        self.failed = 0
        self.expired = 0
        self.cancelled = 0
        self.too_late = 0

    def enter(self, rows: int, nbytes: int) -> None:
        """One more, until ``leave``.

        Raises:
            Overloaded: it would be too many.
        """
        most, most_bytes = self._settings.max_queue, self._settings.max_queue_bytes
        if self.requests and (self.rows + rows > most or self.nbytes + nbytes > most_bytes):
            self.overloaded += 1
            raise Overloaded(
                f"model '{self._model}' is asleep, and {self.requests} requests with {self.rows} rows wait for it to "
                f"wake, which is as many as it may",
                retry_after=_RETRY_AFTER,
            )
        self.requests += 1
        self.rows += rows
        self.nbytes += nbytes

    def leave(self, rows: int, nbytes: int) -> None:
        """It waits no more."""
        self.requests -= 1
        self.rows -= rows
        self.nbytes -= nbytes

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
