"""How many rows fit the memory, and what becomes of a batch that did not."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as effort

from tidegate.batching.batch import Batch, Join, Part, Reason
from tidegate.batching.batcher import Batcher
from tidegate.batching.ceiling import Ceiling
from tidegate.batching.item import Item, State
from tidegate.batching.outcome import within
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import OutOfMemory

SETTINGS = BatchSettings(max_batch=16, initial_batch_size=16, memory_backoff=60.0, max_queue=100_000)


class Device:
    """A batcher and a replica that has memory for ``memory`` rows."""

    def __init__(self, memory: int, settings: BatchSettings = SETTINGS) -> None:
        self.memory = memory
        self.batcher: Batcher[str] = Batcher("m", settings, str.encode)
        self.now = 0.0
        self.sizes: list[int] = []
        self.asked = 0
        self.joins: dict[str, Join[tuple[int, int]]] = {}
        self.rows: dict[str, list[tuple[int, int]]] = {}

    def ask(self, *rows: int, key: str = "k") -> list[Item[str]]:
        items: list[Item[str]] = []
        for count in rows:
            items.append(Item(str(self.asked), key, count, count * 4, self.now + 1e6))
            self.batcher.offer(items[-1], self.now)
            self.asked += 1
        return items

    def execute(self) -> Batch[str] | None:
        """One batch; what it executed is noted."""
        batch = self.batcher.take(self.now, idle=1)
        if batch is not None:
            self.sizes.append(batch.size)
            if batch.size > self.memory:
                self.batcher.fail(batch, OutOfMemory(f"MemoryError: {batch.size} rows"), self.now, 0.1)
            else:
                for part in self.batcher.complete(batch, self.now, 0.1):
                    self.collect(part)
        return batch

    def collect(self, part: Part[str]) -> None:
        join = self.joins.setdefault(part.item.payload, Join(part.item.rows))
        pieces = join.add(part.start, part.stop, (part.start, part.stop))
        if pieces is not None:
            self.rows[part.item.payload] = pieces

    def some(self, batches: int) -> list[int]:
        """At most so many batches; their sizes."""
        begun = len(self.sizes)
        for _ in range(batches):
            if self.execute() is None:
                break
        return self.sizes[begun:]

    def run(self) -> list[int]:
        """Everything that waits; the sizes that were executed."""
        return self.some(1000)

    def errors(self) -> list[tuple[str, str]]:
        return [(item.payload, error.message) for item, error in self.batcher.failures()]


def test_a_batch_without_memory_runs_again_in_smaller_ones() -> None:
    """Half of it at once, the other half then; nobody gets an error, and it is counted."""
    device = Device(memory=4)
    items = device.ask(*[1] * 8)
    assert device.run() == [8, 4, 4]
    assert all(item.state is State.COMPLETED for item in items)
    assert device.errors() == []
    statistics = device.batcher.statistics(0.0)
    assert (statistics.counts.out_of_memory, statistics.counts.repeated) == (1, 1)
    assert statistics.counts.batches[Reason.RETRY] == 2
    assert statistics.curves[0].ceiling == 5


def test_a_request_that_is_too_large_is_cut() -> None:
    """It has fewer rows than the largest batch, and is executed in parts all the same; they join in order."""
    device = Device(memory=3)
    [item] = device.ask(13)
    assert device.run() == [13, 6, 3, 3, 4, 2, 2, 3]
    assert item.state is State.COMPLETED
    pieces = device.rows["0"]
    assert [start for start, _ in pieces] == [0, *[stop for _, stop in pieces[:-1]]]
    assert pieces[-1][1] == 13


def test_what_comes_later_is_cut_beforehand() -> None:
    """A request of more rows than fit is never executed whole, nor are those that waited already."""
    device = Device(memory=3)
    device.ask(8)
    device.run()
    device.ask(8, 2, 8)
    assert max(device.run()) <= 3
    assert set(device.rows) == {"0", "1", "2", "3"}


def test_one_row_that_does_not_fit_fails_by_itself() -> None:
    """The others of its batch get their results; it is told why."""
    device = Device(memory=0)
    device.ask(1, 1)
    assert device.run() == [2, 1, 1]
    message = "model 'm' has not enough memory for one row of this request alone: MemoryError: 1 rows"
    assert device.errors() == [("0", message), ("1", message)]


def test_one_row_that_does_not_fit_teaches_nothing_of_batches() -> None:
    """A caller with a hungry request does not keep the others from going together."""
    device = Device(memory=0)
    device.ask(1)
    device.run()
    device.memory = 16
    device.ask(*[1] * 16)
    assert device.run() == [16]


def test_what_must_not_run_twice_fails_at_once() -> None:
    """It may have had its effect; but the next one is cut before it is executed."""
    device = Device(2, BatchSettings(max_batch=8, idempotent=False))
    device.ask(4)
    assert device.run() == [4]
    message = "model 'm' has not enough memory for the 4 rows of this request alone: MemoryError: 4 rows"
    assert device.errors() == [("0", message)]
    device.ask(4)
    assert device.run() == [2, 2]


def test_other_buckets_are_not_concerned() -> None:
    """Rows of another shape take another memory."""
    device = Device(memory=4)
    device.ask(*[1] * 8)
    device.run()
    device.memory = 16
    device.ask(*[1] * 8, key="l")
    assert device.run() == [8]


def test_padding_takes_memory_too() -> None:
    """The size that is refused is the padded one, and the next one below it is tried."""
    device = Device(4, BatchSettings(max_batch=16, initial_batch_size=16, batch_sizes=(2, 4, 8, 16)))
    device.ask(*[1] * 5)
    assert device.run() == [8, 4, 2]
    device.ask(*[1] * 8)
    assert device.run() == [4, 4]


def test_what_fits_is_found_again_by_small_steps() -> None:
    """Up to below the refused size at first; past it, and by a quarter each, once its time has passed."""
    device = Device(memory=6)
    device.ask(*[1] * 200)
    assert device.some(6) == [16, 8, 4, 4, 5, 3]  # two halves, of which one was halved again
    assert device.some(4) == [6, 7, 3, 4]
    device.memory = 16
    assert device.some(4) == [5, 6, 6, 6]
    device.now = 60.0
    assert device.some(7) == [6, 7, 8, 10, 12, 15, 16]


def test_a_batch_that_was_under_way_does_not_lift_the_refusal() -> None:
    """Another replica had the memory; the one that had not is asked again no earlier for that."""
    ceiling = Ceiling(60.0)
    ceiling.refuse(8, 0.0)
    ceiling.fits(8, 1.0)
    assert ceiling.rows == 4
    ceiling.fits(6, 1.0)
    assert ceiling.rows == 7
    ceiling.refuse(12, 2.0)
    assert ceiling.rows == 6
    ceiling.fits(7, 3.0)
    assert ceiling.rows == 7
    assert repr(ceiling) == "<Ceiling of 7 rows, 8 refused until 62>"


def test_memory_that_comes_back_is_used_by_one_part() -> None:
    """A request that was cut small for want of memory is cut by what there is now, and is in a batch once."""
    device = Device(memory=1, settings=BatchSettings(max_batch=8, initial_batch_size=8, memory_backoff=60.0))
    [item] = device.ask(40)
    device.some(8)
    device.memory = 8
    device.now += 61.0
    parts = []
    while (batch := device.execute()) is not None:
        parts.append(len(batch.parts))
    assert item.state is State.COMPLETED
    assert max(device.sizes[8:]) > 1
    assert set(parts) == {1}


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 40), st.sampled_from([0.0, 0.4, 1.0])),
        max_size=40,
    ),
    st.sampled_from([(), (1, 2, 4, 8, 16), (4, 8), (3, 7, 20)]),
)
@effort(max_examples=300, deadline=None)
def test_a_ceiling_is_below_what_was_refused(executions: list[tuple[bool, int, float]], sizes: tuple[int, ...]) -> None:
    """Whatever went well or not: until its time no refused size is allowed, and a step up is at most a quarter."""
    ceiling, now = Ceiling(1.0, sizes), 0.0
    refused: list[tuple[int, float]] = []
    for well, rows, pause in executions:
        now += pause
        size = next((size for size in sizes if size >= rows), rows)
        before = ceiling.rows
        if well:
            ceiling.fits(size, now)
            step = max(size + max(1, size // 4), next((one for one in sizes if one > size), 0))
            assert before <= ceiling.rows <= max(before, step)
        else:
            ceiling.refuse(size, now)
            refused.append((size, now + 1.0))
        padded = next((size for size in sizes if size >= ceiling.rows), ceiling.rows)
        assert ceiling.rows >= 1
        assert all(padded < size or ceiling.rows == 1 for size, until in refused if until > now)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.integers(1, 12),
)
def test_within_loses_no_row(rows: list[int], most: int) -> None:
    """First and others together are the same rows in the same order; only a first part by itself too large is cut."""
    parts = [Part(Item(number, "k", count, 4, 1.0), 0, count, 0) for number, count in enumerate(rows)]
    first, others = within(parts, most)
    assert first
    assert sum(part.rows for part in first) <= most

    def every(parts: list[Part[int]]) -> list[tuple[int, int]]:
        return [(part.item.payload, row) for part in parts for row in range(part.start, part.stop)]

    assert every(first + others) == every(parts)
    assert len(first) == 1 or all(part.whole for part in first)


@pytest.mark.parametrize("memory", range(1, 17))
@pytest.mark.parametrize("rows", [(16,), (5, 5, 5), (1,) * 16, (7, 1, 8)], ids=str)
def test_whatever_fits_is_executed(memory: int, rows: tuple[int, ...]) -> None:
    """While a single row fits, every request gets its result, in few executions."""
    device = Device(memory)
    items = device.ask(*rows)
    device.run()
    assert all(item.state is State.COMPLETED for item in items)
    assert device.batcher.statistics(0.0).counts.out_of_memory <= 5
