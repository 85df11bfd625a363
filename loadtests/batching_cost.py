"""What the batcher costs per request, in one process without any I/O.

    python loadtests/batching_cost.py

Each line: offer + take + complete (and the questions that a shell asks between them) for requests of one row,
microseconds per request, the best of some rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from tidegate.batching.batcher import Batcher
from tidegate.batching.bucket import key_of
from tidegate.batching.item import Caller, Item
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor

REQUESTS = 32_000
ROUNDS = 5
BATCH = 32


def batcher() -> Batcher[int]:
    return Batcher("m", BatchSettings(max_batch=BATCH, initial_batch_size=BATCH), lambda payload: b"")


def filled(make: Callable[[int], Item[int]], depth: int, ask: bool = False) -> float:
    """Seconds for ``REQUESTS`` requests: ``depth`` wait, then 32 come for each batch of 32 that goes.

    ``ask`` adds a question after each arrival: whether to hand over to a replica that is busy for another while.
    """
    one, now, number = batcher(), 0.0, 0
    for number in range(depth):
        one.offer(make(number), now)
    batch = None
    begin = perf_counter()
    for _ in range(REQUESTS // BATCH):
        now += 0.001
        for _ in range(BATCH):
            number += 1
            one.offer(make(number), now)
            batch = one.take(now, idle=0, frees_at=now + 0.01) if ask else None
            one.next_wake()
        batch = batch or one.take(now, idle=1)
        assert batch is not None
        one.complete(batch, now + 0.001, 0.001)
        one.failures()
        one.next_wake()
    return perf_counter() - begin


def alone(make: Callable[[int], Item[int]], depth: int = 0) -> float:
    """Seconds for ``REQUESTS`` requests, a batch taken after each, while ``depth`` wait all the time."""
    one, now = batcher(), 0.0
    for number in range(depth):
        one.offer(make(number), now)
    begin = perf_counter()
    for number in range(depth, depth + REQUESTS):
        now += 0.001
        one.offer(make(number), now)
        batch = one.take(now, idle=1)
        assert batch is not None
        one.complete(batch, now + 0.001, 0.001)
        one.failures()
        one.next_wake()
    return perf_counter() - begin


KEY = ((("x", "FP32", (4,)),), (), ())
TENANTS = [Caller(f"t{n}", 1.0 + n % 3) for n in range(8)]


def plain(number: int) -> Item[int]:
    return Item(number, KEY, 1, 16, number * 1e-4 + 60.0)


def tenants(number: int) -> Item[int]:
    return Item(number, KEY, 1, 16, number * 1e-4 + 60.0, TENANTS[number % 8])


def buckets(number: int) -> Item[int]:
    return Item(number, number // 64 % 8, 1, 16, number * 1e-4 + 60.0)


def shapes(number: int) -> Item[int]:
    return Item(number, number, 1, 16, number * 1e-4 + 60.0)


def key() -> float:
    """Seconds for the bucket of ``REQUESTS`` requests."""
    request = InferRequest("m", (Tensor("x", Datatype.FP32, (1, 4), b"0" * 16),), id="1")
    begin = perf_counter()
    for _ in range(REQUESTS):
        key_of(request)
    return perf_counter() - begin


def main() -> None:
    cases: list[tuple[str, Callable[[], float]]] = [
        ("batches of 32", lambda: filled(plain, 0)),
        ("batches of 32, 1,024 waiting", lambda: filled(plain, 1024)),
        ("batches of 32 of 8 tenants", lambda: filled(tenants, 256)),
        ("batches of up to 32 of 8 buckets", lambda: filled(buckets, 256)),
        ("batches of 1", lambda: alone(plain)),
        ("batches of 32, busy replica asks", lambda: filled(plain, 0, ask=True)),
        ("batches of 1, 1,024 buckets waiting", lambda: alone(shapes, 1024)),
        ("the bucket of a request", key),
    ]
    for name, case in cases:
        print(f"{name:36}{min(case() for _ in range(ROUNDS)) / REQUESTS * 1e6:7.2f} us")


if __name__ == "__main__":
    main()
