"""One revision at one instant. Metrics, v2's statistics and the autoscaler read this and nothing else.

Sums and counts only grow while the revision lives, so that whoever looks twice knows what happened in between.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.batching.statistics import BatcherStatistics


class Executed(msgspec.Struct, frozen=True):
    """Executions of batches of one size. The three times, in seconds, are sums and follow one another."""

    executions: int
    input_seconds: float
    """Writing the batch into the memory that it travels in."""
    infer_seconds: float
    """The model's own ``predict``, as the worker measures it."""
    output_seconds: float
    """All else from the batch being sent, or the one before it being done, to the results being handed out."""


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A response cache. A request is one of the first three."""

    hits: int
    misses: int
    coalesced: int
    """Shared the execution of an identical request that was in flight."""
    evicted: int
    entries: int
    nbytes: int
    hit_seconds: float
    """From a request's arrival at the cache to its answer, summed over hits."""
    miss_seconds: float
    """Looking up and keeping, summed over misses; the execution is not in it."""


class RevisionStatistics(msgspec.Struct, frozen=True, kw_only=True):
    batcher: BatcherStatistics | None
    """None before the first load has told the signature."""
    replicas: Mapping[str, int]
    """How many are in each state, by the states' names; those without a replica are left out."""
    executed: Mapping[int, Executed]
    """By the number of rows executed at once, padding included; batches that raised are not in it."""
    last_inference: float
    """Unix time, in seconds, of the last request that was answered with a result; 0 before the first."""
    cache: CacheStatistics | None = None
    """None where the revision has no cache."""
