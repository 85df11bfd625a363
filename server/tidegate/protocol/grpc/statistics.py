"""ModelStatistics: which model is asked about, and the answer."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc.documents import parse_message
from tidegate.protocol.statistics import (
    BatchStatistics,
    Duration,
    InferStatistics,
    MemoryUsage,
    ModelStatistics,
    ResponseStatistics,
)
from tidegate.protocol.tensors import Buffer


def decode_statistics_request(data: Buffer) -> tuple[str, str]:
    """Name and version of a ModelStatisticsRequest; "" is all of them.

    Raises:
        InvalidRequest: the bytes are no such message, or it names a version of no model.
    """
    message = parse_message(pb.ModelStatisticsRequest, data)
    if message.version and not message.name:
        raise InvalidRequest(f"version is '{shown(message.version)}' and name is empty; expected the name of a model")
    return message.name, message.version


def encode_statistics_request(name: str = "", version: str = "") -> bytes:
    return pb.ModelStatisticsRequest(name=name, version=version).SerializeToString()


def encode_statistics(models: Iterable[ModelStatistics]) -> bytes:
    return pb.ModelStatisticsResponse(model_stats=map(_encode_model, models)).SerializeToString()


def decode_statistics(data: Buffer) -> tuple[ModelStatistics, ...]:
    """The statistics that any v2 server tells.

    Raises:
        InvalidRequest: the bytes are no such message.
    """
    return tuple(map(_decode_model, parse_message(pb.ModelStatisticsResponse, data).model_stats))


def _encode_model(model: ModelStatistics) -> pb.ModelStatistics:
    stats = model.inference_stats
    return pb.ModelStatistics(
        name=model.name,
        version=model.version,
        last_inference=model.last_inference,
        inference_count=model.inference_count,
        execution_count=model.execution_count,
        inference_stats=pb.InferStatistics(
            **{name: _encode_duration(getattr(stats, name)) for name in stats.__struct_fields__}
        ),
        batch_stats=map(_encode_batch, model.batch_stats),
        memory_usage=[
            pb.MemoryUsage(type=usage.type, id=usage.id, byte_size=usage.byte_size) for usage in model.memory_usage
        ],
        response_stats={number: _encode_response(stats) for number, stats in model.response_stats.items()},
    )


def _encode_response(response: ResponseStatistics) -> pb.InferResponseStatistics:
    return pb.InferResponseStatistics(
        **{name: _encode_duration(getattr(response, name)) for name in response.__struct_fields__}
    )


def _encode_batch(batch: BatchStatistics) -> pb.InferBatchStatistics:
    return pb.InferBatchStatistics(
        batch_size=batch.batch_size,
        compute_input=_encode_duration(batch.compute_input),
        compute_infer=_encode_duration(batch.compute_infer),
        compute_output=_encode_duration(batch.compute_output),
    )


def _encode_duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)


def _decode_model(message: pb.ModelStatistics) -> ModelStatistics:
    stats = message.inference_stats
    return ModelStatistics(
        name=message.name,
        version=message.version,
        last_inference=message.last_inference,
        inference_count=message.inference_count,
        execution_count=message.execution_count,
        inference_stats=InferStatistics(
            **{name: _decode_duration(getattr(stats, name)) for name in InferStatistics.__struct_fields__}
        ),
        batch_stats=tuple(map(_decode_batch, message.batch_stats)),
        memory_usage=tuple(MemoryUsage(usage.type, usage.id, usage.byte_size) for usage in message.memory_usage),
        response_stats={number: _decode_response(stats) for number, stats in message.response_stats.items()},
    )


def _decode_response(message: pb.InferResponseStatistics) -> ResponseStatistics:
    return ResponseStatistics(
        **{name: _decode_duration(getattr(message, name)) for name in ResponseStatistics.__struct_fields__}
    )


def _decode_batch(message: pb.InferBatchStatistics) -> BatchStatistics:
    return BatchStatistics(
        batch_size=message.batch_size,
        compute_input=_decode_duration(message.compute_input),
        compute_infer=_decode_duration(message.compute_infer),
        compute_output=_decode_duration(message.compute_output),
    )


def _decode_duration(message: pb.StatisticDuration) -> Duration:
    return Duration(message.count, message.ns)
