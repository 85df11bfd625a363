"""From a revision's figures to v2's statistics, which count as Triton does. Pure.

The metrics are read off the same figures (``telemetry/collector.py``), so that the two never disagree. How requests
ended is counted apart from them, where each passes once (``Outcomes``): a batcher does not see those that a cache
answers, and sees one where several share an execution.
"""

from __future__ import annotations

from itertools import starmap

from tidegate.gateway.backend import RevisionStatistics
from tidegate.protocol.statistics import BatchStatistics, Duration, InferStatistics, ModelStatistics, ResponseStatistics
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.outcomes import Outcomes
from tidegate.telemetry.statistics import Executed, Responded


def model_statistics(name: str, version: str, revision: RevisionStatistics, outcomes: Outcomes) -> ModelStatistics:
    """The statistics of one version. docs/statistics.md says what each figure counts."""
    answered, cache = revision.answered, revision.cache
    return ModelStatistics(
        name=name,
        version=version,
        last_inference=round(revision.last_inference * 1e3),
        inference_count=(revision.batcher or IDLE).counts.executed_rows,
        execution_count=sum(executed.executions for executed in revision.executed.values()),
        inference_stats=InferStatistics(
            success=_duration(outcomes.succeeded, outcomes.succeeded_seconds),
            fail=_duration(outcomes.failed, outcomes.failed_seconds),
            queue=_duration(outcomes.succeeded, answered.wait_seconds),
            compute_input=_duration(answered.requests, answered.input_seconds),
            compute_infer=_duration(answered.requests, answered.infer_seconds),
            compute_output=_duration(answered.requests, answered.output_seconds),
            cache_hit=Duration() if cache is None else _duration(cache.hits, cache.hit_seconds),
            cache_miss=Duration() if cache is None else _duration(cache.misses, cache.miss_seconds),
        ),
        batch_stats=tuple(starmap(_batch, sorted(revision.executed.items()))),
        response_stats={str(number): _response(responded) for number, responded in revision.responses.items()},
    )


def _batch(size: int, executed: Executed) -> BatchStatistics:
    count = executed.executions
    return BatchStatistics(
        batch_size=size,
        compute_input=_duration(count, executed.input_seconds),
        compute_infer=_duration(count, executed.infer_seconds),
        compute_output=_duration(count, executed.output_seconds),
    )


def _response(responded: Responded) -> ResponseStatistics:
    count = responded.responses
    return ResponseStatistics(
        compute_infer=_duration(count, responded.infer_seconds),
        compute_output=_duration(count, max(0.0, responded.seconds - responded.infer_seconds)),
        success=_duration(count, responded.seconds),
        fail=_duration(responded.failed, responded.failed_seconds),
        empty_response=_duration(responded.ended, responded.ended_seconds),
        cancel=_duration(responded.cancelled, responded.cancelled_seconds),
    )


def _duration(count: int, seconds: float) -> Duration:
    return Duration(count, round(seconds * 1e9))
