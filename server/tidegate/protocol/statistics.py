"""The answer of v2's statistics extension as values, free of any encoding. Names and units are the protocol's.

Counts and times only grow while a server runs, so that whoever asks twice knows what happened in between.
"""

from __future__ import annotations

import msgspec


class Duration(msgspec.Struct, frozen=True):
    """How often something happened, and for how many nanoseconds together."""

    count: int = 0
    ns: int = 0


class InferStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of a model's requests and executions went."""

    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()


class BatchStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The same of the executions of one size: ``batch_size`` rows."""

    batch_size: int
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()


class ResponseStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Of the responses of a decoupled model that have one number in their streams."""

    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    success: Duration = Duration()
    fail: Duration = Duration()
    empty_response: Duration = Duration()
    cancel: Duration = Duration()


class MemoryUsage(msgspec.Struct, frozen=True):
    """Memory of one kind that a model takes; ``id`` is the device's number."""

    type: str
    id: int
    byte_size: int


class ModelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model. ``last_inference`` is in milliseconds since 1970, 0 where there was none.

    ``inference_count`` counts rows, ``execution_count`` executions: their quotient is the mean batch.
    ``response_stats`` are by the number of the response, from "0".
    """

    name: str
    version: str
    last_inference: int = 0
    inference_count: int = 0
    execution_count: int = 0
    inference_stats: InferStatistics = InferStatistics()
    response_stats: dict[str, ResponseStatistics] = {}
    batch_stats: tuple[BatchStatistics, ...] = ()
    memory_usage: tuple[MemoryUsage, ...] = ()
