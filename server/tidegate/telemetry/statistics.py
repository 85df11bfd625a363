"""One revision at one instant. Metrics, v2's statistics and the autoscaler read this and nothing else.

Sums and counts only grow while the revision lives, so that whoever looks twice knows what happened in between.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.analysis.histogram import Counts
from tidegate.batching.sequences import SequenceStatistics
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


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that were executed and answered with a result; the times, in seconds, are sums over requests.

    An execution's times are in it once for each request that shared it; a request that was split has those of all its
    parts.
    """

    requests: int
    wait_seconds: float
    """From arrival to a replica."""
    input_seconds: float
    infer_seconds: float
    output_seconds: float
    """These three as in ``Executed``."""


NONE_ANSWERED = Answered(requests=0, wait_seconds=0.0, input_seconds=0.0, infer_seconds=0.0, output_seconds=0.0)


class Responded(msgspec.Struct, frozen=True, kw_only=True):
    """The responses of streams that have the same number, and the streams that ended where it was to come.

    The times, in seconds, are sums, from the response before or from the beginning of the execution.
    """

    responses: int = 0
    seconds: float = 0.0
    infer_seconds: float = 0.0
    """The model's own, as the worker measures it."""
    ended: int = 0
    """Streams of so many responses that ended well."""
    ended_seconds: float = 0.0
    failed: int = 0
    """… with an error."""
    failed_seconds: float = 0.0
    cancelled: int = 0
    """… because nobody waited any more."""
    cancelled_seconds: float = 0.0


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A response cache. A request is one of the first four."""

    hits: int
    misses: int
    coalesced: int
    """Shared the execution of an identical request that was in flight."""
    overloaded: int
    """Turned away, because as many share the executions of others as may."""
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
    durations: Mapping[int, Counts] = {}
    """Of the same executions: how many took ``infer_seconds`` of which class of ``analysis.histogram``. They begin anew
    with each life of a model that sleeps, for whoever compares them compares what runs."""
    answered: Answered = NONE_ANSWERED
    last_inference: float
    """Unix time, in seconds, of the last request that was answered with a result; 0 before the first."""
    responses: Mapping[int, Responded] = {}
    """By their number in their stream, from 0; the last that is told apart stands for all that follow."""
    sequences: SequenceStatistics | None = None
    """None where the model keeps no state, or has not been loaded yet."""
    cache: CacheStatistics | None = None
    """None where the revision has no cache."""
    untouched: bool = False
    """Nobody has asked for it yet, and so it was never loaded."""
