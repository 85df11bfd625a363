"""The gRPC codec of inference: what goes in comes out, by our own functions and by tritonclient's."""

from __future__ import annotations

import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc import (
    decode_infer_request,
    decode_infer_response,
    encode_infer_request,
    encode_infer_response,
)
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.protocol.messages import InferRequest, InferResponse, RequestedOutput
from tidegate.protocol.tensors import Parameters, Tensor, join_bytes

BIG = 64 * 1024 + 1
TYPED = [kind for kind in Datatype if not kind.raw_only]

names = st.text(min_size=1, max_size=12)
parameters = st.dictionaries(
    st.text(max_size=8).filter(lambda name: not name.startswith("binary_data")),
    st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    max_size=3,
)


@st.composite
def tensors(draw: st.DrawFn, kinds: list[Datatype] | None = None) -> Tensor:
    kind = draw(st.sampled_from(kinds or list(Datatype)))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    count = int(np.prod(shape))
    if kind is Datatype.BYTES:
        data = join_bytes(draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count)))
    elif kind is Datatype.BOOL:
        data = bytes(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    else:
        size = count * kind.itemsize
        data = draw(st.binary(min_size=size, max_size=size))
        if kind.is_float and kind is not Datatype.BF16:
            # A typed field passes floats through Python, where a signalling NaN becomes a quiet one.
            values = np.frombuffer(data, kind.stored).copy()
            values[np.isnan(values)] = 1
            data = values.tobytes()
    return Tensor(draw(names), kind, shape, data, draw(parameters))


def unique(found: list[Tensor]) -> tuple[Tensor, ...]:
    return tuple({tensor.name: tensor for tensor in found}.values())


@st.composite
def requests(draw: st.DrawFn, kinds: list[Datatype] | None = None) -> InferRequest:
    return InferRequest(
        model_name=draw(names),
        inputs=unique(draw(st.lists(tensors(kinds), max_size=3))),
        model_version=draw(st.text(max_size=4)),
        id=draw(st.text(max_size=8)),
        parameters=draw(parameters),
        outputs=tuple(RequestedOutput(name, {}) for name in draw(st.lists(names, max_size=2, unique=True))),
    )


def plain(value: Any) -> Any:
    """A message with its tensors' memory as bytes, so that views of different buffers compare."""
    tensors = value.inputs if isinstance(value, InferRequest) else value.outputs
    return (
        value.model_name,
        value.model_version,
        value.id,
        dict(value.parameters),
        [(t.name, t.datatype, t.shape, bytes(t.data), dict(t.parameters)) for t in tensors],
        [(o.name, dict(o.parameters)) for o in value.outputs] if isinstance(value, InferRequest) else None,
    )


@given(requests())
def test_a_raw_request_survives(request: InferRequest) -> None:
    """Whatever a request holds, its raw form gives it back, and says that it was raw."""
    decoded, raw = decode_infer_request(encode_infer_request(request, raw=True), DEFAULT_LIMITS)
    assert plain(decoded) == plain(request)
    assert raw == bool(request.inputs)


@given(requests(TYPED))
def test_a_typed_request_survives(request: InferRequest) -> None:
    """Every datatype that has a typed field passes through it unchanged."""
    decoded, raw = decode_infer_request(encode_infer_request(request, raw=False), DEFAULT_LIMITS)
    assert plain(decoded) == plain(request)
    assert raw is False


@given(requests(), st.booleans())
def test_a_response_survives(request: InferRequest, raw: bool) -> None:
    """A response is the same after its encoding, raw or typed; FP16 and BF16 turn a typed one into a raw one."""
    response = InferResponse(request.model_name, request.inputs, request.model_version, request.id, request.parameters)
    assert plain(decode_infer_response(encode_infer_response(response, raw=raw), DEFAULT_LIMITS)) == plain(response)


@given(requests(), st.booleans())
def test_our_bytes_are_what_protobuf_writes(request: InferRequest, raw: bool) -> None:
    """Raw entries are appended by hand; tritonclient's own messages parse them and write the same size."""
    ours = encode_infer_request(request, raw=raw)
    theirs = service_pb2.ModelInferRequest.FromString(ours)
    assert theirs.ByteSize() == len(ours)
    response = encode_infer_response(InferResponse(request.model_name, request.inputs), raw=raw)
    assert service_pb2.ModelInferResponse.FromString(response).ByteSize() == len(response)


def sample(kind: Datatype) -> np.ndarray[Any, Any]:
    if kind is Datatype.BYTES:
        return np.array([[b"", b"a", "ä".encode()], [b"\x00\xff", b"bcd", b"e" * 300]], dtype=object)
    if kind is Datatype.BOOL:
        return np.array([[True, False, True], [False, False, True]])
    if kind is Datatype.BF16:
        return np.array([[1.5, -2.0, 0.0], [np.inf, 1e30, -0.0]], dtype=np.float32)
    if kind.is_float:
        return np.array([[1.5, -2.0, 0.0], [np.inf, 0.25, -0.0]], dtype=kind.stored)
    edges = np.iinfo(kind.stored)  # type: ignore[type-var]
    return np.array([[edges.min, edges.max, 1], [2, 3, 4]], dtype=kind.stored)


def from_triton(kind: Datatype, array: np.ndarray[Any, Any]) -> bytes:
    tensor = triton.InferInput("x", list(array.shape), kind.value)
    tensor.set_data_from_numpy(array)
    request = service_pb2.ModelInferRequest(model_name="m", id="7")
    request.inputs.append(tensor._get_tensor())
    request.raw_input_contents.append(tensor._get_content())
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("kind", Datatype)
def test_we_read_what_tritonclient_writes(kind: Datatype) -> None:
    """Each datatype as tritonclient sends it becomes the array that it was made from, BF16 included."""
    array = sample(kind)
    if kind is Datatype.BF16:
        array = array.astype(ml_dtypes.bfloat16)
    request, raw = decode_infer_request(from_triton(kind, array), DEFAULT_LIMITS)
    (tensor,) = request.inputs
    assert (raw, tensor.datatype, tensor.shape) == (True, kind, (2, 3))
    np.testing.assert_array_equal(tensor.numpy(), array.astype(np.float32) if kind is Datatype.BF16 else array)


@pytest.mark.parametrize("kind", Datatype)
def test_tritonclient_reads_what_we_write(kind: Datatype) -> None:
    """Its InferResult gives the array of each datatype back, from the raw form that it asks for itself."""
    response = InferResponse("m", (Tensor.from_numpy("y", sample(kind), kind),), "1", "7", {"note": "x"})
    result = triton.InferResult(service_pb2.ModelInferResponse.FromString(encode_infer_response(response, raw=True)))
    assert result.get_response().id == "7"
    assert result.get_response().parameters["note"].string_param == "x"
    np.testing.assert_array_equal(result.as_numpy("y").astype(response.outputs[0].numpy().dtype), sample_read(kind))


def sample_read(kind: Datatype) -> np.ndarray[Any, Any]:
    """The sample as it comes back: 1e30 is no bfloat16."""
    return Tensor.from_numpy("y", sample(kind), kind).numpy()


@pytest.mark.parametrize("kind", TYPED)
def test_tritonclients_messages_hold_our_typed_contents(kind: Datatype) -> None:
    """Typed elements lie in the field of their datatype. (InferResult itself cannot read typed ones with numpy 2.)"""
    tensor = Tensor.from_numpy("y", sample(kind), kind)
    message = service_pb2.ModelInferResponse.FromString(encode_infer_response(InferResponse("m", (tensor,)), raw=False))
    ((_, values),) = message.outputs[0].contents.ListFields()
    assert list(values) == tensor.numpy().reshape(-1).tolist()
    assert not message.raw_output_contents


@pytest.mark.parametrize("kind", Datatype)
def test_tritons_messages_give_our_request_back(kind: Datatype) -> None:
    """A request of ours, parsed and written again by tritonclient's messages, is the same to us."""
    request = InferRequest("m", (Tensor.from_numpy("x", sample(kind), kind),), "3", "id", {"a": 1, "b": True})
    data = encode_infer_request(request, raw=False)
    again = service_pb2.ModelInferRequest.FromString(data).SerializeToString()
    assert plain(decode_infer_request(again, DEFAULT_LIMITS)[0]) == plain(request)


@pytest.mark.parametrize("kind", [Datatype.FP16, Datatype.BF16])
def test_one_half_float_makes_all_outputs_raw(kind: Datatype) -> None:
    """A response is raw or typed as a whole, and these two have no typed field."""
    half = Tensor("h", kind, (1,), b"\x00\x3f")
    whole = Tensor("w", Datatype.FP32, (1,), struct.pack("<f", 1.5))
    message = pb.ModelInferResponse.FromString(encode_infer_response(InferResponse("m", (whole, half)), raw=False))
    assert list(message.raw_output_contents) == [struct.pack("<f", 1.5), b"\x00\x3f"]
    assert not any(output.HasField("contents") for output in message.outputs)


def test_parameters_of_http_stay_out() -> None:
    """A response made for HTTP's binary form does not leak its sizes into gRPC, as KServe's does."""
    parameters = {"binary_data_size": 4, "binary_data": True, "binary_data_output": True, "kept": 1}
    tensor = Tensor("y", Datatype.FP32, (1,), b"1234", parameters)
    response = encode_infer_response(InferResponse("m", (tensor,), parameters=parameters), raw=True)
    message = pb.ModelInferResponse.FromString(response)
    assert list(message.outputs[0].parameters) == ["kept"]
    assert list(message.parameters) == ["kept"]


def test_the_five_kinds_of_parameter_survive() -> None:
    """An integer takes the signed field, and the unsigned one only where it must."""
    values: Parameters = {"b": True, "i": -5, "u": (1 << 64) - 1, "d": 0.5, "s": "text"}
    message = pb.ModelInferRequest.FromString(encode_infer_request(InferRequest("m", (), parameters=values), raw=False))
    kinds = {name: value.WhichOneof("parameter_choice") for name, value in message.parameters.items()}
    assert kinds == {
        "b": "bool_param",
        "i": "int64_param",
        "u": "uint64_param",
        "d": "double_param",
        "s": "string_param",
    }


def test_big_raw_contents_are_not_copied() -> None:
    """The tensor's data is a view into the message that arrived."""
    tensor = Tensor("x", Datatype.UINT8, (BIG,), b"\x07" * BIG)
    data = encode_infer_request(InferRequest("m", (tensor,)), raw=True)
    request, _ = decode_infer_request(data, DEFAULT_LIMITS)
    view = request.inputs[0].data
    assert isinstance(view, memoryview)
    assert view.obj is data


@pytest.mark.parametrize("padding", [0, BIG], ids=["small", "big"])
def test_small_and_big_messages_are_read_alike(padding: int) -> None:
    """The walk over a big message's fields changes nothing of what is decoded."""
    request = InferRequest(
        "m",
        (
            Tensor("x", Datatype.FP32, (1,), b"abcd", {"k": "v"}),
            Tensor("pad", Datatype.UINT8, (padding,), b"\x01" * padding),
            Tensor("e", Datatype.BYTES, (2,), join_bytes([b"", b"ab"])),
        ),
        id="7",
        parameters={"p": 2.5},
        outputs=(RequestedOutput("y", {"classification": 3}),),
    )
    for raw in (True, False):
        assert plain(decode_infer_request(encode_infer_request(request, raw=raw), DEFAULT_LIMITS)[0]) == plain(request)
    response = InferResponse("m", request.inputs, id="7")
    assert plain(decode_infer_response(encode_infer_response(response, raw=True), DEFAULT_LIMITS)) == plain(response)


def test_empty_contents_beside_raw_ones_are_fine() -> None:
    """MLServer's converters set an empty contents message on every input."""
    message = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"abcd"])
    message.inputs.add(name="x", datatype="FP32", shape=[1]).contents.SetInParent()
    request, raw = decode_infer_request(message.SerializeToString(), DEFAULT_LIMITS)
    assert raw
    assert bytes(request.inputs[0].data) == b"abcd"
