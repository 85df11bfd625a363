"""v2 over HTTP: requests and responses as JSON, with any of their tensors as raw bytes behind it.

The JSON is read with ``data`` left as it is, so that a tensor's shape is checked before its elements exist. Raw
tensors are views of the body. Both directions are read by the same code: a request from a caller that we do not
trust, and a response from a server that we do not trust.

Source: Open Inference Protocol, HTTP/REST API, and its binary tensor data extension; docs/protocol_http.md tells
where we differ and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.protocol.binary_data import decode_raw_request
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidResponse, InvalidTensor, PayloadTooLarge, shown
from tidegate.protocol.json_form import json_form
from tidegate.protocol.json_message import (
    JsonOutput,
    JsonRequest,
    JsonResponse,
    check_names,
    decode_tensors,
    read_message,
)
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, RequestedOutput
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.parameters import SIZE, WISH, WISH_FOR_ALL, check_name, checked, flag
from tidegate.protocol.tensors import Buffer, Parameter, Parameters, Tensor


class EncodedBody(msgspec.Struct, frozen=True):
    """A body in the parts that make it up, so that tensors are joined or written out by whoever sends it.

    ``json_length`` is the value of the header Inference-Header-Content-Length; None, and no header, where all is JSON.
    """

    parts: tuple[Buffer, ...]
    json_length: int | None

    @property
    def content_type(self) -> str:
        return "application/json" if self.json_length is None else "application/octet-stream"

    @property
    def nbytes(self) -> int:
        """Size of the body in bytes."""
        return sum(memoryview(part).nbytes for part in self.parts)

    def join(self) -> bytes:
        """The body in one piece."""
        first = self.parts[0]
        return first if len(self.parts) == 1 and isinstance(first, bytes) else b"".join(self.parts)


def decode_request(
    body: Buffer,
    json_length: int | None,
    *,
    model: str,
    version: str,
    limits: Limits,
    metadata: ModelMetadata | None,
) -> InferRequest:
    """The request in a body. ``model`` and ``version`` come from its path.

    ``json_length`` is the header Inference-Header-Content-Length: None where there is none (all is JSON), 0 for a
    body that is one raw tensor, which needs the model's ``metadata``. Raw tensors are views of ``body``.

    The wishes ``binary_data_output`` and ``binary_data`` stay in the request, for ``encode_response``;
    ``parameters.for_model`` leaves them out.

    Raises:
        InvalidRequest: InvalidTensor where one tensor is at fault, PayloadTooLarge where the JSON is too long.
    """
    view = memoryview(body).cast("B")
    if json_length == 0:
        return decode_raw_request(view, model, version, metadata, limits)
    text, tail = _split(view, json_length, limits)
    message = read_message(_REQUEST, text)
    parameters = checked("", message.parameters, limits)
    flag("", parameters, WISH_FOR_ALL)
    identity = message.id or ""
    check_name("id", identity, limits)
    return InferRequest(
        model,
        decode_tensors(message.inputs, "inputs", tail, limits),
        version,
        identity,
        parameters,
        _wanted(message.outputs, limits) if message.outputs else (),
    )


def encode_response(
    response: InferResponse, request: InferRequest | None, nan: NanPolicy = NanPolicy.NULL
) -> EncodedBody:
    """A response, its outputs as binary data where ``request`` wishes so: None wishes nothing.

    Raises:
        InvalidRequest: an output without a JSON form (FP16, BF16, BYTES that are not UTF-8) is not wished as binary.
    """
    wish_for_all = request is not None and request.parameters.get(WISH_FOR_ALL) is True
    wishes = {} if request is None else {o.name: o.parameters[WISH] for o in request.outputs if WISH in o.parameters}
    outputs, tail = _encode_tensors(
        response.outputs, [bool(wishes.get(tensor.name, wish_for_all)) for tensor in response.outputs], nan
    )
    head = _EncodedResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=response.id,
        parameters=_plain(response.parameters),
        outputs=outputs,
    )
    return _body(head, tail)


def encode_request(request: InferRequest, *, binary_inputs: bool, nan: NanPolicy = NanPolicy.STRING) -> EncodedBody:
    """A request as a client sends it. What it wishes of the outputs stands in its parameters and ``outputs``.

    FP16 and BF16 inputs go as binary data even without ``binary_inputs``: there is no other form. A NaN or an
    infinity is named by default, so that it arrives as what it is.

    Raises:
        InvalidRequest: BYTES that are not UTF-8 are to go as JSON.
    """
    binary = [binary_inputs or tensor.datatype.raw_only for tensor in request.inputs]
    inputs, tail = _encode_tensors(request.inputs, binary, nan)
    head = _EncodedRequest(
        id=request.id,
        parameters=_plain(request.parameters),
        inputs=inputs,
        outputs=[_EncodedOutput(output.name, _plain(output.parameters)) for output in request.outputs],
    )
    return _body(head, tail)


def decode_response(body: Buffer, json_length: int | None, *, limits: Limits) -> InferResponse:
    """The response in a body; raw tensors are views of it. ``json_length`` is as in ``decode_request``.

    Raises:
        InvalidResponse: it breaks the protocol, or the limits.
    """
    try:
        text, tail = _split(memoryview(body).cast("B"), json_length, limits)
        message = read_message(_RESPONSE, text)
        return InferResponse(
            message.model_name or "",
            decode_tensors(message.outputs, "outputs", tail, limits),
            message.model_version or "",
            message.id or "",
            checked("", message.parameters, limits),
        )
    except InvalidTensor as error:
        raise InvalidResponse(f"output '{shown(error.tensor)}': {error.problem}") from error
    except InvalidRequest as error:
        raise InvalidResponse(error.message) from error


_REQUEST = msgspec.json.Decoder(JsonRequest)
_RESPONSE = msgspec.json.Decoder(JsonResponse)


class _EncodedTensor(msgspec.Struct, omit_defaults=True):
    name: str
    shape: tuple[int, ...]
    datatype: Datatype
    parameters: dict[str, Parameter] = {}
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET


class _EncodedOutput(msgspec.Struct, omit_defaults=True):
    name: str
    parameters: dict[str, Parameter] = {}


class _EncodedRequest(msgspec.Struct, omit_defaults=True, kw_only=True):
    id: str = ""
    parameters: dict[str, Parameter] = {}
    inputs: list[_EncodedTensor]
    outputs: list[_EncodedOutput] = []


class _EncodedResponse(msgspec.Struct, omit_defaults=True, kw_only=True):
    model_name: str
    model_version: str = ""
    id: str = ""
    parameters: dict[str, Parameter] = {}
    outputs: list[_EncodedTensor]


_ENCODER = msgspec.json.Encoder()


def _split(view: memoryview, json_length: int | None, limits: Limits) -> tuple[memoryview, memoryview]:
    length = view.nbytes if json_length is None else json_length
    if not 0 <= length <= view.nbytes:
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {shown(length)}, expected 0 to {view.nbytes}, the size of the body"
        )
    if length > limits.max_json_bytes:
        raise PayloadTooLarge(f"the JSON has {length} bytes, at most {limits.max_json_bytes} are allowed")
    return view[:length], view[length:]


def _wanted(items: Sequence[JsonOutput], limits: Limits) -> tuple[RequestedOutput, ...]:
    if len(items) > limits.max_tensors:
        raise InvalidRequest(f"outputs: has {len(items)} entries, at most {limits.max_tensors} are allowed")
    check_names([item.name for item in items], "outputs", limits)
    wanted = []
    for index, item in enumerate(items):
        if not item.parameters:
            wanted.append(RequestedOutput(item.name))
            continue
        where = f"outputs[{index}]"
        parameters = checked(where, item.parameters, limits)
        flag(where, parameters, WISH)
        wanted.append(RequestedOutput(item.name, parameters))
    return tuple(wanted)


def _encode_tensors(
    tensors: Sequence[Tensor], binary: Sequence[bool], nan: NanPolicy
) -> tuple[list[_EncodedTensor], list[Buffer] | None]:
    """The tensors' JSON, and the bytes behind it in the order of the binary ones; None if there are none."""
    encoded: list[_EncodedTensor] = []
    tail: list[Buffer] = []
    for tensor, raw in zip(tensors, binary, strict=True):
        parameters = _plain(tensor.parameters)
        data: list[Any] | msgspec.UnsetType = msgspec.UNSET
        if raw:
            parameters = {**parameters, SIZE: tensor.nbytes}
            tail.append(tensor.data)
        else:
            data = json_form(tensor, nan).reshape(-1).tolist()
        encoded.append(_EncodedTensor(tensor.name, tensor.shape, tensor.datatype, parameters, data))
    return encoded, tail if any(binary) else None


def _body(head: _EncodedRequest | _EncodedResponse, tail: list[Buffer] | None) -> EncodedBody:
    text = _ENCODER.encode(head)
    return EncodedBody((text,), None) if tail is None else EncodedBody((text, *tail), len(text))


def _plain(parameters: Parameters) -> dict[str, Parameter]:
    return parameters if isinstance(parameters, dict) else dict(parameters)
