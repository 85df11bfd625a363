"""From arrival to answer, one story at a time."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as effort

from tidegate.batching.batch import Batch, Join, Reason
from tidegate.batching.batcher import Batcher
from tidegate.batching.item import Caller, Item, State
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    ModelNotReady,
    OutOfMemory,
    Overloaded,
    ReplicaLost,
    ShuttingDown,
    TidegateError,
)

EIGHT = BatchSettings(max_batch=8, initial_batch_size=8)


def batcher(settings: BatchSettings = EIGHT) -> Batcher[str]:
    return Batcher("m", settings, str.encode)


def item(name: str = "r", rows: int = 1, deadline: float = 60.0, *, key: str = "k", row_bytes: int = 4) -> Item[str]:
    return Item(name, key, rows, rows * row_bytes, deadline)


def taken(one: Batcher[str], now: float = 0.0, *, idle: int = 1, frees_at: float | None = None) -> Batch[str]:
    batch = one.take(now, idle=idle, frees_at=frees_at, handover=0.002)
    assert batch is not None
    return batch


def names(batch: Batch[str]) -> list[str]:
    return [part.item.payload for part in batch.parts]


def told(one: Batcher[str]) -> list[tuple[str, type[TidegateError], str]]:
    return [(item.payload, type(error), error.message) for item, error in one.failures()]


def teach(one: Batcher[str], rows: int, seconds: float, now: float = 0.0, times: int = 20, key: str = "k") -> None:
    """Let the batcher see executions of ``rows`` rows that take ``seconds``."""
    for _ in range(times):
        one.offer(item("lesson", rows, now + 1e6, key=key), now)
        one.complete(taken(one, now), now, seconds)


@given(
    settings=st.builds(
        BatchSettings,
        max_batch=st.integers(1, 64),
        max_batch_bytes=st.integers(1, 1000),
        initial_batch_size=st.integers(1, 64),
        batch_sizes=st.sampled_from([(), (4, 16)]),
        max_latency=st.floats(0.0, 10.0),
        max_queue=st.integers(0, 10),
        max_queue_bytes=st.integers(0, 10),
        idempotent=st.booleans(),
        refuse_early=st.booleans(),
    ),
    rows=st.integers(1, 8),
    learned=st.sampled_from([None, 0.001, 100.0]),
    refused=st.sampled_from([0, 2, 8]),
)
@effort(max_examples=150, deadline=None)
def test_a_lone_request_goes_at_once(settings: BatchSettings, rows: int, learned: float | None, refused: int) -> None:
    """Whatever was set and whatever was learned: a request that finds an idle replica goes at its arrival."""
    one = batcher(settings)
    if learned is not None:
        teach(one, 1, learned, times=5)
    if refused:
        one.offer(item(rows=refused, deadline=1e6), 0.0)
        while (batch := one.take(0.0, idle=1)) is not None:
            if batch.rows > 1:
                one.fail(batch, OutOfMemory("no memory"), 0.0, 0.1)
            else:
                one.complete(batch, 0.0, 0.1)
        one.failures()
    one.offer(item(rows=rows, deadline=1.0), 0.0)
    batch = one.take(0.0, idle=1)
    assert batch is not None
    assert batch.parts[0].start == 0
    assert one.failures() == []


def test_a_batch_grows_while_replicas_are_busy() -> None:
    """What arrives during an execution goes together when it ends, and a full batch is not exceeded."""
    one = batcher()
    one.offer(item("first"), 0.0)
    first = taken(one)
    for number in range(10):
        one.offer(item(str(number)), 0.01)
    assert one.complete(first, 0.02, 0.02) == first.parts
    second = taken(one, 0.02)
    assert (names(second), second.reason) == (list("01234567"), Reason.FULL)
    third = taken(one, 0.02)
    assert (names(third), third.reason) == (["8", "9"], Reason.IDLE)


def test_a_batch_is_closed_when_a_busy_replica_is_about_to_be_free() -> None:
    """Not before: what arrives in between goes with it. The batcher says when to ask again."""
    one = batcher()
    one.offer(item("a"), 0.0)
    assert one.take(0.0, idle=0, frees_at=0.1, handover=0.002) is None
    assert one.next_wake() == pytest.approx(0.098)
    one.offer(item("b"), 0.05)
    batch = taken(one, 0.099, idle=0, frees_at=0.1)
    assert (names(batch), batch.reason) == (["a", "b"], Reason.PREFETCH)


def test_a_full_batch_does_not_wait_for_a_busy_replica_to_be_free() -> None:
    """It cannot grow, so it is handed over at once."""
    one = batcher()
    one.offer(item("a", 8), 0.0)
    assert taken(one, 0.0, idle=0, frees_at=9.0).reason is Reason.FULL


def test_buckets_do_not_mix_and_do_not_block_each_other() -> None:
    """A full batch of a later bucket is handed over while the first one still grows."""
    one = batcher()
    one.offer(item("a", deadline=5.0, key="k"), 0.0)
    one.offer(item("b", 8, deadline=6.0, key="l"), 0.0)
    assert names(taken(one, 0.0, idle=0, frees_at=1.0)) == ["b"]
    assert one.take(0.0, idle=0, frees_at=1.0, handover=0.002) is None
    assert names(taken(one, 0.0)) == ["a"]


class TestMaxLatency:
    SETTINGS = BatchSettings(max_batch=8, initial_batch_size=8, max_latency=0.05)

    def test_requests_are_held_until_then(self) -> None:
        """Several that wait are held back, at most that long from the arrival of the first."""
        one = batcher(self.SETTINGS)
        one.offer(item("a"), 0.0)
        one.offer(item("b"), 0.01)
        assert one.take(0.01, idle=1) is None
        assert one.next_wake() == 0.05
        batch = taken(one, 0.05)
        assert (names(batch), batch.reason) == (["a", "b"], Reason.MAX_LATENCY)

    def test_the_first_of_several_buckets_is_waited_for(self) -> None:
        """Each is held by the arrival of its own first request."""
        one = batcher(self.SETTINGS)
        for name, key, arrival in (("a", "k", 0.0), ("b", "l", 0.02)):
            one.offer(item(name, key=key), arrival)
        assert one.take(0.02, idle=1) is None
        assert one.next_wake() == 0.05
        assert names(taken(one, 0.05)) == ["a"]

    def test_a_full_batch_is_not_held(self) -> None:
        """There is nothing to wait for."""
        one = batcher(self.SETTINGS)
        for number in range(8):
            one.offer(item(str(number)), 0.0)
        assert taken(one).reason is Reason.FULL

    def test_a_deadline_is_not_waited_away(self) -> None:
        """A batch is closed when waiting longer would make its first request late."""
        one = batcher(self.SETTINGS)
        teach(one, 2, 0.01)
        curve = one.statistics(0.0).curves[0]
        needed = (curve.base + 2 * curve.per_row) * curve.margin
        one.offer(item("a", deadline=0.04), 0.0)
        one.offer(item("b"), 0.0)
        assert one.take(0.0, idle=1) is None
        wake = one.next_wake()
        assert wake == pytest.approx(0.04 - needed)
        assert taken(one, wake).reason is Reason.SLACK


class TestSplit:
    def test_rows_keep_their_order(self) -> None:
        """A request with more rows than the largest batch comes back in parts that join, others fill the last one."""
        one = batcher()
        one.offer(item("big", 20), 0.0)
        one.offer(item("small", 3), 0.0)
        batches = [taken(one) for _ in range(3)]
        spans = [[(p.item.payload, p.start, p.stop, p.offset) for p in batch.parts] for batch in batches]
        assert spans == [[("big", 0, 8, 0)], [("big", 8, 16, 0)], [("big", 16, 20, 0), ("small", 0, 3, 4)]]
        join: Join[str] = Join(20)
        for batch in (batches[2], batches[0]):
            part = one.complete(batch, 1.0, 1.0)[0]
            assert part.item.state is State.TAKEN
            assert join.add(part.start, part.stop, f"{part.start}-{part.stop}") is None
        part = one.complete(batches[1], 1.0, 1.0)[0]
        assert part.item.state is State.COMPLETED
        assert join.add(part.start, part.stop, "8-16") == ["0-8", "8-16", "16-20"]

    def test_memory_splits_too(self) -> None:
        """The bytes of a batch are bounded as its rows are."""
        one = batcher(BatchSettings(max_batch=8, max_batch_bytes=30))
        one.offer(item("big", 7, row_bytes=10), 0.0)
        assert [taken(one).rows for _ in range(3)] == [3, 3, 1]

    def test_one_row_above_the_memory_limit_goes_alone(self) -> None:
        """It cannot be divided, and the queue must not stand still behind it."""
        one = batcher(BatchSettings(max_batch_bytes=30))
        for name in "ab":
            one.offer(item(name, row_bytes=100), 0.0)
        assert [names(taken(one)), names(taken(one))] == [["a"], ["b"]]

    def test_an_error_in_one_part_ends_the_request(self) -> None:
        """The rest is neither executed nor waited for."""
        one = batcher()
        one.offer(item("big", 20), 0.0)
        first, second = taken(one), taken(one)
        one.fail(first, ExecutionFailed("bad"), 1.0, 1.0)
        assert told(one) == [("big", ExecutionFailed, "bad")]
        assert one.take(1.0, idle=1) is None
        assert one.complete(second, 2.0, 1.0) == []
        assert one.statistics(2.0).depth.rows == 0

    def test_rows_that_come_twice_are_a_fault(self) -> None:
        """Joining says so instead of returning a wrong answer."""
        join: Join[int] = Join(4)
        join.add(0, 2, 1)
        with pytest.raises(RuntimeError, match=r"^rows 0 to 2 of a split request came twice$"):
            join.add(0, 2, 1)


class TestErrors:
    @pytest.mark.parametrize(
        "bad", [pytest.param({2}, id="one"), pytest.param({0, 7}, id="two"), pytest.param(set("x"), id="none")]
    )
    def test_a_bad_request_fails_alone(self, bad: set[int | str]) -> None:
        """The batch is halved until it is found; the others get their results, in few executions."""
        one = batcher()
        for number in range(8):
            one.offer(item(str(number)), 0.0)
        completed, executions = set(), 0
        while (batch := one.take(0.0, idle=1)) is not None:
            executions += 1
            if bad & {int(name) for name in names(batch)}:
                one.fail(batch, ExecutionFailed("bad"), 0.0, 0.001)
            else:
                completed |= {part.item.payload for part in one.complete(batch, 0.0, 0.001)}
        assert completed == {str(number) for number in range(8) if number not in bad}
        assert told(one) == [(str(number), ExecutionFailed, "bad") for number in sorted(n for n in bad if n != "x")]
        assert executions <= 1 + 2 * 3 * len(bad)

    def test_halves_go_first_and_in_order(self) -> None:
        """They have waited their turn; nothing is mixed into them."""
        one = batcher()
        for name in "abcd":
            one.offer(item(name), 0.0)
        batch = taken(one)
        one.offer(item("later", deadline=1.0), 0.0)
        one.fail(batch, ExecutionFailed("bad"), 0.0, 0.001)
        order = [taken(one), taken(one), taken(one)]
        assert [names(batch) for batch in order] == [["a", "b"], ["c", "d"], ["later"]]
        assert [batch.reason for batch in order] == [Reason.RETRY, Reason.RETRY, Reason.IDLE]

    def test_a_half_that_comes_back_stays_a_half(self) -> None:
        """A replica that leaves without having begun it does not bring the bad request back among others."""
        one = batcher()
        for name in "abcd":
            one.offer(item(name), 0.0)
        one.fail(taken(one), ExecutionFailed("bad"), 0.0, 0.001)
        half = taken(one)
        one.offer(item("later", deadline=1.0), 0.0)
        one.give_back(half, 0.0)
        again = taken(one)
        assert (names(again), again.reason) == (["a", "b"], Reason.RETRY)

    def test_what_must_not_run_twice_is_never_batched(self) -> None:
        """So that an error is the error of one request, and nobody else is executed again."""
        one = batcher(BatchSettings(idempotent=False))
        for name in "ab":
            one.offer(item(name), 0.0)
        assert names(taken(one)) == ["a"]

    def test_a_batch_that_comes_twice_is_a_fault(self) -> None:
        """It raises, instead of counting rows twice."""
        one = batcher()
        one.offer(item(), 0.0)
        batch = taken(one)
        one.complete(batch, 0.0, 0.1)
        with pytest.raises(KeyError):
            one.complete(batch, 0.0, 0.1)


class TestLoss:
    def test_what_had_not_begun_simply_waits_again(self) -> None:
        """Without blame, and where it was in the order."""
        one = batcher()
        one.offer(item("a"), 0.0)
        executing = taken(one)
        one.offer(item("b", deadline=30.0), 0.0)
        next_one = taken(one, 0.0, idle=0)
        one.offer(item("c", deadline=40.0), 0.0)
        one.offer(item("d", deadline=20.0), 0.0)
        one.give_back(next_one, 1.0)
        one.lost(executing, 1.0)
        assert [names(taken(one, 1.0)), names(taken(one, 1.0))] == [["a"], ["d", "b", "c"]]

    def test_what_it_executed_runs_again_one_by_one(self) -> None:
        """In order, each in a batch of its own."""
        one = batcher()
        for name in "abc":
            one.offer(item(name), 0.0)
        one.lost(taken(one), 0.1)
        assert [names(taken(one, 0.1)) for _ in range(3)] == [["a"], ["b"], ["c"]]
        assert one.statistics(0.1).counts.lost == 1

    def test_the_one_that_kills_alone_is_refused_from_then_on(self) -> None:
        """By its content, for as long as the settings say; the others are served."""
        one = batcher(BatchSettings(quarantine_seconds=100.0))
        for name in ("good", "killer"):
            one.offer(item(name), 0.0)
        one.lost(taken(one), 0.0)
        good, killer = taken(one), taken(one)
        assert len(one.complete(good, 0.0, 0.1)) == 1
        one.lost(killer, 0.0)
        guilty = "replicas of model 'm' ended whenever they executed this request; it is refused for the next 100 s"
        assert told(one) == [("killer", ExecutionFailed, guilty)]
        with pytest.raises(
            ExecutionFailed,
            match=r"^replicas of model 'm' ended when they executed a request with this content; "
            r"it is refused for another 60 s$",
        ):
            one.offer(item("killer"), 40.0)
        one.offer(item("good", deadline=200.0), 40.0)
        one.offer(item("killer", deadline=200.0), 100.0)
        counts = one.statistics(100.0).counts
        assert (counts.quarantined, counts.arrived) == (1, 4)
        assert one.statistics(100.0).contents_in_quarantine == 0

    def test_giving_up_and_coming_back_does_not_help_a_killer(self) -> None:
        """A caller that cancels while its replica dies is known by the content it sends again."""
        one = batcher()
        for _ in range(2):
            killer = item("killer")
            one.offer(killer, 0.0)
            batch = taken(one)
            one.cancel(killer, 0.0)
            one.lost(batch, 0.0)
        with pytest.raises(ExecutionFailed, match=r"this content; it is refused for another 3600 s$"):
            one.offer(item("killer"), 0.0)

    def test_each_death_counts_once(self) -> None:
        """One in company and three alone are four, and not one more on the way."""
        one = batcher(BatchSettings(max_deaths=4))
        for name in ("good", "killer"):
            one.offer(item(name), 0.0)
        one.lost(taken(one), 0.0)
        one.complete(taken(one), 0.0, 0.1)
        for _ in range(3):
            assert told(one) == []
            one.lost(taken(one), 0.0)
        assert [name for name, _, _ in told(one)] == ["killer"]

    def test_one_death_convicts_nobody(self) -> None:
        """Replicas end for other reasons, too: the same content is served again."""
        one = batcher()
        one.offer(item("unlucky"), 0.0)
        one.lost(taken(one), 0.0)
        assert len(one.complete(taken(one), 0.0, 0.1)) == 1
        one.offer(item("unlucky"), 0.0)

    def test_what_must_not_run_twice_is_told_so(self) -> None:
        """It is unavailable; it may have had its effect."""
        one = batcher(BatchSettings(idempotent=False))
        one.offer(item("a"), 0.0)
        one.lost(taken(one), 0.0)
        message = (
            "the replica of model 'm' ended while it executed this request, "
            "which is not repeated because the service is not idempotent"
        )
        assert told(one) == [("a", ReplicaLost, message)]
        assert one.take(0.0, idle=1) is None


class TestEnds:
    """Cancelling, expiring and crashing at every point of a request's life."""

    POINTS: tuple[str, ...] = ("queued", "taken", "given back", "halved", "lost with others", "completed")

    def to(self, point: str, one: Batcher[str]) -> tuple[Item[str], list[Batch[str]]]:
        """A request at this point, beside another one, and the batches at replicas."""
        subject, other = item("subject", deadline=10.0), item("other", deadline=60.0)
        for each in (subject, other):
            one.offer(each, 0.0)
        if point == "queued":
            return subject, []
        batch = taken(one)
        if point == "taken":
            return subject, [batch]
        end: dict[str, Callable[[], object]] = {
            "given back": lambda: one.give_back(batch, 0.0),
            "halved": lambda: one.fail(batch, ExecutionFailed("bad"), 0.0, 0.1),
            "lost with others": lambda: one.lost(batch, 0.0),
            "completed": lambda: one.complete(batch, 0.0, 0.1),
        }
        end[point]()
        return subject, []

    def finish(self, one: Batcher[str], batches: list[Batch[str]]) -> list[str]:
        """Execute everything; who gets a result."""
        while (batch := one.take(10.0, idle=1)) is not None:
            assert "subject" not in names(batch)
            batches.append(batch)
        return [part.item.payload for batch in batches for part in one.complete(batch, 10.0, 0.1)]

    @pytest.mark.parametrize("point", POINTS)
    def test_cancelled(self, point: str) -> None:
        """It is never executed after that, its result is dropped, and the other one never notices."""
        one = batcher()
        subject, batches = self.to(point, one)
        one.cancel(subject, 0.0)
        one.cancel(subject, 0.0)
        assert subject.state is (State.COMPLETED if point == "completed" else State.CANCELLED)
        assert self.finish(one, batches) == ([] if point == "completed" else ["other"])
        assert told(one) == []
        depth = one.statistics(10.0).depth
        assert (depth.rows, depth.requests, depth.nbytes, depth.inflight_batches) == (0, 0, 0, 0)

    @pytest.mark.parametrize("point", POINTS)
    def test_expired(self, point: str) -> None:
        """It is told at its deadline, to the instant, and not executed after it."""
        one = batcher()
        subject, batches = self.to(point, one)
        if point != "completed":
            assert one.next_wake() == 10.0
        one.expire(9.999)
        assert told(one) == []
        one.expire(10.0)
        where = "model 'm' executed it" if point == "taken" else "it waited for model 'm'"
        message = f"the request's deadline passed while {where}"
        assert told(one) == ([] if point == "completed" else [("subject", DeadlineExceeded, message)])
        assert subject.answered
        assert self.finish(one, batches) == ([] if point == "completed" else ["other"])
        assert one.next_wake() == inf

    @pytest.mark.parametrize("point", POINTS[:4])
    def test_crashed(self, point: str) -> None:
        """If the replica ends, wherever a request is, it gets its result from another one. (A second time convicts.)"""
        one = batcher()
        _, batches = self.to(point, one)
        if not batches:
            batches = [taken(one)]
        for batch in batches:
            one.lost(batch, 0.0)
        results: list[str] = []
        while (batch2 := one.take(0.0, idle=1)) is not None:
            results += [part.item.payload for part in one.complete(batch2, 0.0, 0.1)]
        assert sorted(results) == ["other", "subject"]

    def test_a_late_arrival_is_turned_away(self) -> None:
        """It is not accepted, and counted apart."""
        one = batcher()
        message = r"^the request's deadline had passed when it reached model 'm'$"
        with pytest.raises(DeadlineExceeded, match=message):
            one.offer(item(deadline=1.0), 1.0)
        counts = one.statistics(1.0).counts
        assert (counts.too_late, counts.arrived, counts.expired) == (1, 0, 0)

    def test_the_end_of_a_service(self) -> None:
        """All that waits is told; what is at a replica still gets its result."""
        one = batcher()
        one.offer(item("a"), 0.0)
        batch = taken(one)
        one.offer(item("b"), 0.0)
        one.refuse(ShuttingDown, 0.0)
        assert told(one) == [("b", ShuttingDown, "the server is shutting down")]
        assert [part.item.payload for part in one.complete(batch, 0.0, 0.1)] == ["a"]

    def test_the_table_is_the_law(self) -> None:
        """A transition that it does not have raises."""
        subject = item()
        with pytest.raises(RuntimeError, match=r"^item 0 cannot become COMPLETED from NEW$"):
            subject.enter(State.COMPLETED)


