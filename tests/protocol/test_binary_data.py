from __future__ import annotations

import re

import numpy as np
import pytest

from tidegate.protocol.binary_data import check_raw
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidTensor
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.rest import decode_request, encode_response
from tidegate.protocol.tensors import Tensor, join_bytes


def model(*specs: TensorSpec, batched: bool = True) -> ModelMetadata:
    return ModelMetadata("m", "fake_test", specs, (), batch_dimension=batched)


def raw(body: bytes, metadata: ModelMetadata | None, limits: Limits = DEFAULT_LIMITS) -> InferRequest:
    return decode_request(body, 0, model="m", version="", limits=limits, metadata=metadata)


@pytest.mark.parametrize(
    ("kind", "count", "data"),
    [
        pytest.param(Datatype.FP32, 2, bytes(8), id="fp32"),
        pytest.param(Datatype.BF16, 0, b"", id="none"),
        pytest.param(Datatype.BOOL, 3, b"\0\1\1", id="bool"),
        pytest.param(Datatype.BOOL, 0, b"", id="no-bool"),
        pytest.param(Datatype.BYTES, 2, join_bytes([b"", b"\xff\xfe"]), id="text"),
        pytest.param(Datatype.BYTES, 0, b"", id="no-text"),
    ],
)
def test_whole_tensors_pass(kind: Datatype, count: int, data: bytes) -> None:
    """Bytes that are exactly their elements are taken."""
    check_raw("x", kind, count, memoryview(data))


@pytest.mark.parametrize(
    ("kind", "count", "data", "problem"),
    [
        pytest.param(
            Datatype.FP32, 2, bytes(7), "has 7 bytes of binary data, its 2 elements of FP32 are 8", id="fixed-size"
        ),
        pytest.param(Datatype.BOOL, 3, b"\0\1\2", "element 2 of its BOOL data is 2, expected 0 or 1", id="bool"),
        pytest.param(Datatype.BYTES, 1, b"\2\0\0\0a", "element 0 claims 2 bytes, but only 1 are left", id="short"),
        pytest.param(Datatype.BYTES, 1, b"\0\0\0", "BYTES data ends before the length of element 0 of 1", id="length"),
        pytest.param(Datatype.BYTES, 1, b"\0\0\0\0a", "1 bytes are left over after its 1 elements", id="left-over"),
        pytest.param(Datatype.BYTES, 0, b"a", "1 bytes are left over after its 0 elements", id="none-expected"),
        pytest.param(
            Datatype.BYTES, 2, b"\4\0\0\0abcd", "BYTES data ends before the length of element 1 of 2", id="one-missing"
        ),
    ],
)
def test_broken_tensors_are_refused(kind: Datatype, count: int, data: bytes, problem: str) -> None:
    """What the bytes alone can get wrong is named."""
    with pytest.raises(InvalidTensor, match="^" + re.escape(f"input 'x': {problem}") + "$"):
        check_raw("x", kind, count, memoryview(data))


@pytest.mark.parametrize(
    ("spec", "batched", "body", "shape"),
    [
        pytest.param((-1, 4), True, bytes(16), (1, 4), id="fixed-row"),
        pytest.param((-1, -1), True, bytes(12), (1, 3), id="one-open-beside-the-batch"),
        pytest.param((-1,), True, bytes(4), (1,), id="scalars"),
        pytest.param((-1,), False, bytes(12), (3,), id="no-batch"),
        pytest.param((2, 2), True, bytes(16), (2, 2), id="all-fixed"),
        pytest.param((-1, -1, 3), True, b"", (1, 0, 3), id="nothing"),
        pytest.param((), True, bytes(4), (), id="scalar"),
    ],
)
def test_a_raw_body_takes_the_shape_of_the_signature(
    spec: tuple[int, ...], batched: bool, body: bytes, shape: tuple[int, ...]
) -> None:
    """The body is one row of the one input; its outputs are wished as binary data."""
    request = raw(body, model(TensorSpec("x", Datatype.FP32, spec), batched=batched))
    (tensor,) = request.inputs
    assert (tensor.name, tensor.shape, bytes(tensor.data)) == ("x", shape, body)
    y = Tensor.from_numpy("y", np.zeros(2))
    assert encode_response(InferResponse("m", (y,)), request).json_length is not None


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        pytest.param((-1,), (1,), id="vector"),
        pytest.param((-1, 1), (1, 1), id="column"),
        pytest.param((), (), id="scalar"),
    ],
)
def test_a_raw_body_is_one_element_of_bytes(spec: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """The whole body is the element: it has no length in front."""
    (tensor,) = raw(b"\x89PNG", model(TensorSpec("x", Datatype.BYTES, spec))).inputs
    assert tensor.shape == shape
    assert tensor.numpy().reshape(-1).tolist() == [b"\x89PNG"]


@pytest.mark.parametrize(
    ("metadata", "body", "message"),
    [
        pytest.param(
            None, b"", "model 'm' has not told its signature yet, which a raw request needs", id="no-signature"
        ),
        pytest.param(model(), b"", "model 'm' has 0 inputs, a raw request is for models with one", id="no-input"),
        pytest.param(
            model(TensorSpec("x", Datatype.FP32, (-1, -1, -1))), bytes(4),
            "input 'x' has shape [-1, -1, -1], a raw request leaves at most one dimension open", id="two-open",
        ),
        pytest.param(
            model(TensorSpec("x", Datatype.BYTES, (-1, 3))), b"a",
            "input 'x' has shape [-1, 3], a raw request carries one element of BYTES", id="text-row",
        ),
        pytest.param(
            model(TensorSpec("x", Datatype.FP32, (-1, -1, 2))), bytes(12),
            "input 'x': has 12 bytes of binary data, shape [-1, -1, 2] needs a multiple of 8", id="half-a-row",
        ),
        pytest.param(
            model(TensorSpec("x", Datatype.FP32, (-1, -1, 0))), bytes(4),
            "input 'x': has 4 bytes of binary data, shape [-1, -1, 0] needs a multiple of 0", id="empty-row",
        ),
        pytest.param(
            model(TensorSpec("x", Datatype.FP32, (-1, 2))), bytes(12),
            "input 'x': has 12 bytes of binary data, its 2 elements of FP32 are 8", id="too-long",
        ),
        pytest.param(
            model(TensorSpec("x", Datatype.BOOL, (-1, -1))), b"\0\7",
            "input 'x': element 1 of its BOOL data is 7, expected 0 or 1", id="bool",
        ),
    ],
)  # fmt: skip
def test_raw_bodies_that_are_refused(metadata: ModelMetadata | None, body: bytes, message: str) -> None:
    """Where the signature does not tell the shape, or the body does not fit it, the message says which."""
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}$"):
        raw(body, metadata)


def test_raw_bodies_keep_the_limits() -> None:
    """The limit on elements holds without a shape from the caller too."""
    with pytest.raises(InvalidTensor, match=r"^input 'x': shape \[1, 5\] has more than 4 elements of UINT8$"):
        raw(bytes(5), model(TensorSpec("x", Datatype.UINT8, (-1, -1))), Limits(max_elements=4))
