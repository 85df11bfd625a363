"""Who is told on arrival that what waits takes too long, and who is not."""

from __future__ import annotations

import random
from copy import deepcopy
from heapq import heappop, heappush
from itertools import count
from math import inf

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as effort

from tidegate.batching.batch import Batch
from tidegate.batching.batcher import Batcher
from tidegate.batching.bucket import Bucket
from tidegate.batching.ceiling import Ceiling
from tidegate.batching.curve import Curve
from tidegate.batching.fairness import Fairness
from tidegate.batching.item import ANYBODY, Caller, Item, State
from tidegate.batching.lane import Lane
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import Overloaded

SETTINGS = BatchSettings(max_batch=8, initial_batch_size=8)
URGENT = Caller(priority=0)
CALM = Caller(priority=1)


class Service:
    """Replicas that take ``base + per_row * rows`` seconds for a batch, asked by a shell in virtual time."""

    def __init__(self, replicas: int, base: float, per_row: float, settings: BatchSettings = SETTINGS) -> None:
        self.batcher: Batcher[int] = Batcher("m", settings, lambda number: b"%d" % number)
        self.base = base
        self.per_row = per_row
        self.now = 0.0
        self.replicas: list[list[Batch[int]]] = [[] for _ in range(replicas)]
        self.frees_at = [0.0] * replicas
        self.events: list[tuple[float, int, int]] = []
        self.tick = count()
        self.in_time = 0

    @property
    def capacity(self) -> float:
        """Rows per second in full batches."""
        rows = 8
        return len(self.replicas) * rows / (self.base + self.per_row * rows)

    def arrive(self, number: int, patience: float, caller: Caller = ANYBODY, key: str = "k") -> Item[int]:
        """Raises: Overloaded: it is refused."""
        item = Item(number, key, 1, 4, self.now + patience, caller)
        if self.batcher.crowded(item, self.now):
            self.pump()
        self.batcher.offer(item, self.now, busy=all(self.replicas))
        self.pump()
        return item

    def until(self, end: float) -> None:
        """Whatever happens until then, at its instant."""
        while True:
            wake = self.batcher.next_wake()
            done = self.events[0][0] if self.events else inf
            if min(wake, done) > end or min(wake, done) == inf:
                break
            self.now = max(self.now, min(wake, done))
            if done <= wake:
                self.finish(heappop(self.events)[2])
            self.pump()
        self.now = max(self.now, end) if end < inf else self.now

    def finish(self, which: int) -> None:
        batch = self.replicas[which].pop(0)
        seconds = self.base + self.per_row * batch.size
        for part in self.batcher.complete(batch, self.now, seconds):
            self.in_time += part.item.state is State.COMPLETED
        if self.replicas[which]:
            self.begin(which)

    def begin(self, which: int) -> None:
        batch = self.replicas[which][0]
        self.frees_at[which] = self.now + self.base + self.per_row * batch.size
        heappush(self.events, (self.frees_at[which], next(self.tick), which))

    def pump(self) -> None:
        while True:
            idle = [which for which, batches in enumerate(self.replicas) if not batches]
            free = idle or [which for which, batches in enumerate(self.replicas) if len(batches) < 2]
            if not free:
                self.batcher.expire(self.now)
                break
            which = min(free, key=lambda one: self.frees_at[one])
            frees_at = None if idle else self.frees_at[which]
            batch = self.batcher.take(self.now, idle=len(idle), frees_at=frees_at, handover=0.001)
            if batch is None:
                break
            self.replicas[which].append(batch)
            if len(self.replicas[which]) == 1:
                self.begin(which)
        self.batcher.failures()


def learned(settings: BatchSettings = SETTINGS, base: float = 0.1) -> Service:
    """One replica that has executed enough full batches of two buckets, and has nothing to do."""
    service = Service(1, base, 0.0, settings)
    for number in range(256):
        service.arrive(number, 1e6, key="kl"[number % 2])
    service.until(100.0 * base)
    return service


def flooded(rows: int = 160, patience: float = 1.5, settings: BatchSettings = SETTINGS) -> Service:
    """It gets 80 rows done in a second, and so many calm ones have been let in."""
    service = learned(settings)
    flood(service, rows + 16, patience)
    return service


def flood(service: Service, rows: int, patience: float) -> None:
    for number in range(rows):
        service.batcher.offer(Item(number, "k", 1, 4, service.now + patience, CALM), service.now)
        service.pump()


