"""Triton's generate extension: a flat JSON object with a value per input, and one with a value per output.

A member that is an input's name is that input. Its value is a scalar, a flat array, which lies along the last
dimension, or nested as the signature says; dimensions that it lacks are 1. ``id`` and ``parameters`` are the
request's, and every other member is a parameter, as Triton has it. In the answer an output of one element is a scalar,
and any other a flat array. Neither tells shapes nor datatypes: who asks has to know the signature.
"""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec

from tidegate.protocol.errors import (
    InvalidRequest,
    InvalidTensor,
    PayloadTooLarge,
    TidegateError,
    Unsupported,
    shown,
)
from tidegate.protocol.json_data import bracket_depth, check_amount, pack, parse_nested
from tidegate.protocol.json_document import read
from tidegate.protocol.json_form import json_form
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.nested import nested_tensor
from tidegate.protocol.parameters import check_name, checked
from tidegate.protocol.shapes import check_shape, most_elements
from tidegate.protocol.tensors import Buffer, Parameter, Tensor

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ID = msgspec.json.Decoder(str | None)
_PARAMETERS = msgspec.json.Decoder(dict[str, Parameter] | None)
_PARAMETER = msgspec.json.Decoder(Parameter)
_ENCODER = msgspec.json.Encoder()
_ELSEWHERE = "; ask over gRPC, whose streams carry tensors"


def decode_request(body: Buffer, *, model: str, version: str, metadata: ModelMetadata, limits: Limits) -> InferRequest:
    """The request in a body; inputs that it lacks are missing in the request, too.

    Raises:
        InvalidRequest: it is no object, or a member is of another type than its place asks for.
        InvalidTensor: the fault is in the value of one input.
    """
    if memoryview(body).nbytes > limits.max_json_bytes:
        raise PayloadTooLarge(f"the body has more than {limits.max_json_bytes} bytes, which is the limit for JSON")
    members = read(_MEMBERS, body)
    found = {spec.name: members.pop(spec.name) for spec in metadata.inputs if spec.name in members}
    identity = read(_ID, members.pop("id"), "id", "id") if "id" in members else None
    check_name("id", identity or "", limits)
    given = read(_PARAMETERS, members.pop("parameters"), "parameters", "parameters") if "parameters" in members else {}
    if len(members) > limits.max_parameters:
        raise InvalidRequest(f"the body has {len(members)} parameters, at most {limits.max_parameters} are allowed")
    parameters = {name: _parameter(name, raw) for name, raw in members.items()} | (given or {})
    tensors = tuple(_input(spec, found[spec.name], limits) for spec in metadata.inputs if spec.name in found)
    return InferRequest(model, tensors, version, identity or "", checked("", parameters, limits))


def encode_response(response: InferResponse, nan: NanPolicy = NanPolicy.NULL) -> bytes:
    """``{"model_name", "model_version", OUTPUT: value, …}``, with the ``id`` where the request had one.

    Raises:
        InvalidRequest: an output has no JSON form.
    """
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document["model_name"] = response.model_name
    document["model_version"] = response.model_version
    for tensor in response.outputs:
        values = json_form(tensor, nan).reshape(-1).tolist()
        document[tensor.name] = values[0] if len(values) == 1 else values
    return _ENCODER.encode(document)


def encode_failure(error: TidegateError) -> bytes:
    """An error as the last of a stream's events, whose status has gone out: it is told here, which Triton does not."""
    text = error.message.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair has no JSON form
    return _ENCODER.encode({"error": text, "status": error.http_status})


def encode_request(request: InferRequest, metadata: ModelMetadata) -> bytes:
    """A request to a model of this signature, its inputs nested by their shapes.

    Raises:
        Unsupported: this form cannot carry it, gRPC's can.
        InvalidRequest: an input is none of the model's, or has another number of dimensions.
    """
    if request.outputs:
        raise Unsupported(f"generate_stream has no choice of outputs{_ELSEWHERE}")
    specs = {spec.name: spec for spec in metadata.inputs}
    members: dict[str, Any] = {"id": request.id} if request.id else {}
    if request.parameters:
        members["parameters"] = dict(request.parameters)
    for tensor in request.inputs:
        if tensor.name not in specs:
            raise InvalidTensor(tensor.name, f"is none of the model's; it has {', '.join(specs)}")
        if tensor.name in members:
            raise Unsupported(
                f"generate_stream cannot tell input '{shown(tensor.name)}' from the request's{_ELSEWHERE}"
            )
        members[tensor.name] = _nested(tensor, specs[tensor.name])
    return _ENCODER.encode(members)