class TestBounds:
    def test_rows(self) -> None:
        """The request that is one row too many is turned away; a smaller one is not."""
        one = batcher(BatchSettings(max_queue=10))
        one.offer(item(rows=7), 0.0)
        with pytest.raises(
            Overloaded, match=r"^model 'm' has 1 requests with 7 rows waiting, which is as many as it may$"
        ):
            one.offer(item(rows=4), 0.0)
        one.offer(item(rows=3), 0.0)
        assert one.statistics(0.0).counts.overloaded == 1

    def test_bytes(self) -> None:
        """They are bounded by themselves."""
        one = batcher(BatchSettings(max_queue_bytes=100))
        one.offer(item(row_bytes=60), 0.0)
        with pytest.raises(Overloaded):
            one.offer(item(row_bytes=60), 0.0)

    def test_who_finds_nobody_waiting_is_taken_whatever_its_size(self) -> None:
        """Otherwise it could never be served."""
        one = batcher(BatchSettings(max_queue=10, max_queue_bytes=10))
        one.offer(item(rows=1000), 0.0)

    @pytest.mark.parametrize(("waiting", "seconds"), [(8, 1.0), (2000, 20.0), (4000, 30.0)])
    def test_retry_after_is_how_long_the_queue_takes(self, waiting: int, seconds: float) -> None:
        """100 rows per second, learned from the time between completions; at least 1 s, at most the setting."""
        one = batcher(BatchSettings(max_batch=10, initial_batch_size=10, max_queue=waiting))
        now = 0.0
        one.offer(item(rows=10, deadline=1e6), now)
        batch = taken(one, now)
        for _ in range(20):
            one.offer(item(rows=min(10, waiting), deadline=1e6), now)
            following = taken(one, now, idle=0)
            now += batch.rows / 100
            one.complete(batch, now, batch.rows / 100)
            batch = following
        for _ in range(waiting):
            one.offer(item(deadline=1e6), now)
        with pytest.raises(Overloaded) as raised:
            one.offer(item(deadline=1e6), now)
        assert raised.value.retry_after == pytest.approx(seconds, rel=0.01)

    def test_retry_after_before_anything_is_known(self) -> None:
        """A second."""
        one = batcher(BatchSettings(max_queue=1))
        one.offer(item(), 0.0)
        with pytest.raises(Overloaded) as raised:
            one.offer(item(), 0.0)
        assert raised.value.retry_after == 1.0


