"""Ours against Triton's own HTTP client: what it writes we read, what we write it reads."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tritonclient.http import InferInput, InferRequestedOutput, InferResult
from tritonclient.http._utils import _get_inference_request

from tidegate.protocol import rest
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.protocol.messages import InferRequest, InferResponse
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.tensors import Tensor

ARRAYS: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], dtype=np.uint8),
    "UINT16": np.array([[0, 65535]], dtype=np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], dtype=np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], dtype=np.uint64),
    "INT8": np.array([[-128, 127]], dtype=np.int8),
    "INT16": np.array([[-32768, 32767]], dtype=np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], dtype=np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], dtype=np.int64),
    "FP16": np.array([[0.1, -np.inf]], dtype=np.float16),
    "BF16": np.array([[0.1, -3.0]], dtype=ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, np.finfo(np.float32).max]], dtype=np.float32),
    "FP64": np.array([[0.1, -1e300]]),
    "BYTES": np.array([["é".encode(), b""]], dtype=object),
}
NO_JSON = ("FP16", "BF16")
BINARY = [pytest.param(True, id="binary"), pytest.param(False, id="json")]
KINDS_IN_A_FORM = [pytest.param(kind, True, id=f"{kind}-binary") for kind in ARRAYS] + [
    pytest.param(kind, False, id=f"{kind}-json") for kind in ARRAYS if kind not in NO_JSON
]
KINDS = [pytest.param(kind, id=kind) for kind in ARRAYS]


def same(ours: Tensor, theirs: Any) -> bool:
    """Whether a tensor has an array's shape and bytes."""
    if ours.datatype is Datatype.BYTES:
        return bool(ours.shape == theirs.shape and ours.numpy().tolist() == theirs.tolist())
    return bool(ours.shape == theirs.shape and bytes(ours.data) == theirs.tobytes())


def tensor(kind: str, array: Any) -> Tensor:
    return Tensor.from_numpy("x", array.astype(np.float32) if kind == "BF16" else array, Datatype(kind))


def written_by_triton(
    inputs: list[InferInput], outputs: list[InferRequestedOutput] | None = None, **parameters: Any
) -> InferRequest:
    """A request that Triton's client wrote, as we read it."""
    body, length = _get_inference_request(inputs, "7", outputs, 0, False, False, 0, None, parameters)
    return rest.decode_request(body, length, model="m", version="", limits=DEFAULT_LIMITS, metadata=None)


@pytest.mark.parametrize(("kind", "binary"), KINDS_IN_A_FORM)
def test_its_requests_are_read(kind: str, binary: bool) -> None:
    """Every datatype that its client can write arrives bit for bit."""
    array = ARRAYS[kind]
    request = written_by_triton([InferInput("x", list(array.shape), kind).set_data_from_numpy(array, binary)], a=1)
    assert same(request.inputs[0], array)
    assert (request.id, request.parameters) == ("7", {"binary_data_output": True, "a": 1})


@pytest.mark.parametrize("binary", BINARY)
def test_its_empty_tensors_are_read(binary: bool) -> None:
    """No rows are written in either form."""
    array = np.zeros((0, 3), dtype=np.int32)
    request = written_by_triton([InferInput("x", [0, 3], "INT32").set_data_from_numpy(array, binary)])
    assert request.inputs == (Tensor("x", Datatype.INT32, (0, 3), b""),)


def test_its_mixed_requests_are_read() -> None:
    """JSON and binary inputs and outputs may stand side by side."""
    inputs = [
        InferInput(kind.lower(), [1, 2], kind).set_data_from_numpy(array, index % 2 == 0 or kind in NO_JSON)
        for index, (kind, array) in enumerate(ARRAYS.items())
    ]
    outputs = [InferRequestedOutput("a", binary_data=True), InferRequestedOutput("b", binary_data=False)]
    request = written_by_triton(inputs, outputs)
    assert [same(tensor, array) for tensor, array in zip(request.inputs, ARRAYS.values(), strict=True)] == [True] * 14
    assert [(output.name, output.parameters["binary_data"]) for output in request.outputs] == [
        ("a", True),
        ("b", False),
    ]


@pytest.mark.parametrize(("kind", "binary"), KINDS_IN_A_FORM)
def test_our_responses_are_read(kind: str, binary: bool) -> None:
    """Every datatype that we can write reaches its client as the same array."""
    array = ARRAYS[kind]
    asked = InferRequest("m", (), parameters={"binary_data_output": binary})
    body = rest.encode_response(InferResponse("m", (tensor(kind, array),), id="7"), asked)
    result = InferResult.from_response_body(body.join(), header_length=body.json_length)
    read = result.as_numpy("x")
    if kind == "BYTES" and not binary:
        read = np.array([[text.encode() for text in row] for row in read.tolist()], dtype=object)
    assert read.dtype == array.dtype
    assert read.tolist() == array.tolist()
    assert result.get_response()["id"] == "7"


def test_our_literals_are_read() -> None:
    """The policy of bare literals is the one that its JSON reader takes for what it is."""
    array = np.array([np.nan, np.inf, -np.inf], dtype=np.float32)
    body = rest.encode_response(InferResponse("m", (tensor("FP32", array),)), None, NanPolicy.LITERAL)
    read = InferResult.from_response_body(body.join()).as_numpy("x")
    assert np.array_equal(read, array, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_our_binary_requests_are_those_of_its_client(kind: str) -> None:
    """Our client's bytes behind the JSON are the bytes that Triton's client writes."""
    array = ARRAYS[kind]
    theirs = InferInput("x", list(array.shape), kind).set_data_from_numpy(array)._get_binary_data()
    body = rest.encode_request(InferRequest("m", (tensor(kind, array),)), binary_inputs=True)
    assert body.join()[body.json_length :] == theirs
