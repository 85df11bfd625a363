"""v1, the protocol of TensorFlow Serving: rows in, predictions out, with the datatypes taken from the signature.

A request is ``{"instances": [row, …]}``, a row being the value of the model's one input or an object with one value
per input; or ``{"inputs": …}``, the rows of the one input or an object with the rows of each. The shape is read off
the nesting. The answer is ``{"predictions": [row, …]}``, a row being an object where the model has several outputs.
"""

from __future__ import annotations

from functools import lru_cache
from types import GenericAlias
from typing import Any

import msgspec

from tidegate.protocol.errors import InvalidRequest, InvalidTensor, PayloadTooLarge, shown
from tidegate.protocol.json_data import bracket_depth, check_amount, json_type, parse_nested
from tidegate.protocol.json_document import read
from tidegate.protocol.json_form import json_form
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.nested import nested_tensor
from tidegate.protocol.shapes import most_elements
from tidegate.protocol.tensors import Buffer


class _Request(msgspec.Struct):
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_REQUEST = msgspec.json.Decoder(_Request)
_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


def decode_request(body: Buffer, *, model: str, version: str, metadata: ModelMetadata, limits: Limits) -> InferRequest:
    """The request in a v1 body, its tensors in the order of the signature.

    Raises:
        InvalidRequest: it is not of v1's form, or not for this model's inputs.
        InvalidTensor: the fault is in the rows of one input.
    """
    if memoryview(body).nbytes > limits.max_json_bytes:
        raise PayloadTooLarge(f"the body has more than {limits.max_json_bytes} bytes, which is the limit for JSON")
    for spec in metadata.inputs:
        if spec.datatype.raw_only:
            raise InvalidTensor(spec.name, f"{spec.datatype.value} has no JSON form; use v2's binary tensor data")
    nested = _nested(read(_REQUEST, body), metadata, limits)
    tensors = tuple(nested_tensor(spec, nested[spec.name], limits) for spec in metadata.inputs)
    return InferRequest(model, tensors, version)


def encode_response(response: InferResponse, nan: NanPolicy = NanPolicy.NULL) -> bytes:
    """``{"predictions": […]}`` with one entry per row.

    Raises:
        InvalidRequest: an output has no JSON form, or the outputs have no rows in common; v2 can carry them.
    """
    values = {tensor.name: json_form(tensor, nan).tolist() for tensor in response.outputs}
    if len(values) == 1:
        return _ENCODER.encode({"predictions": next(iter(values.values()))})
    rows = {tensor.shape[:1] for tensor in response.outputs}
    if len(rows) != 1 or rows == {()}:
        raise InvalidRequest(f"the outputs of model '{shown(response.model_name)}' are not rows; ask for them by v2")
    names = tuple(values)
    return _ENCODER.encode(
        {"predictions": [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]}
    )


def _nested(request: _Request, metadata: ModelMetadata, limits: Limits) -> dict[str, list[Any]]:
    """The rows of each input as nested lists."""
    if isinstance(request.instances, msgspec.Raw):
        if isinstance(request.inputs, msgspec.Raw):
            raise InvalidRequest("the body has both 'instances' and 'inputs', expected one of them")
        if not _opens_with(request.instances, b"["):
            raise InvalidRequest("instances: expected an array with one entry per row")
        if _opens_with(request.instances, b"[", b"{"):
            return _from_objects(request.instances, metadata)
        return _from_values("instances", request.instances, metadata, limits)
    if not isinstance(request.inputs, msgspec.Raw):
        raise InvalidRequest("the body has neither 'instances' nor 'inputs'")
    if not _opens_with(request.inputs, b"{"):
        return _from_values("inputs", request.inputs, metadata, limits)
    columns = read(_COLUMNS, request.inputs, "inputs", "inputs")
    for name in sorted(columns.keys() ^ {spec.name for spec in metadata.inputs}):
        problem = "is not an input of the model" if name in columns else "is missing"
        raise InvalidRequest(f"inputs: '{shown(name)}' {problem}; expected {_names(metadata)}")
    return {spec.name: _parse(f"inputs.{spec.name}", spec, columns[spec.name], limits) for spec in metadata.inputs}


def _from_values(where: str, raw: msgspec.Raw, metadata: ModelMetadata, limits: Limits) -> dict[str, list[Any]]:
    if len(metadata.inputs) != 1:
        raise InvalidRequest(f"{where}: the model has several inputs, expected an object with {_names(metadata)}")
    spec = metadata.inputs[0]
    return {spec.name: _parse(where, spec, raw, limits)}


def _from_objects(raw: msgspec.Raw, metadata: ModelMetadata) -> dict[str, list[Any]]:
    rows = read(_row_decoder(metadata.inputs), raw, "instances", "instances")
    nested = {}
    for index, spec in enumerate(metadata.inputs):
        column = [getattr(row, f"_{index}") for row in rows]
        if _is_column(spec):
            column = [value if isinstance(value, list) else [value] for value in column]
        nested[spec.name] = column
    return nested


@lru_cache(maxsize=256)
def _row_decoder(specs: tuple[TensorSpec, ...]) -> msgspec.json.Decoder[list[Any]]:
    """Rows as structs, whose members are the inputs: an object per row as a dict would take ten times the memory."""
    fields = []
    for index, spec in enumerate(specs):
        kind = json_type(spec.datatype)
        value = kind
        for _ in spec.shape[1:]:
            value = GenericAlias(list, value)
        fields.append((f"_{index}", value | kind if _is_column(spec) else value))
    rename = {f"_{index}": spec.name for index, spec in enumerate(specs)}
    row = msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(GenericAlias(list, row))


def _parse(where: str, spec: TensorSpec, raw: msgspec.Raw, limits: Limits) -> list[Any]:
    check_amount(spec.name, spec.datatype, raw, most_elements(spec.datatype, limits))
    if _is_column(spec) and bracket_depth(raw, 2) == 1:
        return [[value] for value in parse_nested(spec.name, spec.datatype, raw, 1, where)]
    return parse_nested(spec.name, spec.datatype, raw, max(len(spec.shape), 1), where)


def _is_column(spec: TensorSpec) -> bool:
    """Whether rows may be scalars for this input: what people send who think in tables."""
    return len(spec.shape) == 2 and spec.shape[1] == 1


def _opens_with(raw: msgspec.Raw, *brackets: bytes) -> bool:
    """Whether ``raw`` begins with these brackets; white space beyond a glance counts as none of them."""
    head = bytes(memoryview(raw)[:256])
    for bracket in brackets:
        head = head.lstrip()
        if head[:1] != bracket:
            return False
        head = head[1:]
    return True


def _names(metadata: ModelMetadata) -> str:
    return ", ".join(f"'{spec.name}'" for spec in metadata.inputs)
