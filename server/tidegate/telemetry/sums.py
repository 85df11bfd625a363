"""What a revision did in several lives, as one: sums go on where the life before has ended.

A model that sleeps is loaded anew each time it wakes. Whoever counts must not see that: what only grows must not begin
again. What is there now, and what was learned, is that of the life that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from tidegate.batching.statistics import BatcherStatistics, Counts
from tidegate.telemetry.statistics import Executed, Responded, RevisionStatistics

S = TypeVar("S", bound=msgspec.Struct)
N = TypeVar("N", Executed, Responded)

_PRESENT = ("open", "entries", "nbytes")
"""Fields that tell what there is, and not what has happened."""


def together(before: RevisionStatistics, now: RevisionStatistics) -> RevisionStatistics:
    """The statistics of a life that goes on after others, whose sums are ``before``."""
    return msgspec.structs.replace(
        now,
        batcher=_both(before.batcher, now.batcher, _batcher),
        executed=_each(before.executed, now.executed),
        answered=_sum(before.answered, now.answered),
        responses=_each(before.responses, now.responses),
        sequences=_both(before.sequences, now.sequences, _sum),
        cache=_both(before.cache, now.cache, _sum),
        last_inference=max(before.last_inference, now.last_inference),
    )


def over(life: RevisionStatistics) -> RevisionStatistics:
    """What is left of a life that has ended: nothing waits, nothing is kept, nothing runs."""
    batcher, sequences, cache = life.batcher, life.sequences, life.cache
    return msgspec.structs.replace(
        life,
        replicas={},
        batcher=batcher and msgspec.structs.replace(batcher, depth=_nothing(batcher.depth), contents_in_quarantine=0),
        sequences=sequences and msgspec.structs.replace(sequences, open=0),
        cache=cache and msgspec.structs.replace(cache, entries=0, nbytes=0),
    )


def _both(before: S | None, now: S | None, add: Callable[[S, S], S]) -> S | None:
    if before is None or now is None:
        return now if before is None else before
    return add(before, now)


def _batcher(before: BatcherStatistics, now: BatcherStatistics) -> BatcherStatistics:
    return msgspec.structs.replace(now, counts=_counts(before.counts, now.counts))


def _counts(before: Counts, now: Counts) -> Counts:
    batches = {reason: before.batches.get(reason, 0) + number for reason, number in now.batches.items()}
    rows = before.batched_rows + now.batched_rows
    ratios = before.fill_ratio * before.batched_rows + now.fill_ratio * now.batched_rows
    return msgspec.structs.replace(
        _sum(before, now, apart=("batches", "waits", "fill_ratio")),
        batches=batches,
        waits=tuple(one + other for one, other in zip(before.waits, now.waits, strict=True)),
        fill_ratio=ratios / rows if rows else 0.0,
    )


def _each(before: Mapping[int, N], now: Mapping[int, N]) -> dict[int, N]:
    sums = {**before, **now}
    for key in before.keys() & now.keys():
        sums[key] = _sum(before[key], now[key])
    return dict(sorted(sums.items()))


def _sum(before: S, now: S, apart: Iterable[str] = _PRESENT) -> S:
    """Field by field, but for those apart, which are as they are now."""
    sums = {
        name: getattr(before, name) + getattr(now, name) for name in now.__struct_fields__ if name not in tuple(apart)
    }
    return msgspec.structs.replace(now, **sums)


def _nothing(present: S) -> S:
    return type(present)(**dict.fromkeys(present.__struct_fields__, 0))
