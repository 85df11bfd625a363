"""How much of a bucket makes the next batch, and whether to wait for more.

A batch is formed when a replica takes it, of what is there at that instant. It never waits while a replica is idle,
unless a manifest asks for it (``max_latency``) and several requests wait; for a busy replica it is closed shortly
before that is free, or as soon as it is full.
"""

from __future__ import annotations

from math import inf
from typing import Generic

import msgspec

from tidegate.batching.batch import Batch, Part, Reason
from tidegate.batching.bucket import Bucket
from tidegate.batching.item import Item, T
from tidegate.batching.padding import padded_size, unpadded_limit
from tidegate.batching.queue import Queue
from tidegate.batching.settings import BatchSettings


class Hold(msgspec.Struct, frozen=True):
    """Which buckets may be batched now, and when the next of the others may."""

    ready: frozenset[Bucket] | None
    """None is all of them."""
    until: float
    """Infinity where nothing is held."""
    closing: Reason
    """Why a batch of a ready bucket is closed, if it is not full."""


class Former(Generic[T]):
    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings

    def largest(self, item: Item[T]) -> int:
        """The most rows like this item's that may be executed at once, learned times aside."""
        settings = self._settings
        most = min(settings.max_batch, settings.batch_sizes[-1]) if settings.batch_sizes else settings.max_batch
        return max(1, min(most, settings.max_batch_bytes // item.row_bytes) if item.nbytes else most)

    def hopeless(self, item: Item[T], start: float, now: float) -> bool:
        """Whether an item that starts at ``start`` ends after its deadline, as far as is known."""
        rows = padded_size(min(item.rows, item.largest), self._settings.batch_sizes)
        seconds = item.bucket.curve.predict(rows, now)
        return seconds is not None and start + seconds > item.deadline

    def hold(self, queue: Queue[T], now: float, idle: bool, release: float) -> Hold:
        """What is to wait for company. ``release`` is when a batch for a busy replica is closed at the latest."""
        settings = self._settings
        if idle:
            if settings.max_latency <= 0.0 or queue.requests <= 1:
                return _GO_TO_IDLE
            return self._hold_back(queue, now)
        if release <= now:
            return _GO_AHEAD
        full = frozenset(bucket for bucket in queue.buckets() if bucket.rows >= self._room(bucket))
        return Hold(full, release, Reason.PREFETCH)

    def form(self, queue: Queue[T], head: Item[T], now: float, start: float, closing: Reason) -> Batch[T]:
        """Take the next batch out of the queue: ``head`` and what fits with it, to be executed from ``start`` on."""
        if self.hopeless(head, start, now):
            start = -inf  # it is late whatever its size, so that deadlines do not bound the batch
        draft: _Draft[T] = _Draft(self._settings, head.bucket, start, now)
        draft.lead(queue, head)
        if self._settings.idempotent and draft.room > 0:
            for item in queue.followers(head.bucket):
                if not draft.follow(queue, item):
                    break
        return draft.close(closing)

    def _hold_back(self, queue: Queue[T], now: float) -> Hold:
        ready: set[Bucket] = set()
        until, closing = inf, Reason.MAX_LATENCY
        for bucket in queue.buckets():
            latest = min(lane.oldest().arrived for lane in bucket.lanes) + self._settings.max_latency
            slack = self._slack_ends(bucket, now)
            if bucket.rows >= self._room(bucket) or min(latest, slack) <= now:
                ready.add(bucket)
                if slack <= now < latest:
                    closing = Reason.SLACK
            else:
                until = min(until, latest, slack)
        return Hold(frozenset(ready), until, closing)

    def _slack_ends(self, bucket: Bucket, now: float) -> float:
        """When a bucket must start for its first deadline to be met; infinity where that is not known."""
        seconds = bucket.curve.predict(padded_size(bucket.rows, self._settings.batch_sizes), now)
        if seconds is None:
            return inf
        return min(lane.head().deadline for lane in bucket.lanes) - seconds

    def _room(self, bucket: Bucket) -> int:
        return rows_allowed(self._settings, bucket)


_GO_TO_IDLE = Hold(None, inf, Reason.IDLE)
_GO_AHEAD = Hold(None, inf, Reason.PREFETCH)


class _Draft(Generic[T]):
    """A batch that is being put together."""

    def __init__(self, settings: BatchSettings, bucket: Bucket, start: float, now: float) -> None:
        self._settings = settings
        self._bucket = bucket
        self._start = start
        self._now = now
        self._parts: list[Part[T]] = []
        self._rows = 0
        self._limit = rows_allowed(settings, bucket)
        self._space = settings.max_batch_bytes
        self._deadline = inf
        self._tight = False
        self._full = False

    @property
    def room(self) -> int:
        return self._limit - self._rows

    def lead(self, queue: Queue[T], head: Item[T]) -> None:
        """The head goes whatever was learned of its time: there must be a first time for its size."""
        self._tighten(head.deadline)
        rows = head.rows - head.cut
        if self._divided(head):
            # Not ``head.largest``, which may be of a time with less memory: a rest would follow in the same batch.
            rows = min(rows, max(1, min(self._limit, self._space // max(1, head.row_bytes))))
        self._take(queue, head, rows)

    def follow(self, queue: Queue[T], item: Item[T]) -> bool:
        """Take an item as well, whole or, if it must be split anyway, in part; False where the batch is closed."""
        if item.deadline < self._deadline:
            self._tighten(item.deadline)
        rows = item.rows - item.cut
        if rows > self.room or item.row_bytes * rows > self._space:
            self._full = True
            if not self._divided(item):
                return False
            rows = min(rows, self.room, self._space // max(1, item.row_bytes))
            if rows < 1:
                return False
        self._take(queue, item, rows)
        return not self._full and self.room > 0

    def close(self, closing: Reason) -> Batch[T]:
        full = self._full or self.room <= 0
        reason = (Reason.SLACK if self._tight else Reason.FULL) if full else closing
        size = padded_size(self._rows, self._settings.batch_sizes)
        return Batch(self._bucket, self._parts, self._rows, size, reason, self._now)

    def _divided(self, item: Item[T]) -> bool:
        """Whether an item has too many rows to be executed at once."""
        item.largest = min(item.largest, self._bucket.ceiling.rows)
        return item.rows > item.largest

    def _take(self, queue: Queue[T], item: Item[T], rows: int) -> None:
        start = queue.cut(item, rows, self._now)
        self._parts.append(Part(item, start, start + rows, self._rows))
        self._rows += rows
        self._space -= item.row_bytes * rows

    def _tighten(self, deadline: float) -> None:
        """No more rows than end before ``deadline``."""
        self._deadline = deadline
        fits = self._bucket.curve.fits(deadline - self._start, self._now) if self._start > -inf else None
        if fits is not None:
            fits = unpadded_limit(fits, self._settings.batch_sizes)
            if fits < self._limit:
                self._limit, self._tight = fits, True


def rows_allowed(settings: BatchSettings, bucket: Bucket) -> int:
    """Rows in the next batch of a bucket, deadlines aside."""
    allowed = min(settings.max_batch, bucket.curve.explorable(settings.initial_batch_size), bucket.ceiling.rows)
    return unpadded_limit(allowed, settings.batch_sizes)
