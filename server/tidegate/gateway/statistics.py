"""From a revision's figures to v2's statistics, which count as Triton does as far as the figures allow. Pure.

The metrics are read off the same figures (``telemetry/collector.py``), so that the two never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import starmap

from tidegate.gateway.backend import RevisionStatistics
from tidegate.gateway.routes import Route, RouteTable
from tidegate.protocol.errors import ModelNotFound
from tidegate.protocol.statistics import BatchStatistics, Duration, InferStatistics, ModelStatistics
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.statistics import CacheStatistics, Executed

_NO_CACHE = CacheStatistics(
    hits=0, misses=0, coalesced=0, evicted=0, entries=0, nbytes=0, hit_seconds=0.0, miss_seconds=0.0
)


def statistics_of(routes: RouteTable, model: str = "", version: str = "") -> list[ModelStatistics]:
    """The statistics of one version, of all versions of a model (``version`` ""), or of all models (``model`` "").

    By name, and a model's versions by number.

    Raises:
        ModelNotFound: no model of that name is served.
        VersionNotFound: the model is, but not in that version.
    """
    return [
        model_statistics(route.model, route.version, route.backend.statistics())
        for route in _addressed(routes, model, version)
    ]


def model_statistics(name: str, version: str, revision: RevisionStatistics) -> ModelStatistics:
    """The statistics of one version. docs/statistics.md says what each figure counts."""
    executed = revision.executed
    counts = (revision.batcher or IDLE).counts
    compute_input, compute_infer, compute_output = _compute(executed.values())
    cache = revision.cache or _NO_CACHE
    return ModelStatistics(
        name=name,
        version=version,
        last_inference=round(revision.last_inference * 1e3),
        inference_count=counts.executed_rows,
        execution_count=compute_infer.count,
        inference_stats=InferStatistics(
            success=_duration(
                counts.completed + cache.hits + cache.coalesced, counts.completed_seconds + cache.hit_seconds
            ),
            fail=_duration(counts.failed + counts.expired + counts.refused_early, counts.unanswered_seconds),
            queue=_duration(sum(counts.waits), counts.wait_seconds),
            compute_input=compute_input,
            compute_infer=compute_infer,
            compute_output=compute_output,
            cache_hit=_duration(cache.hits, cache.hit_seconds),
            cache_miss=_duration(cache.misses, cache.miss_seconds),
        ),
        batch_stats=tuple(starmap(_batch, sorted(executed.items()))),
    )


def _addressed(routes: RouteTable, model: str, version: str) -> list[Route]:
    if version:
        return [routes.resolve(model, version)]
    if model and not routes.models.get(model):
        raise ModelNotFound(model)
    models = [model] if model else sorted(routes.models)
    return [
        route
        for name in models
        for _, route in sorted(routes.models[name].items(), key=lambda entry: (len(entry[0]), entry[0]))
    ]


def _batch(size: int, executed: Executed) -> BatchStatistics:
    compute_input, compute_infer, compute_output = _compute((executed,))
    return BatchStatistics(
        batch_size=size, compute_input=compute_input, compute_infer=compute_infer, compute_output=compute_output
    )


def _compute(executed: Iterable[Executed]) -> tuple[Duration, Duration, Duration]:
    """Input, infer and output of these executions together."""
    every = list(executed)
    count = sum(one.executions for one in every)
    return (
        _duration(count, sum(one.input_seconds for one in every)),
        _duration(count, sum(one.infer_seconds for one in every)),
        _duration(count, sum(one.output_seconds for one in every)),
    )


def _duration(count: int, seconds: float) -> Duration:
    return Duration(count, round(seconds * 1e9))
