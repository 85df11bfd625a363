"""ModelInferRequest and ModelInferResponse, between bytes and values.

A message carries the elements of its tensors in one of two ways: in typed fields, or raw, one entry per tensor.
Raw entries become the data of their tensors without a copy, and are written without passing through protobuf.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from google.protobuf.message import DecodeError

from tidegate.protocol.errors import InvalidRequest, InvalidTensor, shown
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc import wire
from tidegate.protocol.grpc.parameters import decode_parameters, encode_parameters
from tidegate.protocol.grpc.tensors import Message, decode_tensor, encode_tensor
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest, InferResponse, RequestedOutput
from tidegate.protocol.parameters import check_name
from tidegate.protocol.tensors import Buffer, Tensor

_RequestedOutput = pb.ModelInferRequest.InferRequestedOutputTensor
_RAW_INPUT = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
_STREAMED = pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER
_RAW_OUTPUT = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER


class ParsedRequest(msgspec.Struct, frozen=True):
    """A request whose message is read but whose tensors are not: enough to find its model."""

    message: pb.ModelInferRequest
    raw: Sequence[Buffer]

    @property
    def model_name(self) -> str:
        return self.message.model_name

    @property
    def model_version(self) -> str:
        return self.message.model_version


def parse_infer_request(data: Buffer, limits: Limits) -> ParsedRequest:
    """The first half of ``decode_infer_request``.

    Raises:
        InvalidRequest: the bytes are no ModelInferRequest, it names no model, or has more fields than the limits allow.
    """
    message, raw = _parse_request(data, limits)
    if not message.model_name:
        raise InvalidRequest("model_name is empty")
    return ParsedRequest(message, raw)


def decode_parsed_request(parsed: ParsedRequest, limits: Limits) -> tuple[InferRequest, bool]:
    """The second half of ``decode_infer_request``.

    Raises:
        InvalidRequest: a limit is exceeded, or tensors contradict their elements.
    """
    message, raw = parsed.message, parsed.raw
    check_name("id", message.id, limits)
    request = InferRequest(
        model_name=message.model_name,
        inputs=_decode_tensors("input", message.inputs, raw, limits),
        model_version=message.model_version,
        id=message.id,
        parameters=decode_parameters("", message.parameters, limits),
        outputs=_decode_outputs(message, limits),
    )
    return request, bool(raw)


def decode_infer_request(data: Buffer, limits: Limits) -> tuple[InferRequest, bool]:
    """A request, and whether its tensors came raw: then those of the answer should be raw too.

    Tensors are views of ``data`` where they came raw in a big message.

    Raises:
        InvalidRequest: the bytes are no ModelInferRequest, a limit is exceeded, or tensors contradict their elements.
    """
    return decode_parsed_request(parse_infer_request(data, limits), limits)


def encode_infer_request(request: InferRequest, *, raw: bool) -> bytes:
    """A request as bytes. FP16 and BF16 have no typed field: one such tensor makes all of them raw."""
    message = pb.ModelInferRequest(model_name=request.model_name, model_version=request.model_version, id=request.id)
    encode_parameters(request.parameters, message.parameters)
    raw = raw or _needs_raw(request.inputs)
    for tensor in request.inputs:
        encode_tensor(tensor, message.inputs.add(), raw=raw)
    for output in request.outputs:
        encode_parameters(output.parameters, message.outputs.add(name=output.name).parameters)
    head = message.SerializeToString()
    return _with_raw(head, _RAW_INPUT, request.inputs) if raw else head


def decode_infer_response(data: Buffer, limits: Limits) -> InferResponse:
    """A response of any v2 server.

    Raises:
        InvalidRequest: the bytes are no ModelInferResponse, a limit is exceeded, or tensors contradict their elements.
    """
    message, raw = _parse_response(data, limits)
    try:
        outputs = _decode_tensors("output", message.outputs, raw, limits)
    except InvalidTensor as error:  # which speaks of inputs, as all but a client do
        raise InvalidRequest(error.message.replace("input", "output", 1)) from error
    return InferResponse(
        model_name=message.model_name,
        outputs=outputs,
        model_version=message.model_version,
        id=message.id,
        parameters=decode_parameters("", message.parameters, limits),
    )


def encode_infer_response(response: InferResponse, *, raw: bool) -> bytes:
    """A response as bytes. FP16 and BF16 have no typed field: one such tensor makes all of them raw."""
    message = pb.ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id
    )
    if response.parameters:
        encode_parameters(response.parameters, message.parameters)
    raw = raw or _needs_raw(response.outputs)
    for tensor in response.outputs:
        encode_tensor(tensor, message.outputs.add(), raw=raw)
    head = message.SerializeToString()
    return _with_raw(head, _RAW_OUTPUT, response.outputs) if raw else head


def encode_stream_response(response: InferResponse, *, raw: bool) -> bytes:
    """A response as a ModelStreamInferResponse, which wraps it."""
    encoded = encode_infer_response(response, raw=raw)
    return wire.length_delimited(_STREAMED, len(encoded)) + encoded


def encode_stream_error(message: str, response: InferResponse) -> bytes:
    """An error as a ModelStreamInferResponse; ``response`` tells which request it answers, and has no outputs."""
    text = message.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no UTF-8
    error = pb.ModelStreamInferResponse(error_message=text).SerializeToString()
    return error + encode_stream_response(response, raw=False)


def decode_stream_response(data: Buffer, limits: Limits) -> tuple[str, InferResponse]:
    """The error of a ModelStreamInferResponse, "" where it is none, and the response in it.

    Raises:
        InvalidRequest: as with ``decode_infer_response``.
    """
    head, responses = wire.split(data, _STREAMED, {})
    try:
        told = pb.ModelStreamInferResponse.FromString(head).error_message
    except DecodeError as error:
        raise not_protobuf("ModelStreamInferResponse") from error
    return told, decode_infer_response(responses[-1] if responses else b"", limits)


def _parse_request(data: Buffer, limits: Limits) -> tuple[pb.ModelInferRequest, Sequence[Buffer]]:
    try:
        if len(data) <= wire.SMALL:
            message = pb.ModelInferRequest.FromString(bytes(data))
            return message, message.raw_input_contents
        head, raw = wire.split(data, _RAW_INPUT, wire.request_bounds(limits))
        return pb.ModelInferRequest.FromString(head), raw
    except DecodeError as error:
        raise not_protobuf("ModelInferRequest") from error


def _parse_response(data: Buffer, limits: Limits) -> tuple[pb.ModelInferResponse, Sequence[Buffer]]:
    try:
        if len(data) <= wire.SMALL:
            message = pb.ModelInferResponse.FromString(bytes(data))
            return message, message.raw_output_contents
        head, raw = wire.split(data, _RAW_OUTPUT, wire.response_bounds(limits))
        return pb.ModelInferResponse.FromString(head), raw
    except DecodeError as error:
        raise not_protobuf("ModelInferResponse") from error


def not_protobuf(message: str) -> InvalidRequest:
    """The parser does not say what is wrong or where; these are the two things that it can be."""
    return InvalidRequest(f"the message is not a valid {message}: broken protobuf, or a text that is not UTF-8")


def _decode_tensors(side: str, encoded: Sequence[Message], raw: Sequence[Buffer], limits: Limits) -> tuple[Tensor, ...]:
    if raw and len(raw) != len(encoded):
        raise InvalidRequest(
            f"raw_{side}_contents has {len(raw)} entries for {len(encoded)} {side}s, expected one each"
        )
    _check_names(side, encoded, limits)
    return tuple(
        decode_tensor(f"{side}s[{index}]", tensor, raw[index] if raw else None, limits)
        for index, tensor in enumerate(encoded)
    )


def _decode_outputs(message: pb.ModelInferRequest, limits: Limits) -> tuple[RequestedOutput, ...]:
    if not message.outputs:
        return ()
    _check_names("output", message.outputs, limits)
    return tuple(
        RequestedOutput(output.name, decode_parameters(f"outputs[{index}]", output.parameters, limits))
        for index, output in enumerate(message.outputs)
    )


def _check_names(side: str, named: Sequence[Message | _RequestedOutput], limits: Limits) -> None:
    """That there are not too many, and that each has a name of its own."""
    if len(named) > limits.max_tensors:
        raise InvalidRequest(f"{side}s: has {len(named)} entries, at most {limits.max_tensors} are allowed")
    seen: set[str] = set()
    for index, tensor in enumerate(named):
        name = tensor.name
        if not name:
            raise InvalidRequest(f"{side}s[{index}].name is empty")
        check_name(f"{side}s[{index}].name", name, limits)
        if name in seen:
            raise InvalidRequest(f"{side} '{shown(name)}' is given twice")
        seen.add(name)


def _needs_raw(tensors: tuple[Tensor, ...]) -> bool:
    return any(tensor.datatype.raw_only for tensor in tensors)


def _with_raw(head: bytes, field: int, tensors: tuple[Tensor, ...]) -> bytes:
    """Raw entries after the rest of their message: one copy, from the tensors' memory into the result."""
    parts: list[Buffer] = [head]
    for tensor in tensors:
        parts.append(wire.length_delimited(field, tensor.nbytes))
        parts.append(tensor.data)
    return b"".join(parts)
