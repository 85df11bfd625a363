from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol import rest
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, RequestedOutput, TensorSpec
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.parameters import for_model
from tidegate.protocol.tensors import Parameters, Tensor, join_bytes

MODEL = ModelMetadata("m", "fake_test", (TensorSpec("x", Datatype.UINT8, (-1, -1)),), ())
Y = Tensor.from_numpy("y", np.array([1, 2], dtype=np.int16))


def decode(body: str | bytes, length: int | None = None, limits: Limits = DEFAULT_LIMITS) -> InferRequest:
    data = body.encode() if isinstance(body, str) else body
    return rest.decode_request(data, length, model="m", version="3", limits=limits, metadata=MODEL)


def with_tail(head: str, tail: bytes) -> tuple[bytes, int]:
    return head.encode() + tail, len(head.encode())


# Requests


def test_a_full_request() -> None:
    """Every member arrives as a value; parameters keep their types; what we do not know is skipped."""
    request = decode(
        '{"id":"é7","parameters":{"a":1,"b":1.0,"c":true,"d":"s"},"model_name":"ignored","extra":{"deep":[null]},'
        '"inputs":[{"name":"x","shape":[2],"datatype":"INT16","parameters":{"q":2.5},"data":[1,-2],"more":1}],'
        '"outputs":[{"name":"y","parameters":{"classification":3}},{"name":"z"}]}'
    )
    assert (request.model_name, request.model_version, request.id) == ("m", "3", "é7")
    assert [(name, type(value), value) for name, value in request.parameters.items()] == [
        ("a", int, 1),
        ("b", float, 1.0),
        ("c", bool, True),
        ("d", str, "s"),
    ]
    assert request.inputs == (Tensor("x", Datatype.INT16, (2,), b"\1\0\xfe\xff", {"q": 2.5}),)
    assert request.outputs == (RequestedOutput("y", {"classification": 3}), RequestedOutput("z"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"inputs":[]}', id="absent"),
        pytest.param('{"inputs":[],"id":null,"parameters":null,"outputs":null}', id="null"),
        pytest.param('{"inputs":[],"id":"","parameters":{},"outputs":[]}', id="empty"),
    ],
)
def test_optional_members(body: str) -> None:
    """Absent, null and empty mean the same."""
    assert decode(body) == InferRequest("m", (), "3")


@pytest.mark.parametrize("kind", [pytest.param(bytes, id="bytes"), pytest.param(bytearray, id="bytearray"),
                                  pytest.param(memoryview, id="memoryview")])  # fmt: skip
def test_binary_and_json_inputs_mix(kind: Any) -> None:
    """Binary inputs are views of the body, in their order; a size is not left among the parameters."""
    head = (
        '{"inputs":[{"name":"a","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2,"q":1}},'
        '{"name":"b","shape":[1],"datatype":"FP32","data":[0.5]},'
        '{"name":"c","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":9}},'
        '{"name":"d","shape":[0],"datatype":"FP16","data":null,"parameters":{"binary_data_size":0}}]}'
    )
    body, length = with_tail(head, b"\7\x08" + join_bytes([b"\xff", b""]))
    request = rest.decode_request(kind(body), length, model="m", version="", limits=DEFAULT_LIMITS, metadata=None)
    a, b, c, d = request.inputs
    assert (a.numpy().tolist(), a.parameters) == ([7, 8], {"q": 1})
    assert b.numpy().tolist() == [0.5]
    assert (c.numpy().tolist(), c.parameters) == ([b"\xff", b""], {})
    assert (d.shape, d.nbytes, d.parameters) == ((0,), 0, {})


def test_binary_inputs_are_not_copied() -> None:
    """A raw tensor is the body's own memory."""
    body, length = with_tail(
        '{"inputs":[{"name":"a","shape":[4],"datatype":"UINT8","parameters":{"binary_data_size":4}}]}', b"abcd"
    )
    array = decode(body, length).inputs[0].numpy()
    assert np.shares_memory(array, np.frombuffer(body, dtype=np.uint8))


def test_bare_literals_are_read() -> None:
    """NaN and Infinity without quotes are read, and strings that hold the words are left alone."""
    request = decode(
        '{"id":"NaN, \\"Infinity","inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[NaN,-Infinity,1]}]}'
    )
    assert request.id == 'NaN, "Infinity'
    assert str(request.inputs[0].numpy().tolist()) == "[nan, -inf, 1.0]"


