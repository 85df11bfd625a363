"""The statistics of v2 in JSON and in protobuf, held against Triton's own messages."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from tritonclient.grpc import service_pb2

from tidegate.protocol.documents import encode_statistics as encode_json
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.grpc import (
    decode_statistics,
    decode_statistics_request,
    encode_statistics,
    encode_statistics_request,
)
from tidegate.protocol.statistics import (
    BatchStatistics,
    Duration,
    InferStatistics,
    MemoryUsage,
    ModelStatistics,
    ResponseStatistics,
)

IRIS = ModelStatistics(
    name="iris",
    version="3",
    last_inference=1_700_000_000_250,
    inference_count=40,
    execution_count=10,
    inference_stats=InferStatistics(
        success=Duration(1, 10),
        fail=Duration(2, 20),
        queue=Duration(3, 30),
        compute_input=Duration(4, 40),
        compute_infer=Duration(5, 50),
        compute_output=Duration(6, 60),
        cache_hit=Duration(7, 70),
        cache_miss=Duration(8, 80),
    ),
    batch_stats=(
        BatchStatistics(
            batch_size=4,
            compute_input=Duration(9, 90),
            compute_infer=Duration(10, 100),
            compute_output=Duration(11, 110),
        ),
        BatchStatistics(batch_size=8),
    ),
    memory_usage=(MemoryUsage("CPU", 0, 1 << 40),),
)

DOCUMENT: dict[str, Any] = {
    "name": "iris",
    "version": "3",
    "last_inference": 1_700_000_000_250,
    "inference_count": 40,
    "execution_count": 10,
    "inference_stats": {
        "success": {"count": 1, "ns": 10},
        "fail": {"count": 2, "ns": 20},
        "queue": {"count": 3, "ns": 30},
        "compute_input": {"count": 4, "ns": 40},
        "compute_infer": {"count": 5, "ns": 50},
        "compute_output": {"count": 6, "ns": 60},
        "cache_hit": {"count": 7, "ns": 70},
        "cache_miss": {"count": 8, "ns": 80},
    },
    "response_stats": {},
    "batch_stats": [
        {
            "batch_size": 4,
            "compute_input": {"count": 9, "ns": 90},
            "compute_infer": {"count": 10, "ns": 100},
            "compute_output": {"count": 11, "ns": 110},
        },
        {"batch_size": 8} | {f"compute_{phase}": {"count": 0, "ns": 0} for phase in ("input", "infer", "output")},
    ],
    "memory_usage": [{"type": "CPU", "id": 0, "byte_size": 1 << 40}],
}

numbers = st.integers(0, 2**64 - 1)
durations = st.builds(Duration, numbers, numbers)
batches = st.builds(
    BatchStatistics, batch_size=numbers, compute_input=durations, compute_infer=durations, compute_output=durations
)
models = st.builds(
    ModelStatistics,
    name=st.text(),
    version=st.text(),
    last_inference=numbers,
    inference_count=numbers,
    execution_count=numbers,
    inference_stats=st.builds(InferStatistics, **dict.fromkeys(InferStatistics.__struct_fields__, durations)),
    batch_stats=st.lists(batches, max_size=3).map(tuple),
    memory_usage=st.lists(st.builds(MemoryUsage, st.text(), st.integers(-(2**63), 2**63 - 1), numbers), max_size=2).map(
        tuple
    ),
)


def as_numbers(document: Any) -> Any:
    """protobuf's JSON form has 64-bit numbers as strings."""
    match document:
        case dict():
            return {key: value if key in ("name", "version") else as_numbers(value) for key, value in document.items()}
        case list():
            return [as_numbers(value) for value in document]
        case str() if document.isdigit():
            return int(document)
    return document


def test_the_json_has_tritons_members() -> None:
    """Also those that are zero or empty."""
    assert json.loads(encode_json([IRIS])) == {"model_stats": [DOCUMENT]}
    assert json.loads(encode_json([])) == {"model_stats": []}


def test_triton_reads_the_message() -> None:
    """Every number is in the field in which Triton has it, and no field of Triton's is made up."""
    data = encode_statistics([IRIS])
    theirs = service_pb2.ModelStatisticsResponse.FromString(data)
    theirs.DiscardUnknownFields()
    assert theirs.SerializeToString() == data
    told = MessageToDict(theirs, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    assert as_numbers(told) == {"model_stats": [DOCUMENT]}


@given(st.lists(models, max_size=3))
def test_what_is_written_reads_back_equal(told: list[ModelStatistics]) -> None:
    """Up to the ends of the range of 64 bits."""
    assert decode_statistics(encode_statistics(told)) == tuple(told)


def test_tritons_message_is_read() -> None:
    """What it does not say is zero."""
    message = service_pb2.ModelStatisticsResponse()
    model = message.model_stats.add(name="m", version="1", inference_count=7)
    model.response_stats["0"].success.count = 3
    model.batch_stats.add(batch_size=2)
    assert decode_statistics(message.SerializeToString()) == (
        ModelStatistics(
            name="m",
            version="1",
            inference_count=7,
            response_stats={"0": ResponseStatistics(success=Duration(3))},
            batch_stats=(BatchStatistics(batch_size=2),),
        ),
    )


@pytest.mark.parametrize(("name", "version"), [("", ""), ("iris", ""), ("iris", "3")])
def test_a_request_names_a_version_a_model_or_nothing(name: str, version: str) -> None:
    """As Triton's client asks, and ours."""
    theirs = service_pb2.ModelStatisticsRequest(name=name, version=version).SerializeToString()
    assert decode_statistics_request(theirs) == (name, version)
    assert encode_statistics_request(name, version) == theirs


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(
            encode_statistics_request(version="3"),
            "version is '3' and name is empty; expected the name of a model",
            id="a version of nothing",
        ),
        pytest.param(
            b"\x0a\x01\xff",
            "the message is not a valid ModelStatisticsRequest: broken protobuf, or a text that is not UTF-8",
            id="not UTF-8",
        ),
    ],
)
def test_a_bad_request_is_refused(data: bytes, text: str) -> None:
    """The sentence says what is missing or broken."""
    with pytest.raises(InvalidRequest) as caught:
        decode_statistics_request(data)
    assert caught.value.message == text
