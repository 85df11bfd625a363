"""The door: one revision's requests from arrival to answer.

The shell calls ``offer`` when a request arrives, ``take`` when a replica has a free credit, ``complete``, ``fail``,
``lost`` or ``give_back`` with the batch that it took, ``cancel`` when a caller goes away, and ``expire`` at the instant
that ``next_wake`` names. After each it answers what ``failures`` returns. Every request that ``offer`` accepts comes
out once: in ``complete``, in ``failures``, or by ``cancel``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import inf
from typing import Generic

from tidegate.batching.batch import Batch, Part, Reason
from tidegate.batching.bucket import Bucket, Buckets, Pinned
from tidegate.batching.counters import Counters
from tidegate.batching.errors import Errors
from tidegate.batching.forecast import Forecast
from tidegate.batching.former import Former
from tidegate.batching.item import Item, State, T
from tidegate.batching.ledger import Ledger
from tidegate.batching.outcome import after_error, renumbered, within
from tidegate.batching.padding import padded_size
from tidegate.batching.quarantine import Quarantine
from tidegate.batching.queue import Queue
from tidegate.batching.rate import ServiceRate
from tidegate.batching.settings import BatchSettings
from tidegate.batching.statistics import BatcherStatistics, Depth
from tidegate.protocol.errors import OutOfMemory, TidegateError


class Batcher(Generic[T]):
    """``fingerprint`` tells a payload's content; it is called only if a replica ended, for its cost is a hash."""

    def __init__(self, model: str, settings: BatchSettings, fingerprint: Callable[[T], bytes]) -> None:
        self._errors = Errors(model)
        self._settings = settings
        self._fingerprint = fingerprint
        self._queue: Queue[T] = Queue(settings)
        self._former: Former[T] = Former(settings)
        self._buckets = Buckets(settings)
        self._quarantine = Quarantine(settings.max_deaths, settings.quarantine_size, settings.quarantine_seconds)
        self._rate = ServiceRate()
        self._forecast: Forecast[T] = Forecast(settings, self._queue, self._rate)
        self._counters = Counters()
        self._ledger: Ledger[T] = Ledger(self._queue, self._counters)
        self._inflight: set[Batch[T]] = set()
        self._held_until = inf

    def __repr__(self) -> str:
        return f"<Batcher {self._queue!r}, {len(self._inflight)} batches in flight>"

    @property
    def waiting(self) -> int:
        """Requests that wait for a replica."""
        return self._queue.requests

    def crowded(self, item: Item[T], now: float) -> bool:
        """Whether one more like this may be refused for what waits, if that cannot go first."""
        return self._queue.full_for(item) or self._late(item, now) is not None

    def offer(self, item: Item[T], now: float, *, busy: bool = False) -> None:
        """Accept a new request. ``busy`` tells that it is ``crowded``, and no replica idle.

        Raises:
            Overloaded: the queue is full, or every replica is busy and what waits before it takes too long; it says
                after how long to come back.
            DeadlineExceeded: the deadline has passed already.
            ExecutionFailed: this content has ended replicas before.
        """
        counters = self._counters
        if item.deadline <= now:
            counters.too_late += 1
            raise self._errors.too_late()
        if len(self._quarantine):
            left = self._quarantine.left(self._fingerprint(item.payload), now)
            if left:
                counters.quarantined += 1
                raise self._errors.quarantined(left)
        if self._queue.full_for(item):
            counters.overloaded += 1
            raise self._errors.overloaded(self._queue.requests, self._queue.rows, self._retry_after())
        if busy and (at := self._late(item, now)) is not None:
            counters.shed += 1
            raise self._errors.shed(at - now, item.deadline - now, self._retry_after())
        self._ledger.accept(item, self._buckets.of(item.key), self._former.largest(item), now)

    def take(
        self,
        now: float,
        *,
        idle: int,
        frees_at: float | None = None,
        handover: float = 0.0,
        place: Hashable | None = None,
    ) -> Batch[T] | None:
        """The next batch for a replica with a free credit; None where there is nothing to do for now.

        ``idle`` is how many replicas have nothing at all, this one included. If it is 0, the batch is for a busy one:
        ``frees_at`` is when that is expected to be free (None: unknown, it is given what there is), and ``handover``
        how many seconds before that its batch is closed, so that transfer and execution overlap. ``place`` is the
        replica's where requests are ``Pinned``: it is given none that must go elsewhere.
        """
        self.expire(now)
        self._held_until = inf
        queue = self._queue
        if queue.again:
            parts = queue.repeated()
            if parts:
                return self._repeat(parts, now)
        if not queue.requests:
            return None
        start = now if idle or frees_at is None else max(now, frees_at)
        hold = self._former.hold(queue, now, idle > 0, start - handover)
        self._held_until = hold.until
        ready = hold.ready if place is None else self._may_go(place, hold.ready)
        head, late = self._urgent_head(now, start, ready)
        if head is None and late and idle:
            # Better late than idle, and it teaches a wrong curve.
            for item in late:
                queue.put_back(item, now)
            late.clear()
            head = queue.head(now, ready)
        batch = None if head is None else self._former.form(queue, head, now, start, hold.closing)
        self._settle_late(late, now, still_idle=idle - (batch is not None) > 0)
        return None if batch is None else self._taken(batch, now)

    def begin(self, batch: Batch[T]) -> bool:
        """A part of the answer of a batch of one request goes out; False where nobody waits for it any more."""
        item = batch.parts[0].item
        if not item.answered:
            item.begun = True
        return not item.answered

    def complete(self, batch: Batch[T], now: float, seconds: float) -> list[Part[T]]:
        """A replica has executed a batch in ``seconds``. The parts that somebody waits for, in order.

        A part whose item is COMPLETED now is its last, or only, one.
        """
        self._landed(batch, now, seconds)
        batch.bucket.curve.observe(batch.size, seconds, now)
        batch.bucket.ceiling.fits(batch.size, now)
        self._counters.executed_rows += batch.rows
        return self._ledger.done(batch)

    def fail(self, batch: Batch[T], error: TidegateError, now: float, seconds: float) -> None:
        """The runtime raised. A part that was alone is to blame; others are executed again in two halves.

        Where it ran out of memory, nobody is to blame but a row that was alone: the rest runs again in smaller batches.
        """
        self._landed(batch, now, seconds)
        self._ledger.undone(batch)
        if isinstance(error, OutOfMemory):
            self._too_large(batch, error, now)
            return
        if len(batch.parts) == 1:
            self._ledger.fail(batch.parts[0].item, State.FAILED, error)
            return
        self._counters.repeated += 1
        for group in reversed(after_error(batch.parts)):
            self._ledger.again(group, first=True)

    def lost(self, batch: Batch[T], now: float) -> None:
        """A replica ended while it executed this batch. Its parts are executed again one by one, if they may be."""
        self._inflight.remove(batch)
        self._ledger.undone(batch)
        self._counters.landed(batch)
        self._counters.lost += 1
        if len(batch.parts) == 1:
            self._alone_at_death(batch.parts[0], now)
            return
        for part in batch.parts:
            part.item.deaths += 1
            self._after_death(part)

    def give_back(self, batch: Batch[T], now: float) -> None:
        """A replica has not begun this batch and will not: its requests wait again where they were."""
        self._inflight.remove(batch)
        self._ledger.undone(batch)
        parts = [part for part in batch.parts if not part.item.answered]
        if batch.reason is Reason.RETRY:
            if parts:
                self._ledger.again(parts, first=True)
            return
        for part in parts:
            if part.whole:
                self._ledger.back(part.item, now)
            else:
                self._ledger.again([part])

    def cancel(self, item: Item[T], now: float) -> None:
        """Nobody waits for this request any more, wherever it is; nothing happens if it has been answered."""
        if not item.answered:
            self._ledger.end(item, State.CANCELLED)

    def expire(self, now: float) -> None:
        """Answer the requests whose deadline has come."""
        if self._held_until <= now:
            self._held_until = inf  # whoever has a credit for what was held takes it now
        for item in self._ledger.expired(now):
            self._ledger.fail(item, State.EXPIRED, self._errors.expired(item.state is State.TAKEN))

    def refuse(self, error: Callable[[], TidegateError], now: float) -> None:
        """Answer everything that waits with an error; what is at the replicas goes on, as far as it was taken."""
        for item in self._queue.waiting():
            self._ledger.fail(item, State.FAILED, error())

    def desert(self, place: Hashable, error: Callable[[T], TidegateError]) -> None:
        """A place is gone: what waits for it, and may not go elsewhere, is answered with an error."""
        for item in self._queue.waiting():
            if isinstance(item.key, Pinned) and item.key.place == place:
                self._ledger.fail(item, State.FAILED, error(item.payload))

    def failures(self) -> list[tuple[Item[T], TidegateError]]:
        """The requests that have ended with an error since the last call, each with what to say."""
        failures, self._ledger.failures = self._ledger.failures, []
        return failures

    def next_wake(self) -> float:
        """When to call ``expire`` and to ask ``take`` again at the latest; infinity where nothing is to come."""
        return min(self._ledger.next_deadline(), self._held_until)

    def statistics(self, now: float) -> BatcherStatistics:
        """Everything there is to know, at a cost: the oldest request is searched."""
        queue = self._queue
        waiting = queue.waiting()
        depth = Depth(
            rows=queue.rows,
            requests=queue.requests,
            nbytes=queue.nbytes,
            oldest_wait=now - waiting[0].arrived if waiting else 0.0,
            inflight_rows=sum(batch.rows for batch in self._inflight),
            inflight_batches=len(self._inflight),
        )
        return BatcherStatistics(
            depth=depth,
            counts=self._counters.view(self._settings.max_batch),
            rows_per_second=self._rate.rows_per_second,
            contents_in_quarantine=len(self._quarantine),
            curves=self._buckets.learned(),
        )

    def _retry_after(self) -> float:
        return self._rate.retry_after(self._queue.rows, self._settings.max_retry_after)

    def _late(self, item: Item[T], now: float) -> float | None:
        """When a new request would be answered, if what waits makes that too late."""
        bucket = self._buckets.find(item.key) if self._settings.refuse_early and self._queue.requests else None
        return None if bucket is None else self._forecast.late(item, bucket, self._inflight, now)

    def _too_large(self, batch: Batch[T], error: OutOfMemory, now: float) -> None:
        self._counters.out_of_memory += 1
        if batch.rows > 1:  # of one row there is nothing to learn: no batch can be smaller
            batch.bucket.ceiling.refuse(batch.size, now)
        if batch.rows == 1 or not self._settings.idempotent:
            failure = self._errors.out_of_memory(batch.rows, error.message)
            self._ledger.fail(batch.parts[0].item, State.FAILED, failure)
            return
        self._counters.repeated += 1
        wanted = [part for part in batch.parts if not part.item.answered]
        if wanted:
            self._ledger.again(wanted, first=True)

    def _alone_at_death(self, part: Part[T], now: float) -> None:
        item = part.item
        guilty = self._quarantine.accuse(self._fingerprint(item.payload), item.deaths + 1, now)
        item.deaths = 0  # they are counted with the content from here on
        if guilty:
            self._ledger.fail(item, State.FAILED, self._errors.guilty(self._settings.quarantine_seconds))
        else:
            self._after_death(part)

    def _after_death(self, part: Part[T]) -> None:
        if part.item.begun or not self._settings.idempotent:
            self._ledger.fail(part.item, State.FAILED, self._errors.lost(part.item.begun))
        elif not part.item.answered:
            self._ledger.again([part])

    def _may_go(self, place: Hashable, ready: frozenset[Bucket] | None) -> frozenset[Bucket]:
        buckets = self._queue.buckets() if ready is None else ready
        return frozenset(bucket for bucket in buckets if not isinstance(bucket.key, Pinned) or bucket.key.may_go(place))

    def _urgent_head(
        self, now: float, start: float, ready: frozenset[Bucket] | None
    ) -> tuple[Item[T] | None, list[Item[T]]]:
        """The first request that can finish in time, and those before it that cannot, which are put aside."""
        late: list[Item[T]] = []
        head = self._queue.head(now, ready)
        if self._settings.refuse_early:
            # What has begun is not refused any more: its first rows are paid for.
            while head is not None and not head.cut and self._former.hopeless(head, start, now):
                self._queue.put_aside(head)
                late.append(head)
                head = self._queue.head(now, ready)
        return head, late

    def _settle_late(self, late: list[Item[T]], now: float, *, still_idle: bool) -> None:
        """Refuse what cannot finish in time, unless there is still a replica that would do nothing instead."""
        for item in late:
            if still_idle:
                self._queue.put_back(item, now)
            else:
                seconds = item.bucket.curve.predict(min(item.rows, item.largest), now)
                self._ledger.fail(item, State.REFUSED, self._errors.hopeless(seconds or 0.0, item.deadline - now))

    def _repeat(self, parts: list[Part[T]], now: float) -> Batch[T]:
        """A batch of parts that wait to be executed by themselves, as many of them as fit the memory."""
        most = parts[0].item.bucket.ceiling.rows
        fitting, rest = within(parts, most)
        if rest:
            fitting[0].item.largest = min(fitting[0].item.largest, most)
            self._queue.repeat(rest, first=True)
        placed = renumbered(fitting)
        rows = placed[-1].offset + placed[-1].rows
        size = padded_size(rows, self._settings.batch_sizes)
        return self._taken(Batch(parts[0].item.bucket, placed, rows, size, Reason.RETRY, now), now)

    def _taken(self, batch: Batch[T], now: float) -> Batch[T]:
        self._ledger.taken(batch)
        if not self._inflight:
            self._rate.begin(now)
        batch.contended = self._queue.requests > 0
        self._inflight.add(batch)
        self._buckets.used(batch.bucket)
        return batch

    def _landed(self, batch: Batch[T], now: float, seconds: float) -> None:
        self._inflight.remove(batch)  # a KeyError is a batch that was never taken, or came twice: a fault of ours
        # Replicas that began together end together, and the last of them may have taken what was left.
        contended = batch.contended or any(other.contended for other in self._inflight)
        self._rate.finished(batch.rows, seconds, now, contended=contended)
        self._counters.landed(batch)
        self._counters.busy_seconds += seconds
