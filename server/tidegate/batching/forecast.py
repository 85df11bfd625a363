"""When a request that arrives now would be answered, by what waits before it and by how fast that goes.

As many executions overlap as there are replicas, so that full batches end one after another at a pace, which follows
from the time that one takes. The batch that a request will be in comes after those that are at replicas already and
after those of whatever goes before it. Only what is known to go before it counts, so that in doubt it is accepted, and
judged once more when it could go.
"""

from __future__ import annotations

from collections.abc import Collection
from math import ceil, inf
from typing import Generic

from tidegate.batching.batch import Batch
from tidegate.batching.bucket import Bucket
from tidegate.batching.former import rows_allowed
from tidegate.batching.item import Item, T
from tidegate.batching.queue import Queue
from tidegate.batching.rate import ServiceRate
from tidegate.batching.settings import BatchSettings

_DOUBT = 1.2
"""Waits that are this much longer than was learned are reckoned with: who is accepted should make it, although now and
then a batch is late, and the answer must be written and travel. It costs no throughput where overload lasts, for more
than a batch waits either way; of a burst, a few are refused that would just have made it."""


class Forecast(Generic[T]):
    def __init__(self, settings: BatchSettings, queue: Queue[T], rate: ServiceRate) -> None:
        self._settings = settings
        self._queue = queue
        self._rate = rate

    def late(self, item: Item[T], bucket: Bucket, inflight: Collection[Batch[T]], now: float) -> float | None:
        """When a new item would be answered, if that is after its deadline because of what waits; None otherwise.

        The batches ``inflight`` are at replicas, all of which are busy. It is None as well where too little was seen,
        and for an item that could not even be answered if it started now.
        """
        curve, overlap = bucket.curve, self._rate.overlap
        if not inflight or not overlap or not curve.knows(now):
            return None
        if now + curve.expect(item.rows) * curve.margin > item.deadline:
            return None
        left = sum([batch.bucket.curve.expect(batch.size) for batch in inflight]) / overlap
        begins = max(now, self._rate.last + left)
        most = rows_allowed(self._settings, bucket)
        pace = _DOUBT * curve.expect(most) / overlap

        def answered(rows: int) -> float:
            """So many rows and no more, its own included: when the batch with the last of them is done."""
            seconds = curve.expect(min(rows, most))
            # Of replicas that overlap the first is free before, and needs longer than a pace: halfway, on average.
            own = seconds * (1.0 + 1.0 / overlap) / 2.0
            return begins + (ceil(rows / most) - 1) * pace + own + (curve.margin - 1.0) * seconds

        if answered(self._queue.rows + item.rows) <= item.deadline:
            return None
        enough = most * (1 + max(0.0, item.deadline - begins) // pace) if pace else inf
        at = answered(self._queue.ahead(item, bucket, enough) + item.rows)
        return at if at > item.deadline else None
