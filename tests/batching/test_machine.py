"""Whatever happens in whatever order: arrivals, cancels, errors, crashes, no memory, expiries, overload, virtually."""

from __future__ import annotations

from collections import Counter
from math import inf

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidegate.batching.batch import Batch, Join, Part, Reason
from tidegate.batching.batcher import Batcher
from tidegate.batching.bucket import Bucket
from tidegate.batching.item import Caller, Item, State
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import DeadlineExceeded, ExecutionFailed, OutOfMemory, Overloaded, TidegateError

REPLICAS = 2


class Request:
    """What the test knows of a request: whether the model raises on it, or dies of it, and how it was answered."""

    def __init__(self, number: int, bad: bool = False, deadly: bool = False) -> None:
        self.number = number
        self.bad = bad
        self.deadly = deadly
        self.indivisible = False  # it has run out of memory in a batch that cannot be made smaller
        self.answers: list[str] = []
        self.error: TidegateError | None = None
        self.join: Join[list[tuple[int, int]]] | None = None
        self.result: list[tuple[int, int]] = []


class Replica:
    def __init__(self) -> None:
        self.batches: list[Batch[Request]] = []  # the first executes


class BatcherMachine(RuleBasedStateMachine):
    @initialize(
        max_latency=st.sampled_from([0.0, 0.05]),
        sizes=st.sampled_from([(), (1, 2, 4, 8), (3, 8)]),
        idempotent=st.booleans(),
        refuse_early=st.booleans(),
        max_batch_bytes=st.sampled_from([40, 1000]),
    )
    def start(
        self, max_latency: float, sizes: tuple[int, ...], idempotent: bool, refuse_early: bool, max_batch_bytes: int
    ) -> None:
        self.settings = BatchSettings(
            max_batch=8,
            initial_batch_size=2,
            max_batch_bytes=max_batch_bytes,
            max_latency=max_latency,
            batch_sizes=sizes,
            idempotent=idempotent,
            refuse_early=refuse_early,
            max_queue=40,
            max_queue_bytes=400,
            ageing=0.5,
            max_bucket_wait=0.2,
            max_buckets=1,
            memory_backoff=0.5,
        )
        self.batcher: Batcher[Request] = Batcher("m", self.settings, lambda request: b"%d" % request.number)
        self.items: list[Item[Request]] = []
        self.executed: Counter[int] = Counter()
        self.batches = self.batched_rows = 0
        self.memory = 8
        self.refusals: list[tuple[Bucket, int, float]] = []
        self.replicas = [Replica() for _ in range(REPLICAS)]
        self.now = 100.0

    # What happens.

    @rule(
        rows=st.sampled_from([1, 1, 1, 2, 3, 8, 20]),
        bucket=st.sampled_from("abc"),
        patience=st.sampled_from([0.02, 0.3, 5.0]),
        caller=st.builds(Caller, st.sampled_from("xy"), st.sampled_from([1.0, 3.0]), st.integers(0, 2)),
        kind=st.sampled_from(["good"] * 6 + ["bad", "deadly"]),
        row_bytes=st.sampled_from([0, 4, 10, 50]),
    )
    def arrival(self, rows: int, bucket: str, patience: float, caller: Caller, kind: str, row_bytes: int) -> None:
        """A request is accepted, or told at once that the queue is full, or takes too long while all are busy."""
        request = Request(len(self.items), kind == "bad", kind == "deadly")
        item = Item(request, bucket, rows, rows * row_bytes, self.now + patience, caller)
        depth = self.batcher.statistics(self.now).depth
        fits = depth.rows + rows <= 40 and depth.nbytes + item.nbytes <= 400
        if not fits and depth.requests:
            with pytest.raises(Overloaded) as raised:
                self.batcher.offer(item, self.now)
            assert 1.0 <= (raised.value.retry_after or 0.0) <= self.settings.max_retry_after
            assert item.state is State.NEW
            return
        busy = all(replica.batches for replica in self.replicas)
        counts = self.batcher.statistics(self.now).counts
        crowded = self.batcher.crowded(item, self.now)
        if busy and crowded:
            assert depth.requests
            assert self.settings.refuse_early
            with pytest.raises(Overloaded) as raised:
                self.batcher.offer(item, self.now, busy=True)
            assert 1.0 <= (raised.value.retry_after or 0.0) <= self.settings.max_retry_after
            assert self.batcher.statistics(self.now).counts.shed == counts.shed + 1
            assert item.state is State.NEW
            return
        self.batcher.offer(item, self.now, busy=busy)
        self.items.append(item)
        self.pump()

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.06, 0.3, 1.0]))
    def time_passes(self, seconds: float) -> None:
        """The shell wakes at every instant that it was told of on the way."""
        end = self.now + seconds
        while (wake := self.batcher.next_wake()) <= end:
            self.now = max(self.now, wake)
            self.pump()
            assert self.batcher.next_wake() > self.now
        self.now = end

    @precondition(lambda self: any(replica.batches for replica in self.replicas))
    @rule(which=st.integers(0, REPLICAS - 1), seconds=st.sampled_from([0.0005, 0.01, 0.2]))
    def execution_ends(self, which: int, seconds: float) -> None:
        """A replica answers: with a result or, by what is in the batch or by its size, an error; or it dies of it."""
        replica = self.replicas[which] if self.replicas[which].batches else self.replicas[1 - which]
        batch = replica.batches[0]
        self.now += seconds
        if any(part.item.payload.deadly for part in batch.parts):
            self.crash(replica)
        elif batch.size > self.memory:
            replica.batches.pop(0)
            self.note_execution(batch)
            self.run_out(batch, seconds)
        elif any(part.item.payload.bad for part in batch.parts):
            replica.batches.pop(0)
            self.note_execution(batch)
            self.batcher.fail(batch, ExecutionFailed("bad"), self.now, seconds)
        else:
            replica.batches.pop(0)
            self.note_execution(batch)
            for part in self.batcher.complete(batch, self.now, seconds):
                self.collect(batch, part)
        self.pump()

    @rule(rows=st.sampled_from([0, 1, 2, 3, 5, 8]))
    def memory_changes(self, rows: int) -> None:
        """Somebody else on the device takes memory or gives it back: from now on so many rows fit."""
        self.memory = rows

    @rule(which=st.integers(0, REPLICAS - 1))
    def replica_dies(self, which: int) -> None:
        """It takes what it executes with it; what it had not begun is given back."""
        self.crash(self.replicas[which])
        self.pump()

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def caller_goes(self, data: st.DataObject) -> None:
        """A caller cancels, at whatever point its request is, answered or not."""
        item = data.draw(st.sampled_from(self.items[-12:]))
        answered = item.answered
        self.batcher.cancel(item, self.now)
        if not answered:
            assert item.state is State.CANCELLED
            item.payload.answers.append("cancelled")

    # What a shell does.

    def crash(self, replica: Replica) -> None:
        batches, replica.batches = replica.batches, []
        for batch in reversed(batches[1:]):
            self.batcher.give_back(batch, self.now)
        if batches:
            self.note_execution(batches[0])
            self.batcher.lost(batches[0], self.now)

    def run_out(self, batch: Batch[Request], seconds: float) -> None:
        counted = self.batcher.statistics(self.now).counts.out_of_memory
        failed = {item.number for item in self.items if item.state is State.FAILED}
        if batch.rows > 1:
            self.refusals.append((batch.bucket, batch.size, self.now + self.settings.memory_backoff))
        if batch.rows == 1 or not self.settings.idempotent:
            batch.parts[0].item.payload.indivisible = True
        self.batcher.fail(batch, OutOfMemory("no memory"), self.now, seconds)
        assert self.batcher.statistics(self.now).counts.out_of_memory == counted + 1
        for item in self.items:
            if item.state is State.FAILED and item.number not in failed:
                assert item.payload.indivisible

    def pump(self) -> None:
        while True:
            idle = [replica for replica in self.replicas if not replica.batches]
            free = idle or [replica for replica in self.replicas if len(replica.batches) < 2]
            if not free:
                self.batcher.expire(self.now)
                self.answer()
                return
            refused = self.batcher.statistics(self.now).counts.refused_early
            depth = self.batcher.statistics(self.now).depth.requests
            frees_at = None if idle else self.now + 0.004
            batch = self.batcher.take(self.now, idle=len(idle), frees_at=frees_at, handover=0.002)
            still_idle = max(0, len(idle) - (batch is not None))
            assert still_idle == 0 or self.batcher.statistics(self.now).counts.refused_early == refused
            self.answer()
            if batch is None:
                left = self.batcher.statistics(self.now).depth.requests
                # Work-conserving: nothing stays behind an idle replica, but for what a manifest holds back.
                assert not idle or left == 0 or (self.settings.max_latency > 0 and left > 1 and depth > 1)
                return
            self.check(batch)
            free[0].batches.append(batch)

    def check(self, batch: Batch[Request]) -> None:
        assert len({part.item.key for part in batch.parts}) == 1
        assert len({part.item.number for part in batch.parts}) == len(batch.parts)
        offset = 0
        for part in batch.parts:
            assert part.item.state is State.TAKEN
            assert part.item.deadline > self.now
            assert part.offset == offset
            assert 0 <= part.start < part.stop <= part.item.rows
            assert part.whole or part.item.rows > part.item.largest
            offset += part.rows
        assert batch.rows == offset <= self.settings.max_batch
        assert batch.size in self.settings.batch_sizes or not self.settings.batch_sizes
        for bucket, size, until in self.refusals:
            # Of what ran out of memory nothing as large runs again before its time; below one row there is nothing.
            assert bucket is not batch.bucket or until <= self.now or batch.size < size or batch.rows == 1
        if len(batch.parts) > 1:
            assert sum(part.rows * part.item.row_bytes for part in batch.parts) <= self.settings.max_batch_bytes
            assert self.settings.idempotent
        if batch.reason is not Reason.RETRY and not self.settings.refuse_early:
            self.check_order(batch)

    def check_order(self, batch: Batch[Request]) -> None:
        """Within a class, tenant and bucket nobody who waits was before somebody who goes."""
        waiting = [item for item in self.items if item.lane is not None and not item.cut]
        if len({item.caller.priority for item in self.items if not item.answered}) > 1:
            return  # the head may be there because of its age
        for part in batch.parts:
            goes = part.item
            for other in waiting:
                if (other.caller.tenant, other.key) == (goes.caller.tenant, goes.key):
                    assert (goes.deadline, goes.number) < (other.deadline, other.number)

    def note_execution(self, batch: Batch[Request]) -> None:
        self.batches += 1
        self.batched_rows += batch.rows
        for part in batch.parts:
            self.executed[part.item.number] += 1

    def collect(self, batch: Batch[Request], part: Part[Request]) -> None:
        """Each row's result is its request's number and its own; they are read from where the batch has them."""
        rows = [(p.item.payload.number, row) for p in batch.parts for row in range(p.start, p.stop)]
        piece = rows[part.offset : part.offset + part.rows]
        request = part.item.payload
        if request.join is None:
            request.join = Join(part.item.rows)
        pieces = request.join.add(part.start, part.stop, piece)
        assert (pieces is not None) is (part.item.state is State.COMPLETED)
        if pieces is not None:
            request.answers.append("result")
            request.result = [row for piece in pieces for row in piece]

    def answer(self) -> None:
        for item, error in self.batcher.failures():
            item.payload.answers.append("error")
            item.payload.error = error

    # What holds, always.

    @invariant()
    def answered_once(self) -> None:
        """An item is answered if and only if its state says so, and once."""
        if not hasattr(self, "batcher"):
            return
        self.answer()
        for item in self.items:
            assert len(item.payload.answers) == item.answered

    @invariant()
    def right_answers(self) -> None:
        """A result is the request's own rows in their order; an error is the request's own fault, or says why not."""
        for item in getattr(self, "items", ()):
            request, error = item.payload, item.payload.error
            if item.state is State.COMPLETED:
                assert request.result == [(request.number, row) for row in range(item.rows)]
                assert not request.bad
                assert not request.deadly
            elif isinstance(error, OutOfMemory):
                assert request.indivisible
            elif isinstance(error, ExecutionFailed) and error.message == "bad":
                assert request.bad
            elif item.state in (State.EXPIRED, State.REFUSED):
                assert isinstance(error, DeadlineExceeded)

    @invariant()
    def rows_are_somewhere(self) -> None:
        """Every row waits, is at a replica, or is done; the depth is their sum. What was executed is counted once."""
        if not hasattr(self, "batcher"):
            return
        live = [item for item in self.items if not item.answered]
        for item in live:
            assert item.waiting + item.taken + item.done == item.rows
        for item in self.items:
            assert min(item.waiting, item.taken, item.done) >= 0
            assert not (item.answered and (item.waiting or item.lane is not None))
        depth, counts = self.batcher.statistics(self.now).depth, self.batcher.statistics(self.now).counts
        waiting = [item for item in live if item.waiting]
        assert depth.rows == sum(item.waiting for item in waiting)
        assert depth.requests == len(waiting)
        assert depth.nbytes == sum(item.nbytes for item in waiting)
        assert depth.oldest_wait == max((self.now - item.arrived for item in waiting), default=0.0)
        assert depth.inflight_rows == sum(batch.rows for r in self.replicas for batch in r.batches)
        assert counts.arrived == len(self.items)
        ended = counts.completed + counts.failed + counts.expired + counts.refused_early + counts.cancelled
        assert ended == len(self.items) - len(live)
        assert (sum(counts.batches.values()), counts.batched_rows) == (self.batches, self.batched_rows)
        assert sum(counts.waits) == len(self.executed)

    @invariant()
    def not_twice(self) -> None:
        """What must not be executed twice is not, but for the parts of a split request."""
        if hasattr(self, "settings") and not self.settings.idempotent:
            assert all(self.executed[i.number] <= 1 for i in self.items if i.rows <= i.largest)

    def teardown(self) -> None:
        """When the world calms down, everything that was accepted gets its answer."""
        if not hasattr(self, "batcher"):
            return
        for _ in range(1000):
            if not any(replica.batches for replica in self.replicas):
                wake = self.batcher.next_wake()
                if wake == inf:
                    break
                self.now = max(self.now, wake)
                self.pump()
            else:
                self.execution_ends(0, 0.001)
        self.answered_once()
        self.right_answers()
        assert all(item.answered for item in self.items)
        depth = self.batcher.statistics(self.now).depth
        assert (depth.rows, depth.requests, depth.nbytes, depth.inflight_batches) == (0, 0, 0, 0)


TestBatcher = BatcherMachine.TestCase
TestBatcher.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