class TestEarlyRefusal:
    def learned(self, seconds: float = 1.0) -> Batcher[str]:
        one = batcher()
        teach(one, 1, seconds)
        return one

    def test_what_cannot_finish_is_refused_where_all_are_busy(self) -> None:
        """Before it is executed, and counted apart from what expired."""
        one = self.learned()
        one.offer(item("hopeless", deadline=0.5), 0.0)
        assert one.take(0.0, idle=0) is None
        curve = one.statistics(0.0).curves[0]
        message = (
            f"model 'm' needs about {curve.per_row * curve.margin:.3g} s for this request, "
            "whose deadline is in 0.5 s, and every replica is busy"
        )
        assert told(one) == [("hopeless", DeadlineExceeded, message)]
        counts = one.statistics(0.0).counts
        assert (counts.refused_early, counts.expired) == (1, 0)

    def test_the_time_until_a_replica_is_free_counts(self) -> None:
        """A request that could finish now cannot if it has to wait first."""
        one = self.learned(0.1)
        one.offer(item("hopeless", 8, deadline=1.5), 0.0)
        assert one.take(0.0, idle=0, frees_at=1.45, handover=0.002) is None
        assert len(told(one)) == 1

    def test_never_while_a_replica_is_idle(self) -> None:
        """It is executed, late or not, so that a wrong curve corrects itself."""
        one = self.learned()
        one.offer(item("hopeless", deadline=0.5), 0.0)
        assert names(taken(one, idle=1)) == ["hopeless"]

    def test_the_late_go_together(self) -> None:
        """If nobody can finish in time, deadlines do not make the batch of an idle replica smaller."""
        one = self.learned()
        for name in "abc":
            one.offer(item(name, deadline=0.5), 0.0)
        assert names(taken(one, idle=1)) == ["a", "b", "c"]

    def test_who_can_finish_goes_before_who_cannot(self) -> None:
        """The last idle replica takes what has a chance; the hopeless ones are refused then, and not before."""
        one = self.learned()
        one.offer(item("hopeless", deadline=0.5), 0.0)
        one.offer(item("good"), 0.0)
        assert names(taken(one, idle=2)) == ["good"]
        assert told(one) == []
        one.offer(item("fine"), 0.0)
        assert names(taken(one, idle=1)) == ["fine"]
        assert [name for name, _, _ in told(one)] == ["hopeless"]

    def test_a_wrong_curve_corrects_itself(self) -> None:
        """After the model has become fast again, requests are refused no more."""
        one = self.learned(1.0)
        for _ in range(10):
            one.offer(item(deadline=0.5), 0.0)
            one.complete(taken(one, idle=1), 0.0, 0.01)
        one.offer(item("fine", deadline=0.5), 0.0)
        assert names(taken(one, idle=0)) == ["fine"]

    def test_an_old_curve_refuses_nobody(self) -> None:
        """What was learned more than ``curve_memory`` ago may not be true any more."""
        one = self.learned()
        one.offer(item("old", deadline=100.5), 100.0)
        assert names(taken(one, 100.0, idle=0)) == ["old"]

    def test_it_can_be_switched_off(self) -> None:
        """Then everything is tried until its deadline."""
        one = batcher(BatchSettings(refuse_early=False))
        teach(one, 1, 1.0)
        one.offer(item("hopeless", deadline=0.5), 0.0)
        assert names(taken(one, idle=0)) == ["hopeless"]