def decode_response(body: Buffer, metadata: ModelMetadata, limits: Limits) -> InferResponse:
    """One answer of a model of this signature. A flat array lies along the last dimension whose size is free.

    Raises:
        InvalidRequest: it is no such object, or an output does not fit the signature.
    """
    members = read(_MEMBERS, body)
    texts = {
        name: read(_ID, members[name], name, name) or ""
        for name in ("model_name", "model_version", "id")
        if name in members
    }
    outputs = tuple(_output(spec, members[spec.name], limits) for spec in metadata.outputs if spec.name in members)
    return InferResponse(texts.get("model_name", ""), outputs, texts.get("model_version", ""), texts.get("id", ""))


def _nested(tensor: Tensor, spec: TensorSpec) -> Any:
    if tensor.datatype is not spec.datatype and tensor.datatype not in spec.accepts:
        raise InvalidTensor(
            tensor.name, f"datatype is {tensor.datatype.value}, the model expects {spec.datatype.value}"
        )
    if len(tensor.shape) != len(spec.shape):
        raise InvalidTensor(tensor.name, f"shape is {list(tensor.shape)}, the model expects {list(spec.shape)}")
    try:
        return json_form(tensor, NanPolicy.STRING).tolist()
    except InvalidRequest as error:
        why = error.message.partition("; ")[0]
        raise Unsupported(f"generate_stream cannot carry the input: {why}{_ELSEWHERE}") from error


def _output(spec: TensorSpec, raw: msgspec.Raw, limits: Limits) -> Tensor:
    if spec.datatype.raw_only:
        raise InvalidTensor(spec.name, f"{spec.datatype.value} has no JSON form")
    check_amount(spec.name, spec.datatype, raw, most_elements(spec.datatype, limits))
    depth = bracket_depth(raw, 1)
    if depth > 1:
        raise InvalidTensor(spec.name, "nests, expected a flat array or a scalar")
    flat: Any = parse_nested(spec.name, spec.datatype, raw, depth, "the value")
    values = flat if depth else [flat]
    shape = _filled(spec.shape, len(values))
    if prod(shape) != len(values):
        raise InvalidTensor(spec.name, f"has {len(values)} elements, which do not fit the shape {list(spec.shape)}")
    check_shape(spec.name, shape, spec.datatype, limits)
    return Tensor(spec.name, spec.datatype, shape, pack(spec.name, spec.datatype, values))


def _filled(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A shape with its free sizes filled: the last takes what there is, those before it are 1."""
    free = [axis for axis, size in enumerate(shape) if size < 0]
    filled = [max(size, 1) if size < 0 else size for size in shape]
    if free:
        filled[free[-1]] = count // max(prod(filled), 1)
    return tuple(filled)


def _parameter(name: str, raw: msgspec.Raw) -> Parameter:
    place = f"'{shown(name)}'"
    try:
        value: Parameter = read(_PARAMETER, raw, place, place)
    except InvalidRequest as error:
        raise InvalidRequest(f"{error.message}; it is no input of the model, so a parameter") from error
    return value


def _input(spec: TensorSpec, raw: msgspec.Raw, limits: Limits) -> Tensor:
    if spec.datatype.raw_only:
        raise InvalidTensor(spec.name, f"{spec.datatype.value} has no JSON form; send it by infer, as binary data")
    check_amount(spec.name, spec.datatype, raw, most_elements(spec.datatype, limits))
    rank = max(len(spec.shape), 1)
    depth = bracket_depth(raw, rank)
    if depth not in (0, 1, rank):
        raise InvalidTensor(spec.name, f"nests otherwise than its shape {list(spec.shape)}, a flat array or a scalar")
    nested: Any = parse_nested(spec.name, spec.datatype, raw, depth, "the value")
    for _ in range(rank - depth):
        nested = [nested]
    tensor = nested_tensor(spec, nested, limits)
    return tensor if spec.shape or tensor.count != 1 else msgspec.structs.replace(tensor, shape=())
