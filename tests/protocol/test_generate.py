"""The generate extension: flat JSON to inputs, outputs to flat JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidTensor, PayloadTooLarge, Unsupported
from tidegate.protocol.generate import decode_request, decode_response, encode_request, encode_response
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.tensors import Tensor


def decode(body: object, *specs: TensorSpec, limits: Limits = DEFAULT_LIMITS) -> InferRequest:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_request(text, model="m", version="1", metadata=ModelMetadata("m", "p", specs, ()), limits=limits)


def spec(*shape: int, kind: Datatype = Datatype.FP32, name: str = "x") -> TensorSpec:
    return TensorSpec(name, kind, shape)


TEXT = spec(-1, 1, kind=Datatype.BYTES, name="text_input")


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        pytest.param((-1,), 5, [5.0], id="scalar"),
        pytest.param((), 5, 5.0, id="scalar-of-rank-0"),
        pytest.param((), [5], 5.0, id="list-of-rank-0"),
        pytest.param((-1, 1), 5, [[5.0]], id="scalar-of-rank-2"),
        pytest.param((-1, -1), [1, 2], [[1.0, 2.0]], id="flat-along-the-last"),
        pytest.param((-1, -1, 2), [1, 2], [[[1.0, 2.0]]], id="flat-of-rank-3"),
        pytest.param((-1, 2), [[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]], id="nested"),
        pytest.param((-1,), [], [], id="empty"),
    ],
)
def test_a_value_is_a_scalar_flat_or_nested(shape: tuple[int, ...], value: object, expected: object) -> None:
    """Dimensions that it lacks are 1."""
    assert decode({"x": value}, spec(*shape)).inputs[0].numpy().tolist() == expected


def test_members_are_inputs_or_parameters() -> None:
    """Those that the model does not know are parameters, and `parameters` has the last word."""
    request = decode(
        {"text_input": "hi", "id": "7", "max_tokens": 5, "stream": False, "parameters": {"stream": True}}, TEXT
    )
    assert request.inputs[0].numpy().tolist() == [[b"hi"]]
    assert (request.id, request.parameters) == ("7", {"max_tokens": 5, "stream": True})


def test_an_input_may_be_called_id() -> None:
    """The signature decides."""
    request = decode({"id": 3}, spec(-1, kind=Datatype.INT64, name="id"))
    assert (request.id, request.inputs[0].numpy().tolist()) == ("", [3])


def test_an_input_that_lacks_is_missing() -> None:
    """Admission says so, in the same words as for any request."""
    assert decode({"id": None, "parameters": None}, TEXT).inputs == ()


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (b"", InvalidRequest, "the body is empty, expected JSON"),
        (b"[]", InvalidRequest, "the body: expected an object, got an array"),
        ({"id": 7}, InvalidRequest, "id: expected a string or null, got an integer"),
        ({"parameters": {"a": None}}, InvalidRequest, "parameters"),
        ({"other": [1]}, InvalidRequest, "it is no input of the model, so a parameter"),
        ({"x": "1"}, InvalidTensor, "input 'x': the value: expected a number"),
        ({"x": [1, "1"]}, InvalidTensor, "input 'x': the value[1]: expected a number"),
        ({"x": [[[1]]]}, InvalidTensor, "input 'x': nests otherwise than its shape [-1, -1]"),
        ({"x": [[1, 2], [3]]}, InvalidTensor, "input 'x': rows[1] has 1 elements"),
        ({"y": [[1]]}, InvalidTensor, "nests otherwise than its shape [-1, -1, -1]"),
        ({"h": 1}, InvalidTensor, "input 'h': FP16 has no JSON form"),
    ],
)
def test_what_is_wrong_is_said(body: object, error: type[InvalidRequest], text: str) -> None:
    """With the place of it."""
    specs = (spec(-1, -1), spec(-1, -1, -1, name="y"), spec(-1, kind=Datatype.FP16, name="h"))
    with pytest.raises(error) as caught:
        decode(body, *specs)
    assert text in caught.value.message


def test_the_limits_hold() -> None:
    """On the body, the parameters and their names, the elements."""
    few = msgspec.structs.replace(DEFAULT_LIMITS, max_json_bytes=40, max_parameters=1, max_name_bytes=8, max_elements=2)
    with pytest.raises(PayloadTooLarge):
        decode({"x": "a" * 40}, limits=few)
    with pytest.raises(InvalidRequest, match="2 parameters, at most 1"):
        decode({"a": 1, "b": 2}, limits=few)
    with pytest.raises(InvalidRequest, match="at most 8 are allowed"):
        decode({"id": "123456789"}, limits=few)
    with pytest.raises(InvalidTensor, match="more than 2 elements"):
        decode({"x": [1, 2, 3]}, spec(-1), limits=few)


def encoded(array: npt.NDArray[Any], kind: Datatype, **words: Any) -> Any:
    response = InferResponse("m", (Tensor.from_numpy("y", array, kind),), "3", **words)
    return json.loads(encode_response(response))


def test_an_answer_is_flat() -> None:
    """A scalar for one element, an array for any other number; the id where there is one."""
    head = {"model_name": "m", "model_version": "3"}
    assert encoded(np.array([[b"hi"]], object), Datatype.BYTES, id="7") == {"id": "7", **head, "y": "hi"}
    assert encoded(np.array([[1, 2], [3, 4]]), Datatype.INT64) == {**head, "y": [1, 2, 3, 4]}
    assert encoded(np.array([], np.float32), Datatype.FP32) == {**head, "y": []}


def test_an_answer_has_the_numbers_that_json_has_not() -> None:
    """In the form that the server is told."""
    response = InferResponse("m", (Tensor.from_numpy("y", np.array([np.nan], np.float32)),))
    assert b'"y":null' in encode_response(response)
    assert b'"y":"NaN"' in encode_response(response, NanPolicy.STRING)
    assert b'"y":NaN' in encode_response(response, NanPolicy.LITERAL)


# The client's side

ROUND = (
    spec(-1, 2, name="x"),
    spec(-1, kind=Datatype.INT64, name="n"),
    spec(-1, 1, kind=Datatype.BYTES, name="text"),
    spec(kind=Datatype.BOOL, name="flag"),
)


def test_a_request_is_read_as_it_was_made() -> None:
    """Every input in its shape, what JSON has no number for by its name, the request's id and its parameters."""
    arrays = {
        "x": np.array([[1.5, np.nan], [np.inf, -np.inf], [0.1, 3e38]], np.float32),
        "n": np.array([2**62, -1]),
        "text": np.array([['a"b'], ["ünï"]], dtype=object),
        "flag": np.array(True),
    }
    tensors = tuple(Tensor.from_numpy(name, array) for name, array in arrays.items())
    metadata = ModelMetadata("m", "p", ROUND, ())
    request = InferRequest("m", tensors, "1", "7", {"temperature": 0.5, "stop": "x"})
    read = decode(encode_request(request, metadata), *ROUND)
    assert (read.id, read.parameters) == ("7", request.parameters)
    for was, tensor in zip(tensors, read.inputs, strict=True):
        assert (tensor.name, tensor.datatype, tensor.shape) == (was.name, was.datatype, was.shape)
        assert bytes(tensor.data) == bytes(was.data)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param((-1,), (4,), id="a-vector"),
        pytest.param((-1, 2), (2, 2), id="rows"),
        pytest.param((-1, -1), (1, 4), id="the-last-free-size-takes-it"),
        pytest.param((2, 2), (2, 2), id="fixed"),
        pytest.param((-1, 4, -1), (1, 4, 1), id="three"),
    ],
)
def test_an_answer_is_read_by_the_signature(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Which says what the flat form does not."""
    tensor = Tensor.from_numpy("x", np.arange(4, dtype=np.float32).reshape(expected))
    body = encode_response(InferResponse("m", (tensor,), "1", "7"))
    read = decode_response(body, ModelMetadata("m", "p", (), (spec(*shape), spec(-1, name="absent"))), DEFAULT_LIMITS)
    assert (read.model_name, read.model_version, read.id) == ("m", "1", "7")
    assert [(each.name, each.shape, bytes(each.data)) for each in read.outputs] == [("x", expected, bytes(tensor.data))]


@pytest.mark.parametrize(
    ("output", "body", "message"),
    [
        pytest.param(spec(-1, 3), b'{"x": [1, 2]}', "has 2 elements, which do not fit the shape", id="not-full-rows"),
        pytest.param(spec(3), b'{"x": 1}', "has 1 elements, which do not fit the shape", id="fixed"),
        pytest.param(spec(-1), b'{"x": [[1]]}', "nests, expected a flat array or a scalar", id="nested"),
        pytest.param(spec(-1), b'{"x": "1"}', "expected a number", id="another-type"),
        pytest.param(spec(-1, kind=Datatype.UINT8), b'{"x": 256}', "UINT8 holds 0 to 255", id="out-of-range"),
        pytest.param(spec(-1, kind=Datatype.BF16), b'{"x": 1}', "BF16 has no JSON form", id="no-form"),
        pytest.param(spec(-1), b'{"model_name": 1}', "model_name: expected a string", id="the-name"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(output: TensorSpec, body: bytes, message: str) -> None:
    """With what does not."""
    with pytest.raises(InvalidRequest, match=message):
        decode_response(body, ModelMetadata("m", "p", (), (output,)), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("name", "array", "model", "kind", "message"),
    [
        pytest.param("y", np.ones(1, np.float32), spec(-1), InvalidTensor, "none of the model's; it has x", id="y"),
        pytest.param("x", np.ones(1), spec(-1), InvalidTensor, "is FP64, the model expects FP32", id="datatype"),
        pytest.param("x", np.ones((1, 1), np.float32), spec(-1), InvalidTensor, r"shape is \[1, 1\]", id="shape"),
        pytest.param("x", np.array([b"\xff"], dtype=object), spec(-1, kind=Datatype.BYTES), Unsupported,
                     "no UTF-8.*; ask over gRPC", id="bytes"),
        pytest.param("id", np.ones(1, np.float32), spec(-1, name="id"), Unsupported, "from the request's", id="id"),
    ],
)  # fmt: skip
def test_what_this_form_cannot_carry_is_refused(
    name: str, array: npt.NDArray[Any], model: TensorSpec, kind: type[Exception], message: str
) -> None:
    """Before it is sent."""
    request = InferRequest("m", (Tensor.from_numpy(name, array),), id="7")
    with pytest.raises(kind, match=message):
        encode_request(request, ModelMetadata("m", "p", (model,), ()))