def shed(service: Service) -> int:
    return service.batcher.statistics(service.now).counts.shed


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize(("base", "per_row"), [(0.1, 0.0), (0.01, 0.01), (0.02, 0.001)])
def test_three_times_the_capacity(replicas: int, base: float, per_row: float) -> None:
    """The replicas work as if nobody had been refused, and who was accepted is answered in time."""
    service = Service(replicas, base, per_row)
    step, patience = 1 / (3 * service.capacity), 1.0
    items, told = [], []
    warm, end = 3.0, 10.0
    before = 0
    for number in range(int(end / step)):
        service.until(number * step)
        if service.now <= warm:
            before = service.in_time
        try:
            items.append(service.arrive(number, patience))
        except Overloaded as refusal:
            told.append(refusal.retry_after or 0.0)
    assert 1.0 <= min(told) <= max(told) <= SETTINGS.max_retry_after
    assert service.in_time - before > 0.95 * service.capacity * (end - warm)
    service.until(inf)
    settled = [item for item in items if item.arrived > warm]
    late = sum(item.state is not State.COMPLETED for item in settled)
    assert late < 0.05 * len(settled)  # some, where replicas run in step
    assert shed(service) == len(told) > 0.5 * end / step


@given(
    replicas=st.integers(1, 4),
    base=st.sampled_from([0.0, 0.01, 0.1]),
    per_row=st.sampled_from([0.001, 0.02]),
    patiences=st.lists(st.sampled_from([0.3, 1.0, 3.0]), min_size=1, max_size=7),
    keys=st.sampled_from(["k", "kl"]),
    seed=st.integers(0, 1000),
)
@effort(max_examples=40, deadline=None)
def test_who_is_refused_would_have_been_late(
    replicas: int, base: float, per_row: float, patiences: list[float], keys: str, seed: int
) -> None:
    """Accepted, with nobody after it and all before it executed, it would have been late, or made it by a hair.

    The hair is what is added in doubt to the wait, and the batch that it would be in, with its margin.
    """
    service = Service(replicas, base, per_row)
    chance = random.Random(seed)
    for number in range(150):
        service.until(service.now + chance.choice((0.0, 0.0, 0.001, 0.02)))
        patience, key = patiences[number % len(patiences)], keys[number % len(keys)]
        try:
            service.arrive(number, patience, key=key)
        except Overloaded:
            hair = 0.2 * patience + 1.5 * (base + per_row * 8)
            assert answered_at(service, Item(number, key, 1, 4, service.now + patience)) > service.now + patience - hair


def answered_at(service: Service, item: Item[int]) -> float:
    """When an item would be answered if it were accepted now, and had its place by its deadline, but all the time."""
    service = deepcopy(service)
    service.batcher.offer(item, service.now)
    item.deadline = 1e6
    before = service.batcher.statistics(service.now).counts
    while not item.answered:
        service.until(min(service.batcher.next_wake(), service.events[0][0]))
    after = service.batcher.statistics(service.now).counts
    dropped = (before.refused_early, before.expired) != (after.refused_early, after.expired)
    return inf if dropped or item.state is not State.COMPLETED else service.now


def test_an_idle_replica_refuses_nobody() -> None:
    """Whatever was learned: only what is executed can correct it."""
    service = flooded()
    with pytest.raises(Overloaded):
        service.batcher.offer(Item(0, "k", 1, 4, service.now + 1.5, CALM), service.now, busy=True)
    service.batcher.offer(Item(0, "k", 1, 4, service.now + 1.5, CALM), service.now, busy=False)


def test_the_refusal_names_both_times() -> None:
    """What the caller is told: how long it would take, how long it has, and when to come back."""
    service = flooded()
    with pytest.raises(Overloaded, match=r"would be answered in about 2\.\d+ s, and its deadline is in 1\.5 s") as told:
        service.batcher.offer(Item(0, "k", 1, 4, service.now + 1.5, CALM), service.now, busy=True)
    assert told.value.retry_after == pytest.approx(160 / 80, abs=0.3)
    assert shed(service) == 1


def test_the_urgent_do_not_wait_for_the_others() -> None:
    """A more urgent class goes first, so that only what is as urgent counts."""
    service = flooded()
    assert service.arrive(1, 1.5, URGENT).state is State.QUEUED
    with pytest.raises(Overloaded):
        service.arrive(2, 1.5, Caller(priority=2))


