"""Who is next: against a brute-force oracle, and each rule by itself."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as effort

from tidegate.batching.batch import Batch, Reason
from tidegate.batching.batcher import Batcher
from tidegate.batching.item import ANYBODY, Caller, Item
from tidegate.batching.settings import BatchSettings

FOREVER = 1000.0
SETTINGS = BatchSettings(max_batch=4, initial_batch_size=4, ageing=5.0, max_bucket_wait=2.0)


def batcher(settings: BatchSettings = SETTINGS) -> Batcher[int]:
    return Batcher("m", settings, lambda number: b"")


def item(
    number: int, deadline: float = FOREVER, *, key: str = "k", rows: int = 1, caller: Caller = ANYBODY
) -> Item[int]:
    return Item(number, key, rows, rows * 4, deadline, caller)


def numbers(batch: Batch[int] | None) -> list[int]:
    return [] if batch is None else [part.item.payload for part in batch.parts]


class Oracle:
    """The order of the queue, written down a second time with lists and loops, and nothing kept sorted."""

    def __init__(self) -> None:
        self.waiting: list[Item[int]] = []
        self.tags: dict[str, float] = {}
        self.orders: dict[str, int] = {}
        self.virtual = 0.0
        self.served: dict[tuple[int, str, object], tuple[float, int]] = {}
        self.ticks = 0

    def offer(self, one: Item[int], now: float) -> None:
        tenant = one.caller.tenant
        self.orders.setdefault(tenant, len(self.orders))
        if not any(other.caller.tenant == tenant for other in self.waiting):
            self.tags[tenant] = max(self.tags.get(tenant, 0.0), self.virtual)
        if not any(self.lane(other) == self.lane(one) for other in self.waiting):
            self.serve(one, now)
        self.waiting.append(one)

    def serve(self, one: Item[int], now: float) -> None:
        """Among lanes that were served at the same instant the first to be served goes first."""
        self.ticks += 1
        if self.served.get(self.lane(one), (-1.0, 0))[0] != now or one not in self.waiting:
            self.served[self.lane(one)] = (now, self.ticks)

    def lane(self, one: Item[int]) -> tuple[int, str, object]:
        return (one.caller.priority, one.caller.tenant, one.key)

    def take(self, now: float) -> list[int]:
        if not self.waiting:
            return []
        head = self.head(now)
        self.virtual = max(self.virtual, self.tags[head.caller.tenant])
        batch = [self.go(head, now)]
        rows = head.rows
        while rows < 4:
            others = [one for one in self.waiting if one.key == head.key]
            if not others:
                break
            first = min(others, key=lambda o: (o.caller.priority, self.turn(o), self.rank(o)))
            if rows + first.rows > 4:
                break
            rows += first.rows
            batch.append(self.go(first, now))
        if not self.waiting:
            self.tags, self.orders, self.virtual = {}, {}, 0.0
        return batch

    def head(self, now: float) -> Item[int]:
        classes = {one.caller.priority for one in self.waiting}
        oldest = {c: min(o.arrived for o in self.waiting if o.caller.priority == c) for c in classes}
        chosen = min(classes, key=lambda c: (oldest[c] + 5.0 * c, c))
        if chosen != min(classes):
            return min((o for o in self.waiting if o.caller.priority == chosen), key=lambda o: (o.arrived, o.number))
        group = [one for one in self.waiting if one.caller.priority == chosen]
        first = min(self.turn(one) for one in group)
        group = [one for one in group if self.turn(one) == first]
        longest = min(group, key=lambda o: self.served[self.lane(o)])
        if now - self.served[self.lane(longest)][0] >= 2.0:
            group = [one for one in group if one.key == longest.key]
        return min(group, key=self.rank)

    def rank(self, one: Item[int]) -> tuple[float, int]:
        return (one.deadline, one.number)

    def turn(self, one: Item[int]) -> tuple[float, int]:
        return (self.tags[one.caller.tenant], self.orders[one.caller.tenant])

    def go(self, one: Item[int], now: float) -> int:
        self.serve(one, now)
        self.waiting.remove(one)
        self.tags[one.caller.tenant] += one.rows / one.caller.weight
        return one.payload


WEIGHTS = {"a": 1.0, "b": 3.0, "c": 1.0}
ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 1.7, 6.1]),  # seconds since the one before
        st.sampled_from("abc"),
        st.sampled_from([0, 0, 0, 1, 2]),  # mostly rivals, or no rule but the first would ever decide
        st.sampled_from("kkl"),
        st.sampled_from([1, 1, 1, 2, 4]),
        st.sampled_from([500.0, 501.0, 502.0]),
        st.sampled_from([False, False, True]),  # a batch is taken after it
    ),
    max_size=20,
)


@given(ARRIVALS)
@effort(max_examples=300, deadline=None)
def test_batches_are_those_of_the_oracle(arrivals: list[tuple[float, str, int, str, int, float, bool]]) -> None:
    """Batch by batch, the same requests in the same order as by brute force."""
    one, oracle, now = batcher(), Oracle(), 0.0
    for number, (pause, tenant, priority, key, rows, deadline, take) in enumerate(arrivals):
        now += pause
        request = item(number, deadline, key=key, rows=rows, caller=Caller(tenant, WEIGHTS[tenant], priority))
        one.offer(request, now)
        oracle.offer(request, now)
        if take:
            assert numbers(one.take(now, idle=1)) == oracle.take(now)
    for _ in range(20):
        expected = oracle.take(now)
        assert numbers(one.take(now, idle=1)) == expected
        now += 0.3


def test_the_earliest_deadline_goes_first() -> None:
    """Inside a bucket by deadline, and in order of arrival among equals."""
    one = batcher()
    for number, deadline in enumerate([30.0, 20.0, 10.0, 20.0, 10.0]):
        one.offer(item(number, deadline), 0.0)
    assert numbers(one.take(0.0, idle=1)) == [2, 4, 1, 3]
    assert numbers(one.take(0.0, idle=1)) == [0]


def test_a_lower_class_goes_first() -> None:
    """Whatever the deadlines say."""
    one = batcher()
    one.offer(item(0, 10.0, key="k", caller=Caller(priority=1)), 0.0)
    one.offer(item(1, 500.0, key="l", caller=Caller(priority=0)), 1.0)
    assert numbers(one.take(1.0, idle=1)) == [1]


def test_a_higher_class_does_not_starve() -> None:
    """While the lowest class has always somebody waiting, a request two classes above goes after 2 x ageing."""
    one, now = batcher(), 0.0
    one.offer(item(-1, key="k", caller=Caller(priority=2)), now)
    for number in range(1000):
        one.offer(item(number, 400.0, key="l"), now)
        one.offer(item(number, 400.0, key="l"), now)
        if -1 in numbers(one.take(now, idle=1)):
            break
        now += 0.5
    assert 10.0 <= now <= 11.0


def test_a_bucket_does_not_starve() -> None:
    """While another bucket has always the earlier deadline, one waits for ``max_bucket_wait`` and a batch."""
    one, now = batcher(), 0.0
    one.offer(item(-1, 900.0, key="slow"), now)
    for number in range(1000):
        one.offer(item(number, 400.0), now)
        one.offer(item(number, 400.0), now)
        if numbers(one.take(now, idle=1)) == [-1]:
            break
        now += 0.5
    assert 2.0 <= now <= 2.5


def test_buckets_that_have_waited_too_long_take_turns() -> None:
    """The one that was served longest ago goes first, whatever the deadlines say."""
    one = batcher(BatchSettings(max_batch=1, max_bucket_wait=1.0))
    for number in range(9):
        one.offer(item(number, 100.0 + number, key="klm"[number // 3]), 0.0)
    order = [numbers(one.take(10.0 * (turn + 1), idle=1)) for turn in range(9)]
    assert order == [[0], [3], [6], [1], [4], [7], [2], [5], [8]]


SHARING = BatchSettings(max_batch=4, initial_batch_size=4, max_bucket_wait=FOREVER, max_queue=100_000)


@pytest.mark.parametrize(
    ("weights", "rows"),
    [
        pytest.param((1.0, 1.0), (1, 1), id="equal"),
        pytest.param((1.0, 3.0), (1, 1), id="one has three times the weight"),
        pytest.param((1.0, 1.0), (1, 4), id="rows count, not requests"),
        pytest.param((2.0, 0.5), (3, 2), id="uneven"),
    ],
)
@pytest.mark.parametrize("keys", [pytest.param("kk", id="one bucket"), pytest.param("kl", id="a bucket each")])
def test_shares_are_fair_while_contended(weights: tuple[float, float], rows: tuple[int, int], keys: str) -> None:
    """Of two tenants that wait all the time, rows / weight differ by at most one batch of each."""
    one = batcher(SHARING)
    served = [0.0, 0.0]
    for number in range(300):
        for tenant in (0, 1):
            # The first one comes with the earlier deadlines and twice as often; that does not help.
            for _ in range(8 - 4 * tenant):
                caller = Caller("ab"[tenant], weights[tenant])
                deadline = 900.0 + tenant
                one.offer(item(tenant, deadline, key=keys[tenant], rows=rows[tenant], caller=caller), 0.0)
        if number < 100:
            continue
        batch = one.take(0.0, idle=1)
        assert batch is not None
        for part in batch.parts:
            served[part.item.payload] += part.rows / weights[part.item.payload]
        assert abs(served[0] - served[1]) <= 4 / weights[0] + 4 / weights[1]
    assert min(served) > 10


def test_a_tenant_alone_has_everything_and_owes_nothing() -> None:
    """What it used while nobody else waited is not held against it later."""
    one = batcher()
    for number in range(100):
        one.offer(item(number, caller=Caller("busy")), 0.0)
    for _ in range(20):
        assert len(numbers(one.take(0.0, idle=1))) == 4
    for number in range(20):
        one.offer(item(1000 + number, caller=Caller("late")), 0.0)
    late = [sum(number >= 1000 for number in numbers(one.take(0.0, idle=1))) for _ in range(5)]
    assert 10 <= sum(late) <= 14  # half, give or take the batch that was being served


def test_tenants_take_turns_within_a_batch() -> None:
    """Not only in who leads it."""
    one = batcher()
    for number in range(4):
        one.offer(item(number, caller=Caller("ab"[number // 2])), 0.0)
    assert numbers(one.take(0.0, idle=1)) == [0, 2, 1, 3]


def test_a_tenant_that_comes_back_has_saved_nothing_up() -> None:
    """It was served a little, was away, and shares from then on like everybody."""
    one = batcher()
    for number in range(100):
        one.offer(item(number, caller=Caller("busy")), 0.0)
    one.offer(item(1000, caller=Caller("seldom")), 0.0)
    for _ in range(10):
        one.take(0.0, idle=1)
    for number in range(20):
        one.offer(item(1001 + number, caller=Caller("seldom")), 0.0)
    seldom = [sum(number >= 1000 for number in numbers(one.take(0.0, idle=1))) for _ in range(5)]
    assert 8 <= sum(seldom) <= 14  # half, give or take a batch


def test_the_batch_that_is_full_of_a_large_request_keeps_the_order() -> None:
    """A small request does not overtake a large one that has no room any more, which is how it would starve."""
    one = batcher()
    for number, rows in enumerate([3, 2, 1]):
        one.offer(item(number, 10.0 + number, rows=rows), 0.0)
    first = one.take(0.0, idle=1)
    assert first is not None
    assert (numbers(first), first.reason) == ([0], Reason.FULL)
    assert numbers(one.take(0.0, idle=1)) == [1, 2]
