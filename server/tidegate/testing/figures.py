"""A revision's statistics in which every number is another one, so that no figure can be taken for its neighbour."""

from __future__ import annotations

from tidegate.batching.batch import Reason
from tidegate.batching.statistics import BatcherStatistics, Counts, Depth
from tidegate.telemetry.outcomes import Outcomes
from tidegate.telemetry.statistics import Answered, CacheStatistics, Executed, RevisionStatistics

COUNTS = Counts(
    arrived=1000,
    completed=700,
    failed=61,
    expired=52,
    refused_early=43,
    cancelled=34,
    overloaded=25,
    shed=19,
    quarantined=16,
    too_late=7,
    arrived_rows=3000,
    executed_rows=2800,
    batches={reason: 10 + number for number, reason in enumerate(Reason)},
    batched_rows=2900,
    padded_rows=333,
    fill_ratio=0.75,
    busy_seconds=12.5,
    wait_seconds=9.25,
    waits=tuple(range(1, 18)),
    lost=3,
    repeated=4,
    out_of_memory=8,
)
"""Of a batcher that has seen a bit of everything."""

DEPTH = Depth(rows=21, requests=11, nbytes=4096, oldest_wait=0.375, inflight_rows=23, inflight_batches=2)

CACHE = CacheStatistics(
    hits=81,
    misses=72,
    coalesced=63,
    overloaded=14,
    evicted=54,
    entries=45,
    nbytes=36000,
    hit_seconds=0.5,
    miss_seconds=0.25,
)

BUSY = RevisionStatistics(
    batcher=BatcherStatistics(depth=DEPTH, counts=COUNTS, rows_per_second=110.0, contents_in_quarantine=5, curves=()),
    replicas={"ready": 2, "backing off": 1},
    executed={
        1: Executed(300, 0.0625, 1.5, 0.125),
        8: Executed(200, 0.25, 4.0, 0.5),
        12: Executed(100, 0.75, 6.0, 1.0),
    },
    answered=Answered(requests=640, wait_seconds=8.5, input_seconds=2.25, infer_seconds=20.5, output_seconds=3.75),
    last_inference=1_700_000_000.25,
    cache=CACHE,
)


def outcomes(succeeded: int, succeeded_seconds: float, failed: int, failed_seconds: float) -> Outcomes:
    """Requests that have ended, so many in so many seconds."""
    made = Outcomes()
    made.succeeded, made.succeeded_seconds = succeeded, succeeded_seconds
    made.failed, made.failed_seconds = failed, failed_seconds
    return made