def test_the_patient_do_not_keep_the_hasty_out() -> None:
    """An earlier deadline goes first, so that only what is as early counts."""
    service = flooded()
    for number in range(16):
        assert service.arrive(number, 0.6, CALM).state is State.QUEUED
    flood(service, 32, 0.6)
    with pytest.raises(Overloaded):
        service.arrive(0, 0.6, CALM)
    assert service.arrive(0, 0.55, CALM).state is State.QUEUED


def test_those_with_time_are_let_in() -> None:
    """A long queue is no reason by itself."""
    assert flooded().arrive(1, 3.0, CALM).state is State.QUEUED


def test_another_tenants_queue_keeps_nobody_out() -> None:
    """A tenant that has flooded the queue has its share of the replicas, and not that of others."""
    assert flooded().arrive(1, 1.5, Caller("other", 1.0, 1)).state is State.QUEUED


def test_another_bucket_is_not_kept_out() -> None:
    """How long a bucket waits is bounded by ``max_bucket_wait``, and not by how many wait in another."""
    assert flooded().arrive(1, 1.5, CALM, key="l").state is State.QUEUED


def test_what_could_not_be_answered_anyway_is_no_overload() -> None:
    """It is judged when it could go, and told how long the model needs: to come back later would not help."""
    service = flooded()
    item = service.arrive(1, 0.05, CALM)
    service.until(service.now + 0.2)
    assert item.state in (State.REFUSED, State.EXPIRED)


def test_nobody_is_refused_before_enough_was_seen() -> None:
    """The first batches are small, and a lone request tells nothing of what full batches get done."""
    service = Service(1, 0.1, 0.0)
    for number in range(20):
        service.arrive(number, 60.0)
        service.until(service.now + 0.2)
    for number in range(64):
        assert service.arrive(number, 0.75).state in (State.QUEUED, State.TAKEN)
    assert shed(service) == 0


def test_nobody_is_refused_after_a_few_batches() -> None:
    """How executions overlap is not read off one burst."""
    service = Service(1, 0.1, 0.0)
    for number in range(33):
        service.arrive(number, 1e6)
    service.until(1.0)
    for number in range(160):
        service.arrive(number, 1.5)
    assert shed(service) == 0


def test_nobody_is_refused_by_what_is_long_past() -> None:
    """After ``curve_memory`` seconds without an execution nothing is known."""
    service = flooded(rows=0)
    service.now += 61.0
    for number in range(160):
        service.arrive(number, 1.5, CALM)


def test_switched_off() -> None:
    """Without ``refuse_early`` everybody may wait for as long as they like."""
    flooded(settings=BatchSettings(max_batch=8, initial_batch_size=8, refuse_early=False)).arrive(1, 1.5, CALM)


def test_a_pace_of_a_slow_hour_is_corrected() -> None:
    """A model that became fast refuses as a fast one, although nothing waits long enough to learn its pace anew."""
    service = learned(base=1.0)
    service.base = 0.01
    refused = []
    for number in range(400):
        service.until(service.now + 0.003)
        try:
            service.arrive(number, 1.0, CALM)
        except Overloaded:
            refused.append(number)
    assert not [number for number in refused if number >= 200]


@given(
    rows=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=40),
    gone=st.sets(st.integers(0, 39)),
    deadline=st.integers(0, 20),
    most=st.integers(0, 60),
)
def test_rows_with_an_earlier_deadline(rows: list[tuple[int, int]], gone: set[int], deadline: int, most: int) -> None:
    """Counted as by looking at each; or more than ``most`` of them, where there are more."""
    lane: Lane[int] = Lane(0, Fairness().join(ANYBODY), Bucket("k", Curve(60.0), Ceiling(60.0)), 0.0)
    items = []
    for number, (at, size) in enumerate(rows):
        item = Item(number, "k", size, 4, float(at))
        item.number = number
        lane.add(item)
        items.append(item)
    for number in gone:
        if number < len(items):
            lane.remove(items[number])
    left = [item for item in items if item.number not in gone]
    assert lane.rows == sum(item.rows for item in left)
    expected = sum(item.rows for item in left if item.deadline <= deadline)
    found = lane.earlier(float(deadline), most)
    assert found == expected or (most < found <= expected)
