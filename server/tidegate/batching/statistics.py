"""The batcher at one instant. Metrics and the autoscaler read this and nothing else."""

from __future__ import annotations

import msgspec

from tidegate.batching.batch import Reason

WAIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the classes of waits, in seconds; a further class has none. Those of the request histogram."""


class LearnedCurve(msgspec.Struct, frozen=True):
    """A bucket's service time: (``base`` + ``per_row`` · rows) · ``margin`` seconds."""

    base: float
    per_row: float
    margin: float
    executions: int
    largest: int
    """The most rows executed at once."""
    ceiling: int = 0
    """Rows that may be executed at once since it ran out of memory; 0 where it did not."""


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """What is there now. A row counts either as waiting (the first four) or as in flight."""

    rows: int
    requests: int
    nbytes: int
    oldest_wait: float
    """Seconds since the arrival of the oldest request that waits; 0 where none does."""
    inflight_rows: int
    """At replicas: executing, or next."""
    inflight_batches: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened since the beginning."""

    arrived: int
    """Accepted requests. Each is, or will be, one of the five that follow."""
    completed: int
    failed: int
    expired: int
    refused_early: int
    cancelled: int

    overloaded: int
    """Turned away at the door, as are the next three: not among the arrivals. The queue was full."""
    shed: int
    """What waited before them would have taken until after their deadline."""
    quarantined: int
    """Their content had ended replicas."""
    too_late: int
    """Their deadline had passed."""

    arrived_rows: int
    executed_rows: int
    """Of completed executions, whether or not somebody still waited for them; padding not included."""
    batches: dict[Reason, int]
    """That a replica was given, by why they were closed. They are counted, as are their rows and the waits of their
    requests, when they end, because one that the replica gives back unbegun is formed once more."""
    batched_rows: int
    padded_rows: int
    """Rows that were added to reach an allowed size."""
    fill_ratio: float
    """Mean rows of a batch relative to the largest size; 0 before the first batch."""
    busy_seconds: float
    """Service time of all executions together, those that raised included."""
    wait_seconds: float
    """From arrival to a replica, summed over requests; for a split one to the part that was done first."""
    waits: tuple[int, ...]
    """Requests by that time, in the classes of WAIT_BOUNDS."""
    lost: int
    """Batches whose replica ended while executing them."""
    repeated: int
    """Batches that raised and were executed again in smaller parts."""
    out_of_memory: int
    """Batches for which the model had not enough memory."""


class BatcherStatistics(msgspec.Struct, frozen=True, kw_only=True):
    depth: Depth
    counts: Counts
    rows_per_second: float
    """What the replicas together get done while there is work; 0 where it is not known."""
    contents_in_quarantine: int
    curves: tuple[LearnedCurve, ...]
    """Of the buckets that were executed and are remembered."""
