"""The metrics that are read off a revision's statistics. Part of the one list of metrics, see ``metrics.py``.

A series is there from the start, with 0, because a rate needs a sample before the first event; those of a cache are
there where there is a cache.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias

import msgspec
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import HistogramMetricFamily as Histogram
from prometheus_client.core import Metric
from prometheus_client.core import SummaryMetricFamily as Summary
from prometheus_client.utils import floatToGoString

from tidegate.batching.batch import Reason
from tidegate.batching.sequences import SequenceStatistics
from tidegate.batching.statistics import WAIT_BOUNDS, BatcherStatistics
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.statistics import CacheStatistics, Executed, Responded, RevisionStatistics

Labels: TypeAlias = Sequence[str]

REVISION = ("model", "version")
STATES = ("stopped", "starting", "loading", "ready", "draining", "backing off", "failed")
"""Of a replica, by the names of ``tidegate.replicas.lifecycle``, which is a layer above."""
OUTCOMES = ("completed", "failed", "expired", "refused_early", "cancelled")
CAUSES = ("overloaded", "shed", "quarantined", "too_late", "expired", "refused_early")
"""Both by the names of ``Counts``."""
SIZES = tuple(2**power for power in range(11))
"""Upper bounds of the classes of batch sizes, in rows: 1 to 1024; a further class has none."""


NO_SEQUENCES = SequenceStatistics(open=0, started=0, ended=0, expired=0, lost=0)


class Figures(msgspec.Struct, frozen=True):
    """A revision's statistics; before its first load, with those of a batcher that has had nothing to do."""

    batcher: BatcherStatistics
    replicas: Mapping[str, int]
    executed: Mapping[int, Executed]
    responses: Mapping[int, Responded]
    sequences: SequenceStatistics
    cache: CacheStatistics | None

    @classmethod
    def of(cls, revision: RevisionStatistics) -> Figures:
        return cls(
            revision.batcher or IDLE,
            revision.replicas,
            revision.executed,
            revision.responses,
            revision.sequences or NO_SEQUENCES,
            revision.cache,
        )


class Family(msgspec.Struct, frozen=True):
    """One metric: ``empty`` makes it without samples, ``add`` adds those of a revision."""

    empty: Callable[[], Metric]
    add: Callable[[Metric, Labels, Figures], None]


def _one(form: type[Counter | Gauge], name: str, text: str, read: Callable[[Figures], float]) -> Family:
    """One number per revision."""

    def add(metric: Metric, labels: Labels, figures: Figures) -> None:
        assert isinstance(metric, form)
        metric.add_metric(labels, read(figures))

    return Family(lambda: form(f"tidegate_{name}", text, labels=REVISION), add)


def _cached(form: type[Counter | Gauge], name: str, text: str, read: Callable[[CacheStatistics], float]) -> Family:
    """One number per revision that has a cache."""

    def add(metric: Metric, labels: Labels, figures: Figures) -> None:
        assert isinstance(metric, form)
        if figures.cache is not None:
            metric.add_metric(labels, read(figures.cache))

    return Family(lambda: form(f"tidegate_{name}", text, labels=REVISION), add)


def _each(
    form: type[Counter | Gauge], name: str, text: str, label: str, read: Callable[[Figures], Mapping[str, float]]
) -> Family:
    """One number per revision and value of ``label``."""

    def add(metric: Metric, labels: Labels, figures: Figures) -> None:
        assert isinstance(metric, form)
        for value, number in read(figures).items():
            metric.add_metric((*labels, value), number)

    return Family(lambda: form(f"tidegate_{name}", text, labels=(*REVISION, label)), add)


def _histogram(
    name: str, text: str, bounds: Sequence[float], read: Callable[[Figures], tuple[Sequence[int], float]]
) -> Family:
    """``read`` gives how many fell into each class of ``bounds`` and the one above, and the sum of all."""
    names = [*map(floatToGoString, bounds), "+Inf"]

    def add(metric: Metric, labels: Labels, figures: Figures) -> None:
        assert isinstance(metric, Histogram)
        classes, total = read(figures)
        metric.add_metric(labels, list(zip(names, accumulate(classes), strict=True)), total)

    return Family(lambda: Histogram(f"tidegate_{name}", text, labels=REVISION), add)


def _executions(name: str, text: str) -> Family:
    """A summary without quantiles, which nobody has measured: sum and count of each phase give its mean."""

    def add(metric: Metric, labels: Labels, figures: Figures) -> None:
        assert isinstance(metric, Summary)
        every = figures.executed.values()
        count = sum(one.executions for one in every)
        metric.add_metric((*labels, "input"), count, sum(one.input_seconds for one in every))
        metric.add_metric((*labels, "infer"), count, sum(one.infer_seconds for one in every))
        metric.add_metric((*labels, "output"), count, sum(one.output_seconds for one in every))

    return Family(lambda: Summary(f"tidegate_{name}", text, labels=(*REVISION, "phase")), add)


def _sizes(figures: Figures) -> tuple[Sequence[int], float]:
    classes = [0] * (len(SIZES) + 1)
    for size, executed in figures.executed.items():
        classes[bisect_left(SIZES, size)] += executed.executions
    return classes, sum(size * executed.executions for size, executed in figures.executed.items())


def _streams(figures: Figures) -> Mapping[str, float]:
    every = figures.responses.values()
    return {outcome: sum(getattr(one, outcome) for one in every) for outcome in ("ended", "failed", "cancelled")}


