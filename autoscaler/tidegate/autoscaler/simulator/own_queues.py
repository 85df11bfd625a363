"""The plant of the design: each replica has a queue of its own, and a request goes to the one that has the least.

A replica has at most five full batches outstanding; requests beyond wait in one queue for all. What has been given to
a replica stays there, as it does behind a balancer that only counts. A replica that dies loses nothing: its requests
go back to the head of the common queue.

Everything is in lists by number of the replica, and the loop is written out, for a comparison plays a billion events.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from math import inf

import numpy as np

from tidegate.autoscaler.simulator.conditions import DRAWS, Draws
from tidegate.autoscaler.simulator.fleet import Fleet
from tidegate.autoscaler.simulator.plant import Counters
from tidegate.autoscaler.simulator.workload import Floats, Workload

OUTSTANDING = 5
"""Full batches at one replica, the one that is executed included."""

_STARTING, _READY, _DRAINING, _GONE = range(4)


class OwnQueues:
    """Implements Plant. ``outstanding`` is in full batches, None without bound."""

    def __init__(self, workload: Workload, draws: Draws, outstanding: int | None = OUTSTANDING) -> None:
        service = workload.service
        self.fleet = Fleet(draws)
        self._arrivals: list[float] = [*workload.arrivals.tolist(), inf]
        self._done = [inf] * workload.arrivals.size
        self._jitter = draws.jitter
        self._base, self._per_row, self._most = service.base, service.per_row, service.max_batch
        self._cap = outstanding * service.max_batch if outstanding else max(1, workload.arrivals.size)
        self._now = 0.0
        self._next = 0
        self._common: deque[int] = deque()
        self._events: list[tuple[float, int]] = []  # a replica is ready, or has executed
        self._levels: list[list[int]] = [[] for _ in range(self._cap + 1)]  # ready replicas by what they have
        self._low = 0  # no level below it holds any
        self._place: list[int] = []  # of a replica in its level
        self._has: list[int] = []
        self._state: list[int] = []
        self._queues: list[deque[int]] = []
        self._running: list[list[int]] = []
        self._began: list[float] = []
        self._completions = self._batches = self._executing = 0
        self._busy = 0.0
        for replica in self.fleet.found(workload.initial):
            self._add(_READY)
            self._enter(replica, 0)

    def advance(self, until: float) -> None:
        arrivals, events = self._arrivals, self._events
        levels, has, place, queues = self._levels, self._has, self._place, self._queues
        state, running, began, jitter = self._state, self._running, self._began, self._jitter
        base, per_row, cap, mask = self._base, self._per_row, self._cap, DRAWS - 1
        request = self._next
        while True:
            arrival = arrivals[request]
            bound = arrival if arrival < until else until
            while events and events[0][0] <= bound:
                now, replica = heappop(events)
                if state[replica] == _STARTING:
                    self._rise(replica, now)
                elif batch := running[replica]:
                    self._executed(replica, batch, now)
            if arrival > until or arrival == inf:
                break
            level = self._low
            while level < cap and not levels[level]:
                level += 1
            self._low = level
            if level == cap:  # all are full, or there is none
                self._common.append(request)
            else:
                replica = levels[level].pop()
                above = levels[level + 1]
                place[replica] = len(above)
                above.append(replica)
                has[replica] = level + 1
                if level:
                    queues[replica].append(request)
                else:
                    running[replica] = [request]
                    began[replica] = arrival
                    self._executing += 1
                    heappush(events, (arrival + (base + per_row) * jitter[request & mask], replica))
            request += 1
        self._next = request
        self._now = until
        for replica in self.fleet.dying(until):
            self._die(replica)

    def scale(self, wanted: int) -> None:
        fleet, now = self.fleet, self._now
        while fleet.provisioned < wanted:
            replica, ready = fleet.order(now)
            self._add(_STARTING)
            heappush(self._events, (ready, replica))
        while fleet.provisioned > wanted and fleet.warming:
            self._state[next(reversed(fleet.warming))] = _GONE
            fleet.cancel(now)
        while fleet.provisioned > wanted:
            level = next(k for k, members in enumerate(self._levels) if members)
            replica = self._levels[level][-1]
            self._leave(replica, level)
            fleet.drain(replica)
            self._state[replica] = _DRAINING
            if not level:
                self._gone(replica)

    def look(self) -> Counters:
        waiting = self._next - self._completions - self._executing
        return Counters(self._next, self._completions, self._busy, self._batches, waiting, self._executing)

    def finish(self) -> Floats:
        self.fleet.spare()
        while self._events:
            self.advance(max(self._now, self._events[0][0]))
        return np.array(self._done)

    def _add(self, state: int) -> None:
        self._state.append(state)
        self._place.append(0)
        self._has.append(0)
        self._queues.append(deque())
        self._running.append([])
        self._began.append(0.0)

    def _enter(self, replica: int, level: int) -> None:
        members = self._levels[level]
        self._place[replica] = len(members)
        members.append(replica)
        self._has[replica] = level
        if level < self._low:
            self._low = level

    def _leave(self, replica: int, level: int) -> None:
        members = self._levels[level]
        last = members.pop()
        if last != replica:
            at = self._place[replica]
            members[at] = last
            self._place[last] = at

    def _rise(self, replica: int, now: float) -> None:
        if self.fleet.rise(replica, now):
            self._state[replica] = _READY
            self._enter(replica, self._refill(replica, 0))
            if self._queues[replica]:
                self._execute(replica, now)

    def _executed(self, replica: int, batch: list[int], now: float) -> None:
        count, done = len(batch), self._done
        for request in batch:
            done[request] = now
        self._completions += count
        self._batches += 1
        self._busy += now - self._began[replica]
        self._executing -= count
        before = self._has[replica]
        after = before - count
        ready = self._state[replica] == _READY
        if ready and self._common:
            after = self._refill(replica, after)
        if self._queues[replica]:
            self._execute(replica, now)
        else:
            self._running[replica] = []
        if not ready:
            self._has[replica] = after
            if not after:
                self._gone(replica, now)
        elif after != before:
            self._leave(replica, before)
            self._enter(replica, after)

    def _execute(self, replica: int, now: float) -> None:
        queue = self._queues[replica]
        count = len(queue)
        if count > self._most:
            count = self._most
        self._running[replica] = batch = [queue.popleft() for _ in range(count)]
        self._began[replica] = now
        self._executing += count
        seconds = (self._base + self._per_row * count) * self._jitter[batch[0] & (DRAWS - 1)]
        heappush(self._events, (now + seconds, replica))

    def _refill(self, replica: int, has: int) -> int:
        """Give a replica with free places what waits for one; returns what it has then."""
        common, queue = self._common, self._queues[replica]
        while common and has < self._cap:
            queue.append(common.popleft())
            has += 1
        return has

    def _gone(self, replica: int, now: float | None = None) -> None:
        self._state[replica] = _GONE
        self.fleet.end(self._now if now is None else now)

    def _die(self, replica: int) -> None:
        """Whoever pays for it has been told. What it had goes to others, in the order of its arrival."""
        self._leave(replica, self._has[replica])
        self._state[replica] = _GONE
        running = self._running[replica]
        self._executing -= len(running)
        self._busy += self._now - self._began[replica] if running else 0.0
        self._common.extendleft(reversed([*running, *self._queues[replica]]))
        self._running[replica] = []
        self._queues[replica].clear()
        self._events[:] = [event for event in self._events if event[1] != replica]
        heapify(self._events)
        self._share()

    def _share(self) -> None:
        """Give what waits in the common queue to those with room."""
        for level in range(self._cap):
            for replica in list(self._levels[level]):
                if not self._common:
                    return
                self._leave(replica, level)
                self._enter(replica, self._refill(replica, level))
                if not self._running[replica]:
                    self._execute(replica, self._now)
