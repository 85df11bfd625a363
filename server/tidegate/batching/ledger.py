"""Who has been accepted and not yet answered. A request changes its state here and nowhere else, and ends once."""

from __future__ import annotations

from typing import Generic

from tidegate.batching.batch import Batch, Part
from tidegate.batching.bucket import Bucket
from tidegate.batching.counters import Counters
from tidegate.batching.deadlines import Deadlines
from tidegate.batching.item import Item, State, T
from tidegate.batching.queue import Queue
from tidegate.protocol.errors import TidegateError


class Ledger(Generic[T]):
    """``failures`` are the requests that ended with an error and that the shell has not been told of yet."""

    def __init__(self, queue: Queue[T], counters: Counters) -> None:
        self._queue = queue
        self._counters = counters
        self._deadlines: Deadlines[T] = Deadlines()
        self._live = 0
        self.failures: list[tuple[Item[T], TidegateError]] = []

    def accept(self, item: Item[T], bucket: Bucket, largest: int, now: float) -> None:
        """A new request waits from now on; at most ``largest`` of its rows are executed at once."""
        counters = self._counters
        counters.arrived += 1
        counters.arrived_rows += item.rows
        self._live += 1
        item.number = counters.arrived
        item.arrived = now
        item.largest = largest
        item.bucket = bucket
        bucket.live += 1
        item.enter(State.QUEUED)
        self._queue.add(item, now)
        self._deadlines.add(item, self._live)

    def taken(self, batch: Batch[T]) -> None:
        """The parts of a batch go to a replica."""
        for part in batch.parts:
            item = part.item
            item.taken += part.stop - part.start
            if item.state is State.QUEUED:
                item.enter(State.TAKEN)

    def done(self, batch: Batch[T]) -> list[Part[T]]:
        """A batch is executed; returns the parts that somebody waits for."""
        wanted: list[Part[T]] = []
        for part in batch.parts:
            item, rows = part.item, part.stop - part.start
            item.taken -= rows
            item.done += rows
            if not item.answered:
                wanted.append(part)
                if item.done == item.rows:
                    self.end(item, State.COMPLETED)
        return wanted

    def undone(self, batch: Batch[T]) -> None:
        """Nothing of a batch is at a replica any more, and nothing of it is done."""
        for part in batch.parts:
            part.item.taken -= part.rows

    def again(self, parts: list[Part[T]], *, first: bool = False) -> None:
        """Parts that were at a replica wait to be executed once more, by themselves."""
        self._queue.repeat(parts, first=first)
        for part in parts:
            self._waits(part.item)

    def back(self, item: Item[T], now: float) -> None:
        """A request that was at a replica, and not executed, waits where it was."""
        self._queue.add(item, now)
        self._waits(item)

    def fail(self, item: Item[T], state: State, error: TidegateError) -> None:
        """A request ends with an error, unless it has been answered."""
        if not item.answered:
            self.end(item, state)
            self.failures.append((item, error))

    def end(self, item: Item[T], state: State) -> None:
        item.enter(state)
        self._counters.ended(state)
        self._live -= 1
        item.bucket.live -= 1
        if item.waiting:
            self._queue.drop(item)

    def expired(self, now: float) -> list[Item[T]]:
        """The requests whose deadline has come; each is returned once."""
        return self._deadlines.expired(now)

    def next_deadline(self) -> float:
        """Of all that is not answered; infinity where there is none."""
        return self._deadlines.next()

    def _waits(self, item: Item[T]) -> None:
        if item.state is State.TAKEN and not item.taken and not item.done:
            item.enter(State.QUEUED)
