"""What the gRPC codec refuses: each malformed message with the sentence that its sender reads."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.protocol.errors import GrpcStatus, InvalidRequest, TidegateError
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc import (
    check_empty_request,
    decode_infer_request,
    decode_infer_response,
    decode_model_metadata,
    decode_model_request,
    decode_repository_request,
)
from tidegate.protocol.grpc.wire import SMALL, varint
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits

TIGHT = Limits(max_tensors=3, max_parameters=2, max_rank=2, max_elements=100, max_name_bytes=16)
PADDING = b"\x00" * (64 * 1024 + 1)

Request = pb.ModelInferRequest


def request(**input_fields: object) -> Request:
    """One FP32 input of two elements, changed as told."""
    fields: dict[str, object] = {"name": "x", "datatype": "FP32", "shape": [2]}
    message = Request(model_name="m")
    message.inputs.add(**{**fields, **input_fields})
    return message


def raw(content: bytes, **input_fields: object) -> Request:
    message = request(**input_fields)
    message.raw_input_contents.append(content)
    return message


def typed(**fields: object) -> pb.InferTensorContents:
    return pb.InferTensorContents(**fields)  # type: ignore[arg-type]


def with_parameters(count: int) -> Request:
    message = raw(b"12345678")
    for index in range(count):
        message.parameters[f"p{index}"].int64_param = index
    return message


def unset_parameter(where: str) -> Request:
    message = raw(b"12345678")
    message.outputs.add(name="y")
    owner = {"request": message, "input": message.inputs[0], "output": message.outputs[0]}[where]
    owner.parameters["p"].SetInParent()  # type: ignore[attr-defined]
    return message


def twice(side: str) -> Request:
    message = raw(b"12345678")
    if side == "inputs":
        message.inputs.append(message.inputs[0])
        message.raw_input_contents.append(b"12345678")
    else:
        message.outputs.extend([Request.InferRequestedOutputTensor(name="y")] * 2)
    return message


def many(side: str) -> Request:
    message = Request(model_name="m")
    for index in range(4):
        if side == "inputs":
            message.inputs.add(name=f"x{index}", datatype="FP32", shape=[0])
        else:
            message.outputs.add(name=f"y{index}")
    return message


CASES = [
    pytest.param(Request(), "model_name is empty", id="no model"),
    pytest.param(request(name=""), "inputs[0].name is empty", id="input without a name"),
    pytest.param(
        request(name="n" * 17),
        "inputs[0].name: 'nnnnnnnnnnnnnnnnn' has 17 bytes, at most 16 are allowed",
        id="input name too long",
    ),
    pytest.param(
        request(name="ä" * 9), "inputs[0].name: 'äääääääää' has 18 bytes, at most 16 are allowed", id="name in UTF-8"
    ),
    pytest.param(
        Request(model_name="m", id="i" * 17),
        "id: 'iiiiiiiiiiiiiiiii' has 17 bytes, at most 16 are allowed",
        id="id too long",
    ),
    pytest.param(twice("inputs"), "input 'x' is given twice", id="input twice"),
    pytest.param(twice("outputs"), "output 'y' is given twice", id="output twice"),
    pytest.param(many("inputs"), "inputs: has 4 entries, at most 3 are allowed", id="too many inputs"),
    pytest.param(many("outputs"), "outputs: has 4 entries, at most 3 are allowed", id="too many outputs"),
    pytest.param(with_parameters(3), "parameters: has 3 entries, at most 2 are allowed", id="too many parameters"),
    pytest.param(
        unset_parameter("request"),
        "parameters: 'p' has no value; expected one of bool_param, int64_param, string_param, double_param, "
        "uint64_param",
        id="request parameter without a value",
    ),
    pytest.param(
        unset_parameter("input"),
        "inputs[0].parameters: 'p' has no value; expected one of bool_param, int64_param, string_param, "
        "double_param, uint64_param",
        id="input parameter without a value",
    ),
    pytest.param(
        unset_parameter("output"),
        "outputs[0].parameters: 'p' has no value; expected one of bool_param, int64_param, string_param, "
        "double_param, uint64_param",
        id="output parameter without a value",
    ),
    pytest.param(
        request(datatype="FLOAT"),
        "input 'x': datatype 'FLOAT' is not known, expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, "
        "INT32, INT64, FP16, BF16, FP32, FP64, BYTES",
        id="unknown datatype",
    ),
    pytest.param(
        request(datatype=""),
        "input 'x': datatype '' is not known, expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, "
        "INT32, INT64, FP16, BF16, FP32, FP64, BYTES",
        id="no datatype",
    ),
    pytest.param(request(shape=[-1]), "input 'x': shape[0] is -1, expected an integer >= 0", id="negative size"),
    pytest.param(
        request(shape=[1, 1, 1]), "input 'x': shape has 3 dimensions, at most 2 are allowed", id="too many dimensions"
    ),
    pytest.param(
        request(shape=[101]), "input 'x': shape [101] has more than 100 elements of FP32", id="too many elements"
    ),
    pytest.param(
        request(shape=[1 << 62, 1 << 62]),
        "input 'x': shape [4611686018427387904, 4611686018427387904] has more than 100 elements of FP32",
        id="a product beyond 64 bits",
    ),
    pytest.param(
        request(shape=[0, 1 << 62]),
        "input 'x': shape [0, 4611686018427387904] has more than 100 elements of FP32",
        id="a huge size behind a zero",
    ),
    pytest.param(request(), "input 'x': has 0 elements in fp32_contents, its shape has 2", id="neither raw nor typed"),
    pytest.param(
        request(contents=typed(fp32_contents=[1.0])),
        "input 'x': has 1 elements in fp32_contents, its shape has 2",
        id="too few typed elements",
    ),
    pytest.param(
        request(contents=typed(fp32_contents=[1.0] * 3)),
        "input 'x': has 3 elements in fp32_contents, its shape has 2",
        id="too many typed elements",
    ),
    pytest.param(
        request(contents=typed(fp64_contents=[1.0, 2.0])),
        "input 'x': has fp64_contents, FP32 is sent in fp32_contents",
        id="the field of another datatype",
    ),
    pytest.param(
        request(contents=typed(fp32_contents=[1.0, 2.0], int_contents=[1])),
        "input 'x': has int_contents, FP32 is sent in fp32_contents",
        id="a second field",
    ),
    pytest.param(
        request(datatype="FP16"),
        "input 'x': FP16 has no typed contents; send it as raw contents",
        id="FP16 not raw",
    ),
    pytest.param(
        request(datatype="BF16", contents=typed(fp32_contents=[1.0, 2.0])),
        "input 'x': BF16 has no typed contents; send it as raw contents",
        id="BF16 not raw",
    ),
    pytest.param(
        request(datatype="INT8", contents=typed(int_contents=[1, 128])),
        "input 'x': element 1 is 128, INT8 holds -128 to 127",
        id="INT8 above",
    ),
    pytest.param(
        request(datatype="INT16", contents=typed(int_contents=[-32769, 1])),
        "input 'x': element 0 is -32769, INT16 holds -32768 to 32767",
        id="INT16 below",
    ),
    pytest.param(
        request(datatype="UINT8", contents=typed(uint_contents=[256, 1])),
        "input 'x': element 0 is 256, UINT8 holds 0 to 255",
        id="UINT8 above",
    ),
    pytest.param(
        request(datatype="UINT16", contents=typed(uint_contents=[1, 1 << 16])),
        "input 'x': element 1 is 65536, UINT16 holds 0 to 65535",
        id="UINT16 above",
    ),
    pytest.param(
        raw(b"1234567"), "input 'x': has 7 bytes of binary data, its 2 elements of FP32 are 8", id="raw too short"
    ),
    pytest.param(
        raw(b"123456789"), "input 'x': has 9 bytes of binary data, its 2 elements of FP32 are 8", id="raw too long"
    ),
    pytest.param(
        raw(b"12345678", contents=typed(fp32_contents=[1.0, 2.0])),
        "input 'x': has contents beside raw contents; a message uses one of them for all its tensors",
        id="raw and typed",
    ),
    pytest.param(
        Request(model_name="m", raw_input_contents=[b""]),
        "raw_input_contents has 1 entries for 0 inputs, expected one each",
        id="raw without an input",
    ),
    pytest.param(
        Request(model_name="m", inputs=[request().inputs[0]], raw_input_contents=[b"12345678", b""]),
        "raw_input_contents has 2 entries for 1 inputs, expected one each",
        id="more raw than inputs",
    ),
    pytest.param(
        raw(b"\x01\x02", datatype="BOOL"),
        "input 'x': element 1 of its BOOL data is 2, expected 0 or 1",
        id="BOOL of 2",
    ),
    pytest.param(
        raw(b"\x00\x00\x00\x00\x00", datatype="BYTES"),
        "input 'x': BYTES data ends before the length of element 1 of 2",
        id="BYTES end in a length",
    ),
    pytest.param(
        raw(struct.pack("<I", 5) + b"ab", datatype="BYTES"),
        "input 'x': element 0 claims 5 bytes, but only 2 are left",
        id="BYTES claim too much",
    ),
    pytest.param(
        raw(struct.pack("<II", 0, 0) + b"z", datatype="BYTES"),
        "input 'x': 1 bytes are left over after its 2 elements",
        id="BYTES with a rest",
    ),
]


@pytest.mark.parametrize(("message", "text"), CASES)
def test_a_malformed_request_is_refused(message: Request, text: str) -> None:
    """The sentence names the field, the value and what was expected."""
    with pytest.raises(InvalidRequest) as caught:
        decode_infer_request(message.SerializeToString(), TIGHT)
    assert caught.value.message == text


def big(message: Request) -> bytes:
    """The message with an input that makes it big, so that its fields are walked before it is parsed."""
    if not message.raw_input_contents:
        for _ in message.inputs:
            message.raw_input_contents.append(bytes(8))
    message.inputs.add(name="padding", datatype="UINT8", shape=[len(PADDING)])
    message.raw_input_contents.append(PADDING)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda m: m.inputs.extend([m.inputs[0]] * 3), "the message has more than 3 inputs", id="inputs"),
        pytest.param(
            lambda m: m.outputs.extend([Request.InferRequestedOutputTensor()] * 4),
            "the message has more than 3 outputs",
            id="outputs",
        ),
        pytest.param(
            lambda m: m.raw_input_contents.extend([b""] * 4),
            "the message has more than 3 raw_input_contents",
            id="raw contents",
        ),
        pytest.param(
            lambda m: [m.parameters[str(n)].SetInParent() for n in range(3)],
            "the message has more than 2 parameters",
            id="parameters",
        ),
    ],
)
def test_a_big_message_is_counted_before_it_is_parsed(change: Callable[[Request], object], text: str) -> None:
    """What a parser would allocate hundred bytes each for is refused by its count on the wire."""
    message = raw(b"12345678")
    change(message)
    with pytest.raises(InvalidRequest) as caught:
        decode_infer_request(big(message), msgspec.structs.replace(TIGHT, max_elements=1 << 20))
    assert caught.value.message == text


AMPLIFIERS = [
    pytest.param(b"\x2a\x00", "the message has more than 1024 inputs", id="empty inputs"),
    pytest.param(b"\x32\x00", "the message has more than 1024 outputs", id="empty outputs"),
    pytest.param(b"\x22\x00", "the message has more than 256 parameters", id="empty parameters"),
    pytest.param(b"\x3a\x00", "the message has more than 1024 raw_input_contents", id="empty raw contents"),
    pytest.param(b"\x7a\x00", "the message has more than 64 fields that are single or unknown", id="unknown fields"),
    pytest.param(b"\x0a\x00", "the message has more than 64 fields that are single or unknown", id="model names"),
    pytest.param(b"\x7b\x7c", "the message is not valid protobuf: wire type 3 at byte 0", id="groups"),
]


@pytest.mark.parametrize(("unit", "text"), AMPLIFIERS)
def test_two_bytes_do_not_buy_a_hundred(unit: bytes, text: str) -> None:
    """A megabyte of empty submessages is refused at once instead of becoming a hundred megabytes of objects."""
    with pytest.raises(InvalidRequest) as caught:
        decode_infer_request(unit * (1 << 19), DEFAULT_LIMITS)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        pytest.param(b"\x22\x00", "the message has more than 256 parameters", id="parameters"),
        pytest.param(b"\x18\x01", "the message has more than 16 dimensions", id="dimensions"),
        pytest.param(b"\x2a\x00", "the message has more than 64 fields that are single or unknown", id="contents"),
    ],
)
def test_nor_do_they_inside_an_input(unit: bytes, text: str) -> None:
    """The fields of one big input are counted as those of the message are."""
    content = unit * (1 << 16)
    data = b"\x2a" + b"\x80\x80\x08" + content
    assert len(content) == 1 << 17
    with pytest.raises(InvalidRequest) as caught:
        decode_infer_request(data, DEFAULT_LIMITS)
    assert caught.value.message == text


def test_nor_do_they_inside_many_small_inputs() -> None:
    """A thousand inputs may hold a few entries each, not a few thousand."""
    entries = b"".join(b"\x22\x05\x0a\x03%03d" % number for number in range(600))
    data = (b"\x2a" + varint(len(entries)) + entries) * 20
    assert len(entries) < SMALL < len(data)
    with pytest.raises(InvalidRequest, match=r"^the message has more than 256 parameters$"):
        decode_infer_request(data, DEFAULT_LIMITS)


NOT_A_REQUEST = "the message is not a valid ModelInferRequest: broken protobuf, or a text that is not UTF-8"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"\x0a\x05m", NOT_A_REQUEST, id="truncated"),
        pytest.param(b"\xff" * 32, NOT_A_REQUEST, id="no tag"),
        pytest.param(b"\x0a\x02\xff\xfe", NOT_A_REQUEST, id="model name not UTF-8"),
        pytest.param(b"\x0a\x01m\x2a\x04\x0a\x02\xff\xfe", NOT_A_REQUEST, id="input name not UTF-8"),
        pytest.param(b"\x0b", NOT_A_REQUEST, id="group without an end"),
        pytest.param(
            b"\x3a\x80\x80\x80\x80\x08" + PADDING,
            "the message is not valid protobuf: it ends inside the field at byte 0",
            id="big and truncated",
        ),
        pytest.param(
            b"\xff" * (64 * 1024 + 1), "the message is not valid protobuf: no number at byte 0", id="big and no tag"
        ),
        pytest.param(b"\x0a\x02\xff\xfe\x3a\x81\x80\x04" + PADDING, NOT_A_REQUEST, id="big and not UTF-8"),
    ],
)
def test_what_is_no_protobuf_is_refused(data: bytes, text: str) -> None:
    """Broken bytes are the sender's fault, and are told as such."""
    with pytest.raises(InvalidRequest) as caught:
        decode_infer_request(data, DEFAULT_LIMITS)
    assert caught.value.message == text


