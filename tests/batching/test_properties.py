"""What holds for any requests: fair shares, nobody starves, a batch is as large as may be, keys are what they claim."""

from __future__ import annotations

from itertools import combinations

import hypothesis.strategies as st
from hypothesis import given
from hypothesis import settings as effort

from tidegate.batching.batcher import Batcher
from tidegate.batching.bucket import key_of
from tidegate.batching.item import Caller, Item
from tidegate.batching.padding import padded_size
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Parameter, Tensor

FOREVER = 1e6
FULL = 4
"""Rows of the largest batch."""
STEP = 0.5
"""Seconds between two batches."""


class Tenant:
    """Always has requests that wait, from its first turn on."""

    def __init__(self, number: int, weight: float, rows: int, key: str, begins: int) -> None:
        self.caller = Caller(str(number), weight)
        self.rows = rows
        self.key = key
        self.begins = begins
        self.waiting = 0
        self.served = 0

    def refill(self, one: Batcher[Tenant], deadline: float) -> None:
        while self.waiting < FULL * 4:
            one.offer(Item(self, self.key, self.rows, 4, deadline, self.caller), 0.0)
            self.waiting += self.rows


TENANTS = st.lists(
    st.tuples(
        st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.integers(1, FULL), st.sampled_from("kl"), st.sampled_from([0, 5, 17])
    ),
    min_size=2,
    max_size=4,
)


@given(TENANTS, st.lists(st.floats(1.0, 1000.0), min_size=4, max_size=4))
@effort(max_examples=60, deadline=None)
def test_shares_are_fair_for_any_tenants(drawn: list[tuple[float, int, str, int]], deadlines: list[float]) -> None:
    """While two tenants wait, what they got by weight differs by at most a batch of each, whenever they began."""
    settings = BatchSettings(max_batch=FULL, initial_batch_size=FULL, max_bucket_wait=FOREVER, refuse_early=False)
    one: Batcher[Tenant] = Batcher("m", settings, lambda tenant: b"")
    tenants = [Tenant(number, *values) for number, values in enumerate(drawn)]
    history: list[list[int]] = []
    for turn in range(40):
        for tenant, deadline in zip(tenants, deadlines, strict=False):
            if turn >= tenant.begins:
                tenant.refill(one, deadline)
        history.append([tenant.served for tenant in tenants])
        batch = one.take(0.0, idle=1)
        if batch is None:
            continue
        for part in batch.parts:
            part.item.payload.served += part.rows
            part.item.payload.waiting -= part.rows
        for (m, one_of), (n, other) in combinations(enumerate(tenants), 2):
            both = max(one_of.begins, other.begins)
            if turn >= both:
                mine = (one_of.served - history[both][m]) / one_of.caller.weight
                others = (other.served - history[both][n]) / other.caller.weight
                bound = FULL / one_of.caller.weight + FULL / other.caller.weight
                assert abs(mine - others) <= bound + 1e-9


@given(st.lists(st.lists(st.tuples(st.sampled_from("klmn"), st.floats(100.0, 900.0)), max_size=6), max_size=40))
@effort(max_examples=100, deadline=None)
def test_no_bucket_starves(steps: list[list[tuple[str, float]]]) -> None:
    """However many with earlier deadlines come, a bucket waits for its bound and a batch of each of the others."""
    settings = BatchSettings(max_batch=FULL, initial_batch_size=FULL, max_bucket_wait=2.0)
    one: Batcher[None] = Batcher("m", settings, lambda payload: b"")
    waiting = dict.fromkeys("klmn", 0)
    since = dict.fromkeys("klmn", 0.0)
    for number in range(len(steps) + 40):
        now = number * STEP
        for key, deadline in steps[number] if number < len(steps) else []:
            one.offer(Item(None, key, 1, 4, deadline), now)
            since[key] = since[key] if waiting[key] else now
            waiting[key] += 1
        batch = one.take(now, idle=1)
        if batch is not None:
            key = str(batch.bucket.key)
            since[key] = now
            waiting[key] -= batch.rows
        assert all(now - since[key] <= 2.0 + 4 * STEP for key, rows in waiting.items() if rows)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 3), st.sampled_from("kl")), min_size=1, max_size=6))
@effort(max_examples=100, deadline=None)
def test_no_class_starves(arrivals: list[tuple[int, int, str]]) -> None:
    """While the lowest class alone fills every batch, a request of another goes after the ageing of its classes."""
    ageing = 5.0
    settings = BatchSettings(max_batch=FULL, initial_batch_size=FULL, ageing=ageing, max_bucket_wait=FOREVER)
    one: Batcher[int] = Batcher("m", settings, lambda payload: b"")
    left = {}
    for step in range(70):
        now = step * STEP
        for number, (at, priority, key) in enumerate(arrivals):
            if at == step:
                one.offer(Item(number, key, 1, 4, FOREVER, Caller(priority=priority)), now)
                left[number] = now + priority * ageing
        for _ in range(FULL):
            one.offer(Item(-1, "k", 1, 4, 1000.0), now)
        batch = one.take(now, idle=1)
        assert batch is not None
        for part in batch.parts:
            left.pop(part.item.payload, None)
        # A batch that one of them leads puts the lowest class back by one, and so those behind it.
        assert all(now <= due + (2 * len(arrivals) + 2) * STEP for due in left.values())
    assert not left


