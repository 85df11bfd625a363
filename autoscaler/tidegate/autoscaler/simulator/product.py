"""The plant that is the product: its queue, batch former and choice of a replica, with an event heap for a loop.

What the shell around them does in an event loop (``tidegate.replicas.dispatch``) is done here in virtual time: a
request is offered when it arrives, batches are handed out after everything that happens, and at the instant that the
batcher names. A replica executes one batch and has one more there; transport takes no time. What is refused, at the
door or later, is never answered, and so is late.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, cast

import numpy as np

from tidegate.autoscaler.simulator.conditions import DRAWS, Draws
from tidegate.autoscaler.simulator.fleet import Fleet
from tidegate.autoscaler.simulator.plant import Counters
from tidegate.autoscaler.simulator.workload import Floats, Workload
from tidegate.batching.batch import Batch
from tidegate.batching.batcher import Batcher
from tidegate.batching.item import Item
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import TidegateError
from tidegate.replicas.lane import Lane, Work, choose

TIMEOUT = 60.0
"""Seconds after which a caller who sets no deadline is answered with an error: ``tidegate serve --timeout``."""
CREDITS = 2
"""Batches at a replica: one executes, one is there when it ends."""


class _Link:
    """A replica that is simulated: implements what a lane asks of a link."""

    def __init__(self) -> None:
        self.works: list[Work] = []

    @property
    def free(self) -> int:
        return CREDITS - len(self.works)

    def execute(self, work: Work) -> bool:
        return True

    def cancel(self, work: Work) -> None:
        """It executes what it has."""


class Product:
    """Implements Plant."""

    def __init__(self, workload: Workload, draws: Draws) -> None:
        self.fleet = Fleet(draws)
        self._service = workload.service
        self._arrivals: list[float] = [*workload.arrivals.tolist(), inf]
        self._done = [inf] * workload.arrivals.size
        self._jitter = draws.jitter
        settings = BatchSettings(max_batch=workload.service.max_batch, initial_batch_size=workload.service.max_batch)
        self._batcher: Batcher[int] = Batcher(workload.name, settings, lambda request: request.to_bytes(8, "big"))
        self._lanes: dict[int, Lane] = {}
        self._events: list[tuple[float, int]] = []  # a replica is ready, or has executed
        self._now = 0.0
        self._next = 0
        self._completions = self._batches = self._taken = 0
        self._busy = 0.0
        self.refused = 0
        """Requests that were answered with an error."""
        for replica in self.fleet.found(workload.initial):
            self._attach(replica)

    def advance(self, until: float) -> None:
        while True:
            arrival = self._arrivals[self._next]
            event = self._events[0][0] if self._events else inf
            wake = self._batcher.next_wake()
            now = min(arrival, event, wake)
            if now > until or now == inf:
                break
            self._now = max(now, self._now)
            if event <= now:
                _, replica = heappop(self._events)
                self._happened(replica)
            elif arrival <= now:
                self._offer(arrival)
            self._pump()
        self._now = until
        for replica in self.fleet.dying(until):
            self._lose(replica)

    def scale(self, wanted: int) -> None:
        fleet, now = self.fleet, self._now
        while fleet.provisioned < wanted:
            replica, ready = fleet.order(now)
            heappush(self._events, (ready, replica))
        while fleet.provisioned > wanted and fleet.warming:
            fleet.cancel(now)
        while fleet.provisioned > wanted:
            replica, lane = min(self._serving(), key=lambda each: len(each[1].works))
            lane.closed = True
            fleet.drain(replica)
            self._leave_if_done(replica, lane)

    def look(self) -> Counters:
        waiting = self._batcher.waiting
        return Counters(self._next, self._completions, self._busy, self._batches, waiting, self._taken)

    def finish(self) -> Floats:
        self.fleet.spare()
        while self._events or self._batcher.next_wake() < inf:
            self.advance(max(self._now, min(self._events[0][0] if self._events else inf, self._batcher.next_wake())))
        return np.array(self._done)

    def _serving(self) -> Iterator[tuple[int, Lane]]:
        return ((replica, lane) for replica, lane in self._lanes.items() if not lane.closed)

    def _attach(self, replica: int) -> None:
        link = _Link()
        lane = self._lanes[replica] = Lane(link, replica)
        lane.works = link.works

    def _offer(self, arrival: float) -> None:
        request = self._next
        self._next += 1
        item: Item[int] = Item(request, "rows", 1, 0, arrival + TIMEOUT)
        crowded = self._batcher.crowded(item, arrival)
        try:
            busy = crowded and all(lane.works for lane in self._lanes.values())
            self._batcher.offer(item, arrival, busy=busy)
        except TidegateError:
            self.refused += 1

    def _happened(self, replica: int) -> None:
        lane = self._lanes.get(replica)
        if lane is not None:
            self._executed(replica, lane)
        elif self.fleet.rise(replica, self._now):
            self._attach(replica)

    def _executed(self, replica: int, lane: Lane) -> None:
        now = self._now
        work = lane.works.pop(0)
        batch = cast("Batch[int]", work.taken)
        seconds = now - work.began
        self._busy += seconds
        self._batches += 1
        self._completions += batch.rows
        self._taken -= batch.rows
        if work.idle:
            lane.handover.observe(now - work.sent, seconds)
        for part in self._batcher.complete(batch, now, seconds):
            self._done[part.item.payload] = now
        if lane.works:
            self._begin(replica, lane.works[0])
        self._leave_if_done(replica, lane)

    def _leave_if_done(self, replica: int, lane: Lane) -> None:
        if lane.closed and not lane.works:
            del self._lanes[replica]
            self.fleet.end(self._now)

    def _begin(self, replica: int, work: Work) -> None:
        work.began = self._now
        batch = cast("Batch[int]", work.taken)
        service = self._service
        factor = self._jitter[batch.parts[0].item.payload & (DRAWS - 1)]
        seconds = (service.base + service.per_row * batch.rows) * factor
        heappush(self._events, (self._now + seconds, replica))

    def _pump(self) -> None:
        batcher, now = self._batcher, self._now
        batcher.expire(now)
        while batcher.waiting:
            lane, idle = choose(self._lanes.values(), now)
            if lane is None:
                break
            frees_at = None if idle else lane.frees_at
            batch = batcher.take(now, idle=idle, frees_at=frees_at, handover=lane.handover.seconds)
            if batch is None:
                break
            work = Work(cast(Any, batch), cast(Any, None))  # nothing is carried
            work.idle = not lane.works
            work.sent = work.began = now
            self._taken += batch.rows
            lane.works.append(work)
            if work.idle:
                self._begin(lane.number, work)
        self.refused += len(batcher.failures())

    def _lose(self, replica: int) -> None:
        """As the dispatcher does it: the first batch may have begun, the other has not."""
        lane = self._lanes.pop(replica)
        for work in reversed(lane.works[1:]):
            self._batcher.give_back(cast("Batch[int]", work.taken), self._now)
        for work in lane.works[:1]:
            self._batcher.lost(cast("Batch[int]", work.taken), self._now)
        self._taken -= sum(work.taken.rows for work in lane.works)
        self._events[:] = [event for event in self._events if event[1] != replica]
        heapify(self._events)
        self._pump()
