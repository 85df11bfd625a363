from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol import v1
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, PayloadTooLarge
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.tensors import Tensor


def model(*specs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("m", "fake_test", specs, ())


X = TensorSpec("x", Datatype.FP32, (-1, 2))
AGE = TensorSpec("age", Datatype.INT64, (-1, 1))
NAME = TensorSpec("name", Datatype.BYTES, (-1,))
ONE = model(X)
TWO = model(AGE, NAME)


def decode(text: str | bytes, metadata: ModelMetadata = ONE, limits: Limits = DEFAULT_LIMITS) -> InferRequest:
    body = text.encode() if isinstance(text, str) else text
    return v1.decode_request(body, model="m", version="3", metadata=metadata, limits=limits)


def arrays(request: InferRequest) -> dict[str, Any]:
    return {tensor.name: tensor.numpy().tolist() for tensor in request.inputs}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"instances":[[1,2],[3.5,4]]}', id="rows"),
        pytest.param('{"instances":[{"x":[1,2]},{"x":[3.5,4]}]}', id="objects"),
        pytest.param('{"inputs":[[1,2],[3.5,4]]}', id="inputs"),
        pytest.param('{"inputs":{"x":[[1,2],[3.5,4]]}}', id="inputs-by-name"),
        pytest.param(' { "signature_name" : "serving_default", "instances" : [ [ 1 , 2 ], [3.5,4] ] }', id="extras"),
    ],
)
def test_one_input(text: str) -> None:
    """Rows of a model's one input, in every form, become one tensor of the signature's datatype."""
    request = decode(text)
    assert (request.model_name, request.model_version) == ("m", "3")
    (tensor,) = request.inputs
    assert (tensor.datatype, tensor.shape) == (Datatype.FP32, (2, 2))
    assert tensor.numpy().tolist() == [[1, 2], [3.5, 4]]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"instances":[{"age":30,"name":"a"},{"name":"é","age":[40]}]}', id="objects"),
        pytest.param('{"inputs":{"age":[[30],[40]],"name":["a","é"]}}', id="columns"),
        pytest.param('{"inputs":{"name":["a","é"],"age":[30,40]}}', id="columns-of-scalars"),
    ],
)
def test_several_inputs(text: str) -> None:
    """An object per row, or one of columns, becomes the tensors; an input of one column takes scalars."""
    request = decode(text, TWO)
    assert arrays(request) == {"age": [[30], [40]], "name": [b"a", "é".encode()]}
    assert [tensor.name for tensor in request.inputs] == ["age", "name"]


def test_no_rows() -> None:
    """No rows have the sizes that the signature tells."""
    assert decode('{"instances":[]}').inputs[0].shape == (0, 2)


def test_non_finite_numbers() -> None:
    """The same forms as in v2 stand for NaN and the infinities, bare literals included."""
    (row,) = decode('{"instances":[[NaN,-Infinity]]}').inputs[0].numpy().tolist()
    assert np.isnan(row[0])
    assert row[1] == -np.inf


@pytest.mark.parametrize(
    ("text", "metadata", "message"),
    [
        pytest.param("", ONE, "the body is empty, expected JSON", id="empty"),
        pytest.param("[1]", ONE, "the body: expected an object, got an array", id="not-an-object"),
        pytest.param("{}", ONE, "the body has neither 'instances' nor 'inputs'", id="neither"),
        pytest.param(
            '{"instances":[],"inputs":[]}', ONE, "the body has both 'instances' and 'inputs', expected one of them",
            id="both",
        ),
        pytest.param('{"instances":5}', ONE, "instances: expected an array with one entry per row", id="no-list"),
        pytest.param('{"inputs":5}', ONE, "input 'x': inputs: expected an array, got an integer", id="no-rows"),
        pytest.param(
            '{"instances":[1,2]}', ONE, "input 'x': instances[0]: expected an array, got an integer", id="flat"
        ),
        pytest.param(
            '{"instances":[[[1]]]}', ONE, "input 'x': instances[0][0]: expected a number, got an array", id="deep"
        ),
        pytest.param(
            '{"instances":[[1,2],[3]]}', ONE, "input 'x': rows[1] has 1 elements, its shape [2, 2] has 2 there",
            id="ragged",
        ),
        pytest.param(
            '{"instances":[[1,"a"]]}', ONE, "input 'x': instances[0][1]: expected a number, got 'a'", id="text"
        ),
        pytest.param('{"instances":[{"z":[1,2]}]}', ONE, "instances[0]: unknown member 'z'", id="unknown-name"),
        pytest.param('{"instances":[{}]}', ONE, "instances[0]: missing member 'x'", id="missing-name"),
        pytest.param(
            '{"instances":[{"x":[1,true]}]}', ONE,
            "instances[0].x[1]: expected a number, a string or null, got true or false", id="object-type",
        ),
        pytest.param('{"inputs":{"z":[]}}', ONE, "inputs: 'x' is missing; expected 'x'", id="inputs-missing"),
        pytest.param(
            '{"inputs":{"x":[],"z":[]}}', ONE, "inputs: 'z' is not an input of the model; expected 'x'",
            id="inputs-unknown",
        ),
        pytest.param(
            '{"instances":[[1,2]]}', TWO,
            "instances: the model has several inputs, expected an object with 'age', 'name'", id="several",
        ),
        pytest.param(
            '{"instances":[{"age":1.5,"name":"a"}]}', TWO,
            "instances[0].age: expected an integer or an array, got a decimal number", id="decimal",
        ),
        pytest.param(
            '{"instances":[1]}', model(TensorSpec("h", Datatype.FP16, (-1,))),
            "input 'h': FP16 has no JSON form; use v2's binary tensor data", id="fp16",
        ),
        pytest.param(
            '{"instances":[300]}', model(TensorSpec("b", Datatype.UINT8, (-1,))),
            "input 'b': element 0 is 300, UINT8 holds 0 to 255", id="range",
        ),
    ],
)  # fmt: skip
def test_refuses(text: str, metadata: ModelMetadata, message: str) -> None:
    """What is not the model's is refused with its place."""
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}$"):
        decode(text, metadata)