class TestSize:
    def test_a_batch_fits_the_slack_of_its_first_deadline(self) -> None:
        """With 10 ms a row, a deadline in about 50 ms leaves room for few."""
        one = batcher()
        teach(one, 1, 0.01)
        teach(one, 8, 0.08)
        curve = one.statistics(0.0).curves[0]
        for number in range(8):
            one.offer(item(str(number), deadline=0.05 if number == 0 else 60.0), 0.0)
        batch = taken(one)
        fits = int((0.05 / curve.margin - curve.base) / curve.per_row)
        assert 1 < batch.rows == fits < 8
        assert batch.reason is Reason.SLACK
        assert batch.at_most is not None
        assert batch.at_most <= 0.05
        assert batch.expected == pytest.approx(batch.at_most / curve.margin)

    def test_a_tighter_deadline_that_would_join_bounds_the_batch(self) -> None:
        """Also that of a request of another tenant, which is not at the head."""
        one = batcher()
        teach(one, 1, 0.01)
        teach(one, 8, 0.08)
        for _ in range(5):
            one.offer(Item("a", "k", 1, 4, 60.0, Caller("a")), 0.0)
        one.offer(Item("b", "k", 1, 4, 0.04, Caller("b")), 0.0)
        batch = taken(one)
        assert names(batch)[:2] == ["a", "b"]
        assert batch.at_most is not None
        assert batch.at_most <= 0.04

    def test_sizes_are_explored_by_small_steps(self) -> None:
        """From the initial size by a quarter of the largest that went well."""
        one = batcher(BatchSettings(max_batch=64, initial_batch_size=4, max_queue=10_000))
        for _ in range(400):
            one.offer(item(), 0.0)
        sizes = []
        for _ in range(9):
            batch = taken(one)
            sizes.append(batch.rows)
            one.complete(batch, 0.0, 0.01)
        assert sizes == [4, 5, 6, 7, 8, 10, 12, 15, 18]

    def test_a_batch_is_padded_to_an_allowed_size(self) -> None:
        """It is not filled beyond the size whose padding fits."""
        one = batcher(BatchSettings(max_batch=20, initial_batch_size=20, batch_sizes=(2, 8, 16)))
        for _ in range(19):
            one.offer(item(), 0.0)
        first, second = taken(one), taken(one)
        assert [(first.rows, first.size), (second.rows, second.size)] == [(16, 16), (3, 8)]
        for batch in (first, second):
            one.complete(batch, 0.0, 0.1)
        counts = one.statistics(0.0).counts
        assert (counts.batched_rows, counts.padded_rows) == (19, 5)