@given(
    items=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 10), st.integers(1, 10)), min_size=1, max_size=10),
    sizes=st.sampled_from([(), (2, 4, 8), (3, 8)]),
    max_batch_bytes=st.sampled_from([40, 60, 1000]),
)
@effort(max_examples=200, deadline=None)
def test_a_batch_is_the_largest_that_may_be(
    items: list[tuple[int, int, int]], sizes: tuple[int, ...], max_batch_bytes: int
) -> None:
    """By brute force: as many requests, earliest deadline first, as fit the rows, the bytes and the first deadline."""
    settings = BatchSettings(
        max_batch=8, initial_batch_size=8, max_batch_bytes=max_batch_bytes, batch_sizes=sizes, refuse_early=False
    )
    one: Batcher[int] = Batcher("m", settings, lambda number: b"")
    for rows in (1, 8) * 10:
        one.offer(Item(-1, "k", rows, rows, FOREVER), 0.0)
        lesson = one.take(0.0, idle=1)
        assert lesson is not None
        one.complete(lesson, 0.0, 0.002 + 0.01 * lesson.size)
    curve = one.statistics(0.0).curves[0]

    def seconds(rows: float) -> float:
        return (curve.base + curve.per_row * rows) * curve.margin

    waiting = []
    for number, (rows, fits, row_bytes) in enumerate(items):
        item = Item(number, "k", rows, rows * row_bytes, seconds(fits + 0.5))
        one.offer(item, 0.0)
        waiting.append(item)
    waiting.sort(key=lambda item: (item.deadline, item.number))
    head = waiting[0]
    late = seconds(padded_size(head.rows, sizes)) > head.deadline

    def may_be(batch: list[Item[int]]) -> bool:
        rows = sum(item.rows for item in batch)
        in_time = late or seconds(padded_size(rows, sizes)) <= head.deadline
        return rows <= 8 and sum(item.nbytes for item in batch) <= max_batch_bytes and in_time

    largest = max(count for count in range(1, len(waiting) + 1) if count == 1 or may_be(waiting[:count]))
    batch = one.take(0.0, idle=1)
    assert batch is not None
    assert [part.item.payload for part in batch.parts] == [item.payload for item in waiting[:largest]]


VALUES: list[Parameter] = [1, 1.0, True, "1", 0.0, -0.0]
TENSORS = st.tuples(
    st.sampled_from([Datatype.FP32, Datatype.INT32]), st.integers(1, 3), st.sampled_from([(), (2,), (3,), (2, 1)])
)
REQUESTS = st.tuples(
    st.dictionaries(st.sampled_from("xy"), TENSORS, min_size=1),
    st.dictionaries(st.sampled_from(["a", "b", "timeout", "priority"]), st.sampled_from(VALUES), max_size=2),
    st.lists(st.sampled_from("pq"), max_size=2, unique=True),
    st.booleans(),
)
Drawn = tuple[dict[str, tuple[Datatype, int, tuple[int, ...]]], dict[str, Parameter], list[str], bool]


def made(drawn: Drawn) -> InferRequest:
    inputs, parameters, outputs, turned = drawn
    tensors = []
    for name, (datatype, rows, rest) in inputs.items():
        shape = (rows, *rest)
        count = rows
        for length in rest:
            count *= length
        tensors.append(Tensor(name, datatype, shape, bytes(4 * count)))
    wanted = tuple(RequestedOutput(name) for name in outputs)
    return InferRequest("m", tuple(tensors[::-1] if turned else tensors), parameters=parameters, outputs=wanted)


def described(drawn: Drawn) -> str:
    """What makes a bucket, in words."""
    inputs, parameters, outputs, _ = drawn
    tensors = sorted(f"{name} {datatype.value} {rest}" for name, (datatype, _, rest) in inputs.items())
    model = sorted(f"{name} {value!r}" for name, value in parameters.items() if name not in ("timeout", "priority"))
    return f"{tensors} {model} {outputs}"


@given(REQUESTS, REQUESTS)
@effort(max_examples=300, deadline=None)
def test_requests_share_a_bucket_if_and_only_if_they_may(one: Drawn, other: Drawn) -> None:
    """By names, datatypes, shapes beyond the rows, what of the parameters reaches the model, and outputs in order."""
    same = described(one) == described(other)
    assert (key_of(made(one)) == key_of(made(other))) is same
    renamed = (one[0], one[1] | {"timeout": 7}, one[2], not one[3])
    assert key_of(made(one)) == key_of(made(renamed))