def test_limits_hold() -> None:
    """The JSON's size, the elements and the bytes of v1 are bounded like those of v2."""
    with pytest.raises(PayloadTooLarge, match=r"^the body has more than 20 bytes, which is the limit for JSON$"):
        decode('{"instances":[[1,2],[3,4]]}', limits=Limits(max_json_bytes=20))
    with pytest.raises(InvalidRequest, match=r"^input 'x': shape \[2, 2\] has more than 3 elements of FP32$"):
        decode('{"instances":[[1,2],[3,4]]}', limits=Limits(max_elements=3))
    flood = '{"instances":[' + "[0,0]," * 100_000 + "[0,0]]}"
    with pytest.raises(InvalidRequest, match=r"^input 'x': data has more than 1000 elements"):
        decode(flood, limits=Limits(max_elements=1000))


FUZZ = settings(derandomize=True, deadline=None, max_examples=300)


@FUZZ
@given(st.one_of(st.binary(max_size=60), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["instances", "inputs", "age", "name", "x"]), inner, max_size=3
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_arbitrary_bodies_raise_only_ours(body: bytes) -> None:
    """Whatever arrives, the answer is a request whose tensors are whole, or a 4xx."""
    for metadata in (ONE, TWO, model(TensorSpec("x", Datatype.BOOL, ()))):
        try:
            request = decode(body, metadata)
        except InvalidRequest:
            continue
        assert all(tensor.numpy().shape == tensor.shape for tensor in request.inputs)


def test_predictions_of_one_output() -> None:
    """One output becomes nested rows."""
    y = Tensor.from_numpy("y", np.array([[0.1, 2], [3, 4]], dtype=np.float32))
    assert v1.encode_response(InferResponse("m", (y,))) == b'{"predictions":[[0.1,2.0],[3.0,4.0]]}'


def test_predictions_of_several_outputs() -> None:
    """Several outputs become an object per row."""
    label = Tensor.from_numpy("label", np.array([b"a", b"b"], dtype=object))
    scores = Tensor.from_numpy("scores", np.array([[1, 2], [3, 4]]))
    document = json.loads(v1.encode_response(InferResponse("m", (label, scores))))
    assert document == {"predictions": [{"label": "a", "scores": [1, 2]}, {"label": "b", "scores": [3, 4]}]}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(NanPolicy.NULL, b'{"predictions":[[null,null]]}', id="null"),
        pytest.param(NanPolicy.STRING, b'{"predictions":[["NaN","-Infinity"]]}', id="string"),
        pytest.param(NanPolicy.LITERAL, b'{"predictions":[[NaN,-Infinity]]}', id="literal"),
    ],
)
def test_predictions_that_are_not_finite(policy: NanPolicy, expected: bytes) -> None:
    """The policy holds within nested rows too."""
    y = Tensor.from_numpy("y", np.array([[np.nan, -np.inf]]))
    assert v1.encode_response(InferResponse("m", (y,)), policy) == expected


def test_outputs_that_are_not_rows_are_refused() -> None:
    """Outputs of different lengths have no v1 form."""
    a, b = Tensor.from_numpy("a", np.zeros(2)), Tensor.from_numpy("b", np.zeros(3))
    with pytest.raises(InvalidRequest, match=r"^the outputs of model 'm' are not rows; ask for them by v2$"):
        v1.encode_response(InferResponse("m", (a, b)))


@FUZZ
@given(st.integers(0, 5), st.integers(0, 3), st.data())
def test_rows_come_back_equal(rows: int, width: int, data: st.DataObject) -> None:
    """An identity model's predictions are the instances."""
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    row = st.lists(floats, min_size=width, max_size=width)
    instances = data.draw(st.lists(row, min_size=rows, max_size=rows))
    metadata = model(TensorSpec("x", Datatype.FP32, (-1, width)))
    request = decode(json.dumps({"instances": instances}), metadata)
    predictions = json.loads(v1.encode_response(InferResponse("m", request.inputs)))["predictions"]
    assert np.array_equal(np.array(predictions, dtype=np.float32), np.array(instances, dtype=np.float32))
    assert list(map(len, predictions)) == [width] * rows
