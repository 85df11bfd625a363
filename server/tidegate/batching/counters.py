"""What has happened so far, counted. Mutable, private to the batcher; ``statistics`` is how others see it."""

from __future__ import annotations

from bisect import bisect_left

from tidegate.batching.batch import Batch, Reason
from tidegate.batching.item import Item, State, T
from tidegate.batching.statistics import WAIT_BOUNDS, Counts


class Counters:
    """See ``Counts`` for what each of them means."""

    def __init__(self) -> None:
        self.arrived = 0
        self.arrived_rows = 0
        self.answered = dict.fromkeys(State, 0)
        self.executed_rows = 0
        self.overloaded = 0
        self.shed = 0
        self.quarantined = 0
        self.too_late = 0
        self.batches = dict.fromkeys(Reason, 0)
        self.batched_rows = 0
        self.padded_rows = 0
        self.busy_seconds = 0.0
        self.wait_seconds = 0.0
        self.waits = [0] * (len(WAIT_BOUNDS) + 1)
        self.lost = 0
        self.repeated = 0
        self.out_of_memory = 0

    def landed(self, batch: Batch[T]) -> None:
        """A batch is done with, whatever has become of it; one that comes back unbegun never was."""
        self.batches[batch.reason] += 1
        self.batched_rows += batch.rows
        self.padded_rows += batch.size - batch.rows
        for part in batch.parts:
            if part.item.wait is None:
                self._waited(part.item, batch.formed)

    def ended(self, state: State) -> None:
        """A request is answered."""
        self.answered[state] += 1

    def _waited(self, item: Item[T], until: float) -> None:
        seconds = item.wait = until - item.arrived
        self.wait_seconds += seconds
        self.waits[bisect_left(WAIT_BOUNDS, seconds)] += 1

    def view(self, max_batch: int) -> Counts:
        """All of it, as a value."""
        batches, answered = sum(self.batches.values()), self.answered
        return Counts(
            arrived=self.arrived,
            completed=answered[State.COMPLETED],
            failed=answered[State.FAILED],
            expired=answered[State.EXPIRED],
            refused_early=answered[State.REFUSED],
            cancelled=answered[State.CANCELLED],
            overloaded=self.overloaded,
            shed=self.shed,
            quarantined=self.quarantined,
            too_late=self.too_late,
            arrived_rows=self.arrived_rows,
            executed_rows=self.executed_rows,
            batches=dict(self.batches),
            batched_rows=self.batched_rows,
            padded_rows=self.padded_rows,
            fill_ratio=self.batched_rows / (batches * max_batch) if batches else 0.0,
            busy_seconds=self.busy_seconds,
            wait_seconds=self.wait_seconds,
            waits=tuple(self.waits),
            lost=self.lost,
            repeated=self.repeated,
            out_of_memory=self.out_of_memory,
        )
