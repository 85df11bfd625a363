"""A hundred thousand requests through one batcher, on a virtual clock: none is lost, none is answered twice."""

from __future__ import annotations

import random
from heapq import heappop, heappush
from itertools import count
from math import inf

from tidegate.batching.batch import Batch
from tidegate.batching.batcher import Batcher
from tidegate.batching.item import Caller, Item, State
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import ExecutionFailed, OutOfMemory, Overloaded, TidegateError

REQUESTS = 100_000
CREDITS = 2


class World:
    """Three replicas, a caller that now and then floods them, loses patience, or sends what breaks the model.

    Replicas also end for no reason. The memory for their batches is now more, now less, and always enough for one row.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.batcher: Batcher[int] = Batcher("m", BatchSettings(max_queue=600), lambda number: b"%d" % number)
        self.replicas: list[list[Batch[int]]] = [[], [], []]
        self.ends: list[float] = [inf, inf, inf]
        self.items: dict[int, Item[int]] = {}
        self.answers: dict[int, int] = {}
        self.memory = 32
        self.overloaded = 0
        self.deepest = 0
        self.events: list[tuple[float, int, str, int]] = []
        self.tick = count()

    def schedule(self, at: float, what: str, number: int = 0) -> None:
        heappush(self.events, (at, next(self.tick), what, number))

    def run(self) -> None:
        at = 0.0
        for number in range(REQUESTS):
            flood = number // 5000 % 4 == 0
            at += self.random.expovariate(20_000 if flood else 4_000)
            self.schedule(at, "arrive", number)
        while self.events or self.batcher.next_wake() < inf:
            wake = self.batcher.next_wake()
            if not self.events or wake <= self.events[0][0]:
                self.batcher.expire(wake)
                self.pump(wake)
            else:
                now, _, what, number = heappop(self.events)
                getattr(self, what)(number, now)
                self.pump(now)

    def arrive(self, number: int, now: float) -> None:
        rows = self.random.choice((1, 1, 1, 1, 2, 5, 40))
        patience = self.random.choice((0.02, 0.2, 2.0))
        caller = Caller(self.random.choice("abc"), 1.0, self.random.randrange(2))
        item = Item(number, self.random.randrange(3), rows, rows * 16, now + patience, caller)
        try:
            self.batcher.offer(item, now, busy=all(self.replicas))
        except Overloaded:
            self.overloaded += 1
            return
        self.items[number] = item
        self.deepest = max(self.deepest, self.batcher.statistics(now).depth.rows if number % 100 == 0 else 0)
        if number % 1000 == 0:
            self.memory = self.random.choice((1, 4, 12, 32))
        if number % 3000 == 1:
            self.die(self.random.randrange(3), now)
        if number % 50 == 0:
            self.schedule(now + self.random.random() * 0.01, "leave", number)

    def leave(self, number: int, now: float) -> None:
        item = self.items[number]
        if not item.answered:
            self.batcher.cancel(item, now)
            self.answer(item)

    def end(self, which: int, now: float) -> None:
        batches = self.replicas[which]
        if not batches or self.ends[which] != now:
            return  # the replica died before
        batch = batches.pop(0)
        seconds = 0.001 + 0.0001 * batch.size
        if batch.size > self.memory:
            self.batcher.fail(batch, OutOfMemory("no memory"), now, seconds)
        elif any(part.item.payload % 997 == 13 for part in batch.parts):
            self.batcher.fail(batch, ExecutionFailed("bad"), now, seconds)
        elif any(part.item.payload % 4999 == 17 for part in batch.parts):
            batches.insert(0, batch)
            self.die(which, now)
        else:
            for part in self.batcher.complete(batch, now, seconds):
                if part.item.state is State.COMPLETED:
                    self.answer(part.item)
        self.begin(which, now)

    def die(self, which: int, now: float) -> None:
        """A replica ends, executing or not, and another takes its place."""
        batches, self.replicas[which] = self.replicas[which], []
        for batch in reversed(batches[1:]):
            self.batcher.give_back(batch, now)
        if batches:
            self.batcher.lost(batches[0], now)

    def begin(self, which: int, now: float) -> None:
        if self.replicas[which]:
            batch = self.replicas[which][0]
            self.ends[which] = now + (0.001 + 0.0001 * batch.size) * self.random.uniform(0.9, 1.3)
            self.schedule(self.ends[which], "end", which)

    def pump(self, now: float) -> None:
        while True:
            idle = [which for which in range(3) if not self.replicas[which]]
            busy = [which for which in range(3) if len(self.replicas[which]) == 1]
            which = idle[0] if idle else min(busy, key=lambda one: self.ends[one], default=-1)
            if which < 0:
                self.batcher.expire(now)
                break
            batch = self.batcher.take(now, idle=len(idle), frees_at=None if idle else self.ends[which], handover=0.002)
            if batch is None:
                break
            assert all(part.item.deadline > now for part in batch.parts)
            self.replicas[which].append(batch)
            if idle:
                self.begin(which, now)
        for item, error in self.batcher.failures():
            assert isinstance(error, TidegateError)
            self.answer(item)

    def answer(self, item: Item[int]) -> None:
        self.answers[item.payload] = self.answers.get(item.payload, 0) + 1


def test_a_hundred_thousand_requests() -> None:
    """Accepted = answered, once each; every kind of end occurs; bad and deadly requests alone are failed."""
    world = World(seed=5)
    world.run()
    statistics = world.batcher.statistics(0.0)
    counts, depth = statistics.counts, statistics.depth
    assert len(world.items) + world.overloaded == REQUESTS
    assert counts.overloaded + counts.shed == world.overloaded
    assert min(counts.overloaded, counts.shed) > 0
    assert counts.arrived == len(world.items)
    assert world.answers == dict.fromkeys(world.items, 1)
    assert (depth.rows, depth.requests, depth.nbytes, depth.inflight_batches) == (0, 0, 0, 0)
    assert 100 < world.deepest <= 600
    assert min(counts.completed, counts.failed, counts.expired, counts.refused_early, counts.cancelled) > 0
    failed = [item.payload for item in world.items.values() if item.state is State.FAILED]
    assert all(number % 997 == 13 or number % 4999 == 17 for number in failed)
    completed = [item.payload for item in world.items.values() if item.state is State.COMPLETED]
    assert not any(number % 997 == 13 or number % 4999 == 17 for number in completed)
    assert min(counts.lost, counts.out_of_memory) > 20
    assert sum(counts.waits) <= counts.arrived
