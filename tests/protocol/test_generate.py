"""The generate extension: flat JSON to inputs, outputs to flat JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidTensor, PayloadTooLarge
from tidegate.protocol.generate import decode_request, encode_response
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