# Responses


def encode(
    *outputs: Tensor, wishes: Parameters | None = None, wanted: tuple[RequestedOutput, ...] = ()
) -> rest.EncodedBody:
    request = InferRequest("m", (), parameters=wishes or {}, outputs=wanted)
    return rest.encode_response(InferResponse("m", outputs), request)


def test_a_json_response() -> None:
    """Name and outputs are always there, version and id only where they say something; data is flat."""
    body = rest.encode_response(
        InferResponse("m", (Tensor.from_numpy("y", np.array([[1, 2]]), parameters={"q": 1}),), "3", "7", {"p": True}),
        None,
    )
    assert (body.json_length, body.content_type) == (None, "application/json")
    assert body.join() == (
        b'{"model_name":"m","model_version":"3","id":"7","parameters":{"p":true},"outputs":'
        b'[{"name":"y","shape":[1,2],"datatype":"INT64","parameters":{"q":1},"data":[1,2]}]}'
    )
    assert rest.encode_response(InferResponse("m", ()), None).join() == b'{"model_name":"m","outputs":[]}'


def test_a_binary_response() -> None:
    """A binary output has its size and no data; the tail is the outputs in their order."""
    z = Tensor.from_numpy("z", np.array([3], dtype=np.uint8))
    body = encode(Y, z, wishes={"binary_data_output": True})
    head = (
        b'{"model_name":"m","outputs":'
        b'[{"name":"y","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},'
        b'{"name":"z","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}'
    )
    assert body.join() == head + b"\1\0\2\0\3"
    assert (body.json_length, body.content_type) == (len(head), "application/octet-stream")
    assert body.nbytes == len(head) + 5


@pytest.mark.parametrize(
    ("wishes", "wanted", "binary"),
    [
        pytest.param({}, (), False, id="none"),
        pytest.param({"binary_data_output": False}, (), False, id="all-json"),
        pytest.param({}, (RequestedOutput("y", {"binary_data": True}),), True, id="this-one"),
        pytest.param({"binary_data_output": True}, (RequestedOutput("y", {"binary_data": False}),), False, id="not-y"),
        pytest.param({"binary_data_output": True}, (RequestedOutput("y"),), True, id="request-holds-where-silent"),
        pytest.param({}, (RequestedOutput("z", {"binary_data": True}),), False, id="another"),
    ],
)  # fmt: skip
def test_an_output_wish_beats_the_request(
    wishes: Parameters, wanted: tuple[RequestedOutput, ...], binary: bool
) -> None:
    """binary_data of an output decides; binary_data_output of the request holds where the output is silent."""
    assert (encode(Y, wishes=wishes, wanted=wanted).json_length is not None) is binary


def test_fp16_must_be_asked_for_as_binary() -> None:
    """FP16 has no JSON form: 400, with the parameter that helps."""
    half = Tensor.from_numpy("h", np.zeros(1, dtype=np.float16))
    expected = "'h' is FP16, which JSON cannot carry; use binary data (parameters.binary_data: true)"
    with pytest.raises(InvalidRequest, match=f"^{re.escape(expected)}$"):
        encode(half)
    assert encode(half, wishes={"binary_data_output": True}).nbytes > 0


def test_the_model_does_not_see_the_codecs_parameters() -> None:
    """The wishes are left out of what a model is given, and nothing else is."""
    assert for_model({"binary_data_output": True, "binary_data": True, "binary_data_size": 1, "a": 1}) == {"a": 1}
    untouched = {"a": 1}
    assert for_model(untouched) is untouched
    assert for_model({}) == {}


# Both directions

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
PARAMETERS = st.dictionaries(
    NAMES.filter(lambda name: not name.startswith("binary_data")),
    st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    max_size=3,
)