def test_a_bad_response_is_told_as_an_output() -> None:
    """The client reads what the server got wrong."""
    message = pb.ModelInferResponse(model_name="m", raw_output_contents=[b"123"])
    message.outputs.add(name="y", datatype="FP32", shape=[1])
    with pytest.raises(InvalidRequest, match=r"^output 'y': has 3 bytes of binary data, its 1 elements of FP32 are 4$"):
        decode_infer_response(message.SerializeToString(), DEFAULT_LIMITS)


DECODERS: list[Callable[[bytes], object]] = [
    lambda data: decode_infer_request(data, TIGHT),
    lambda data: decode_infer_response(data, TIGHT),
    decode_model_request,
    decode_model_metadata,
    decode_repository_request,
    check_empty_request,
]


def refused_properly(decode: Callable[[bytes], object], data: bytes) -> None:
    refusal: TidegateError | None = None
    try:
        decode(data)
    except TidegateError as error:
        refusal = error
    assert refusal is None or refusal.grpc_status is GrpcStatus.INVALID_ARGUMENT
    assert refusal is None or refusal.message.isprintable()


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(decode: Callable[[bytes], object], data: bytes) -> None:
    """No bytes raise anything but an error that blames their sender."""
    refused_properly(decode, data)


@given(
    case=st.sampled_from([case.values[0] for case in CASES]),
    edits=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 1 << 16),
    padded=st.booleans(),
)
@example(case=request(), edits=[], cut=0, padded=True)
def test_mutated_messages_are_read_or_refused(
    case: Request, edits: list[tuple[int, int]], cut: int, padded: bool
) -> None:
    """Nor do messages that are almost right, small or big."""
    message = Request()
    message.CopyFrom(case)
    data = bytearray(big(message) if padded else b"")
    data = data or bytearray(message.SerializeToString())
    for position, byte in edits:
        if data:
            data[position % min(len(data), 300)] = byte
    refused_properly(lambda d: decode_infer_request(d, TIGHT), bytes(data[: len(data) - cut % (len(data) + 1)]))