def test_a_batch_that_comes_back_unbegun_is_no_batch() -> None:
    """It counts, with its rows and the waits of its requests, when it is formed again and ends, however it does."""
    for end in ("complete", "fail", "lost"):
        one = batcher(BatchSettings(batch_sizes=(4,)))
        one.offer(item(), 1.0)
        one.give_back(taken(one, 1.5), 2.0)
        counts = one.statistics(2.0).counts
        assert (sum(counts.batches.values()), counts.batched_rows, counts.padded_rows, sum(counts.waits)) == (
            0,
            0,
            0,
            0,
        )
        batch = taken(one, 3.0)
        if end == "complete":
            one.complete(batch, 4.0, 0.5)
        elif end == "fail":
            one.fail(batch, ExecutionFailed("boom"), 4.0, 0.5)
        else:
            one.lost(batch, 4.0)
        counts = one.statistics(4.0).counts
        assert {reason: count for reason, count in counts.batches.items() if count} == {Reason.IDLE: 1}
        assert (counts.batched_rows, counts.padded_rows, sum(counts.waits), counts.wait_seconds) == (1, 3, 1, 2.0)


def test_statistics_tell_the_state() -> None:
    """A story with one of each, told in numbers."""
    one = batcher()
    for name in ("a", "b"):
        one.offer(item(name), 1.0)
    batch = taken(one, 1.2)
    one.offer(item("c", 3), 1.5)
    one.offer(item("d", 2), 1.7)
    depth = one.statistics(2.0).depth
    assert (depth.rows, depth.requests, depth.nbytes, depth.oldest_wait) == (5, 2, 20, 0.5)
    assert (depth.inflight_rows, depth.inflight_batches) == (2, 1)
    one.complete(batch, 2.0, 0.8)
    statistics = one.statistics(2.0)
    counts = statistics.counts
    assert (counts.arrived, counts.arrived_rows, counts.completed, counts.executed_rows) == (4, 7, 2, 2)
    assert (counts.busy_seconds, counts.fill_ratio) == (0.8, 2 / 8)
    assert counts.wait_seconds == pytest.approx(0.4)
    assert sum(counts.waits) == 2
    assert {reason: count for reason, count in counts.batches.items() if count} == {Reason.IDLE: 1}
    assert statistics.rows_per_second == pytest.approx(2 / 0.8)
    assert [(curve.executions, curve.largest) for curve in statistics.curves] == [(1, 2)]
    assert repr(one) == "<Batcher <Queue 2 requests, 5 rows, 1 lanes>, 0 batches in flight>"


def test_buckets_that_are_not_used_are_forgotten() -> None:
    """Their number is bounded; those with requests stay."""
    one = batcher(BatchSettings(max_buckets=3, max_queue=100))
    one.offer(item("stays", key="stays"), 0.0)
    for number in range(20):
        one.offer(item(key=str(number), deadline=1.0), 0.0)
        one.complete(taken(one), 0.0, 0.1)
    assert len(one.statistics(0.0).curves) <= 3
    assert names(taken(one)) == ["stays"]


def test_readiness_errors_pass_through() -> None:
    """Whatever the shell refuses with is what the callers are told, each with an error of its own."""
    one = batcher()
    for name in "ab":
        one.offer(item(name), 0.0)
    one.refuse(lambda: ModelNotReady("m", "loading"), 0.0)
    errors = [error for _, error in one.failures()]
    assert len({id(error) for error in errors}) == 2