@st.composite
def tensors(draw: st.DrawFn, kinds: list[Datatype], text: bool) -> Tensor:
    """Any tensor; ``text`` keeps BYTES to UTF-8 and floats from being NaN, whose bits JSON does not keep."""
    kind = draw(st.sampled_from(kinds))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    count = int(np.prod(shape, dtype=int))
    if kind is Datatype.BYTES:
        element = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(str.encode)
        elements = draw(st.lists(element if text else st.binary(max_size=5), min_size=count, max_size=count))
        data = join_bytes(elements)
    elif kind is Datatype.BOOL:
        data = bytes(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    else:
        data = draw(st.binary(min_size=count * kind.itemsize, max_size=count * kind.itemsize))
        if text and kind.is_float:
            data = np.nan_to_num(
                np.frombuffer(data, dtype=kind.stored), nan=np.inf, posinf=np.inf, neginf=-np.inf
            ).tobytes()
    return Tensor(draw(NAMES), kind, shape, data, draw(PARAMETERS))


def whole(message: Any) -> Any:
    """A message with its buffers as bytes, so that it compares."""
    field = "inputs" if isinstance(message, InferRequest) else "outputs"
    plain = [(t.name, t.datatype, t.shape, bytes(t.data), dict(t.parameters)) for t in getattr(message, field)]
    rest_of_it = {name: getattr(message, name) for name in message.__struct_fields__ if name != field}
    return plain, rest_of_it


ALL = list(Datatype)
ROUND_TRIP = settings(derandomize=True, deadline=None, max_examples=200)


def distinct(tensors: list[Tensor]) -> tuple[Tensor, ...]:
    return tuple({tensor.name: tensor for tensor in tensors}.values())


@ROUND_TRIP
@given(
    st.booleans(), st.data(), PARAMETERS, st.lists(st.tuples(NAMES, PARAMETERS), max_size=2, unique_by=lambda o: o[0])
)
def test_requests_round_trip(
    binary: bool, data: st.DataObject, params: Parameters, wanted: list[tuple[str, Parameters]]
) -> None:
    """What a client encodes, the server decodes to the same request, in either form."""
    inputs = distinct(data.draw(st.lists(tensors(ALL, text=not binary), max_size=3)))
    outputs = tuple(RequestedOutput(name, own) for name, own in wanted)
    request = InferRequest("m", inputs, "3", data.draw(NAMES), params, outputs)
    body = rest.encode_request(request, binary_inputs=binary)
    assert whole(decode(body.join(), body.json_length)) == whole(request)


@ROUND_TRIP
@given(st.booleans(), st.data(), PARAMETERS)
def test_responses_round_trip(binary: bool, data: st.DataObject, params: Parameters) -> None:
    """What the server encodes, a client decodes to the same response, in either form."""
    kinds = ALL if binary else [kind for kind in ALL if not kind.raw_only]
    outputs = distinct(data.draw(st.lists(tensors(kinds, text=not binary), max_size=3)))
    response = InferResponse("m", outputs, data.draw(NAMES), data.draw(NAMES), params)
    request = InferRequest("m", (), parameters={"binary_data_output": binary})
    body = rest.encode_response(response, request, NanPolicy.STRING)
    assert whole(rest.decode_response(body.join(), body.json_length, limits=DEFAULT_LIMITS)) == whole(response)


def test_other_servers_responses() -> None:
    """KServe writes null for what it does not have; the specification's own example has no model_name."""
    body = (
        b'{"model_name":"m","model_version":null,"id":"1","parameters":null,"outputs":'
        b'[{"name":"y","shape":[1],"datatype":"INT32","parameters":null,"data":[5]}]}'
    )
    response = rest.decode_response(body, None, limits=DEFAULT_LIMITS)
    assert (response.model_name, response.model_version, response.id) == ("m", "", "1")
    assert response.outputs[0].numpy().tolist() == [5]
    assert rest.decode_response(b'{"outputs":[]}', None, limits=DEFAULT_LIMITS) == InferResponse("", ())


def test_fp16_inputs_go_binary_by_themselves() -> None:
    """A JSON client can send FP16: that input alone goes as binary data."""
    half = Tensor.from_numpy("h", np.ones(1, dtype=np.float16))
    body = rest.encode_request(InferRequest("m", (half, Y)), binary_inputs=False)
    assert body.json_length is not None
    document = json.loads(body.join()[: body.json_length])
    assert [sorted(tensor) for tensor in document["inputs"]] == [
        ["datatype", "name", "parameters", "shape"],
        ["data", "datatype", "name", "shape"],
    ]