def _counted(names: Sequence[str]) -> Callable[[Figures], Mapping[str, float]]:
    return lambda figures: {name: getattr(figures.batcher.counts, name) for name in names}


def _rejected(figures: Figures) -> Mapping[str, float]:
    """Those that a cache turned away are overloaded, too: they would have waited for an execution like any other."""
    causes = {cause: getattr(figures.batcher.counts, cause) for cause in CAUSES}
    if figures.cache is not None:
        causes["overloaded"] += figures.cache.overloaded
    return causes


def _results(figures: Figures) -> Mapping[str, float]:
    cache = figures.cache
    if cache is None:
        return {}
    return {"hit": cache.hits, "miss": cache.misses, "coalesced": cache.coalesced, "overloaded": cache.overloaded}


def _cache_seconds(figures: Figures) -> Mapping[str, float]:
    cache = figures.cache
    return {} if cache is None else {"hit": cache.hit_seconds, "miss": cache.miss_seconds}


FAMILIES = (
    # The queue.
    _one(Gauge, "queue_requests", "Requests that wait for a replica", lambda f: f.batcher.depth.requests),
    _one(Gauge, "queue_rows", "Rows that wait for a replica", lambda f: f.batcher.depth.rows),
    _one(Gauge, "queue_bytes", "Bytes of the input tensors that wait for a replica", lambda f: f.batcher.depth.nbytes),
    _one(Gauge, "queue_oldest_wait_seconds", "Time since the oldest request that waits arrived, 0 where none does",
         lambda f: f.batcher.depth.oldest_wait),
    _histogram("queue_wait_seconds", "Time from a request's arrival to its first hand-over to a replica", WAIT_BOUNDS,
               lambda f: (f.batcher.counts.waits, f.batcher.counts.wait_seconds)),
    _each(Counter, "ended_requests", "Requests that were accepted and have ended, by outcome", "outcome",
          _counted(OUTCOMES)),
    _each(Counter, "rejected_requests", "Requests that were turned away or given up, by cause", "cause",
          _rejected),
    _one(Gauge, "quarantined_contents", "Contents that are turned away because they ended replicas",
         lambda f: f.batcher.contents_in_quarantine),
    # Batches that a replica was given, once they have ended.
    _each(Counter, "batches", "Batches that have ended, by why they were closed", "reason",
          lambda f: {reason.value: f.batcher.counts.batches.get(reason, 0) for reason in Reason}),
    _one(Counter, "batched_rows", "Rows in these batches, padding not included",
         lambda f: f.batcher.counts.batched_rows),
    _one(Counter, "padding_rows", "Rows added to these batches, to reach an allowed size",
         lambda f: f.batcher.counts.padded_rows),
    _one(Counter, "lost_batches", "Batches whose replica ended while executing them", lambda f: f.batcher.counts.lost),
    _one(Counter, "repeated_batches", "Batches that raised and were executed again in smaller parts",
         lambda f: f.batcher.counts.repeated),
    _one(Counter, "out_of_memory_batches", "Batches for which the model had not enough memory",
         lambda f: f.batcher.counts.out_of_memory),
    # Executions.
    _one(Gauge, "inflight_batches", "Batches at replicas, executing or next",
         lambda f: f.batcher.depth.inflight_batches),
    _one(Gauge, "inflight_rows", "Rows at replicas, executing or next, padding not included",
         lambda f: f.batcher.depth.inflight_rows),
    _histogram("batch_size_rows", "Rows of an execution that succeeded, padding included", SIZES, _sizes),
    _one(Counter, "executed_rows", "Rows of the executions that succeeded, padding not included",
         lambda f: f.batcher.counts.executed_rows),
    _executions("execution_duration_seconds", "Time of an execution that succeeded, by phase"),
    _one(Counter, "busy_seconds", "Time of all executions together, those that raised included",
         lambda f: f.batcher.counts.busy_seconds),
    # Streams of decoupled models.
    _one(Counter, "stream_responses", "Responses of streams",
         lambda f: sum(one.responses for one in f.responses.values())),
    _each(Counter, "streams", "Streams that replicas began and that are over, by how they ended", "outcome", _streams),
    # Sequences of stateful models.
    _one(Gauge, "sequences", "Sequences that are open", lambda f: f.sequences.open),
    _one(Counter, "started_sequences", "Sequences whose first step was executed", lambda f: f.sequences.started),
    _each(Counter, "ended_sequences", "Sequences that are over, by how they ended", "outcome",
          lambda f: {outcome: getattr(f.sequences, outcome) for outcome in ("ended", "expired", "lost")}),
    _each(Gauge, "replicas", "Replicas by state", "state", lambda f: dict.fromkeys(STATES, 0) | dict(f.replicas)),
    # The response cache.
    _each(Counter, "cache_requests", "Requests to the response cache, by result", "result", _results),
    _each(Counter, "cache_seconds", "Time spent in the response cache, by result", "result", _cache_seconds),
    _cached(Counter, "cache_evicted_answers", "Answers that left the response cache to make room", lambda c: c.evicted),
    _cached(Gauge, "cache_answers", "Answers in the response cache", lambda c: c.entries),
    _cached(Gauge, "cache_bytes", "Bytes of the answers in the response cache", lambda c: c.nbytes),
)  # fmt: skip
