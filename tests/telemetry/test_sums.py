"""Several lives of a model as one: what has happened adds up, what there is belongs to the last."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.batching.batch import Reason
from tidegate.batching.sequences import SequenceStatistics
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.statistics import Answered, CacheStatistics, Executed, Responded, RevisionStatistics
from tidegate.telemetry.sums import over, together

NOTHING = RevisionStatistics(batcher=None, replicas={}, executed={}, last_inference=0.0)


def life(n: int) -> RevisionStatistics:
    """One in which everything that is counted is a multiple of ``n``."""
    counts: dict[str, Any] = {
        name: n for name in IDLE.counts.__struct_fields__ if name not in ("batches", "waits", "fill_ratio")
    }
    counts |= {"batches": {Reason.FULL: n}, "waits": (n,) * len(IDLE.counts.waits), "fill_ratio": 0.5}
    return RevisionStatistics(
        batcher=msgspec.structs.replace(
            IDLE,
            counts=type(IDLE.counts)(**counts),
            depth=msgspec.structs.replace(IDLE.depth, rows=n),
        ),
        replicas={"ready": n},
        executed={n: Executed(n, n, n, n), 1000: Executed(n, n, n, n)},
        answered=Answered(requests=n, wait_seconds=n, input_seconds=n, infer_seconds=n, output_seconds=n),
        last_inference=n,
        responses={0: Responded(responses=n)},
        sequences=SequenceStatistics(open=n, started=n, ended=n, expired=n, lost=n),
        cache=CacheStatistics(
            hits=n, misses=n, coalesced=n, overloaded=n, evicted=n, entries=n, nbytes=n, hit_seconds=n, miss_seconds=n
        ),
    )


def test_what_has_happened_adds_up() -> None:
    """And what there is now does not."""
    sums = together(life(1), life(2))
    assert sums.batcher is not None
    assert sums.sequences is not None
    assert sums.cache is not None
    assert (sums.batcher.counts.completed, sums.batcher.counts.batches) == (3, {Reason.FULL: 3})
    assert (sums.batcher.counts.waits[0], sums.batcher.counts.fill_ratio) == (3, 0.5)
    assert sums.batcher.depth.rows == 2
    assert sums.replicas == {"ready": 2}
    assert list(sums.executed) == [1, 2, 1000]
    assert sums.executed[1000] == Executed(3, 3, 3, 3)
    assert (sums.answered.requests, sums.last_inference, sums.responses[0].responses) == (3, 2, 3)
    assert (sums.sequences.open, sums.sequences.started) == (2, 3)
    assert (sums.cache.entries, sums.cache.nbytes, sums.cache.hits) == (2, 2, 3)


def test_a_life_that_is_over_holds_nothing() -> None:
    """Its sums are left."""
    left = over(life(3))
    assert left.batcher is not None
    assert left.sequences is not None
    assert left.cache is not None
    assert (left.replicas, left.batcher.depth.rows, left.sequences.open, left.cache.nbytes) == ({}, 0, 0, 0)
    assert (left.batcher.counts.completed, left.sequences.started, left.cache.hits) == (3, 3, 3)


@pytest.mark.parametrize("known", [NOTHING, life(2)], ids=["nothing", "something"])
def test_nothing_changes_nothing(known: RevisionStatistics) -> None:
    """Before a life whose load failed, or after it."""
    assert together(NOTHING, known) == known
    assert together(known, NOTHING).batcher == known.batcher


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_the_order_of_adding_means_nothing(lives: list[int]) -> None:
    """Adding one life after the other is adding all."""
    sums = NOTHING
    for n in lives:
        sums = over(together(sums, life(n)))
    assert sums.answered.requests == sum(lives)
    assert sums.executed[1000].executions == sum(lives)
