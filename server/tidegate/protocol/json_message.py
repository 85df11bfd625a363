"""The JSON of a v2 request and response, typed, with the elements of its tensors left unread.

Members that we do not know are skipped: callers send extras. ``null`` stands for an absent optional member, as
KServe writes it; inside ``parameters`` the protocol has no null, and none is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from tidegate.protocol.binary_data import check_raw
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidTensor, shown
from tidegate.protocol.json_data import decode_data
from tidegate.protocol.json_document import read
from tidegate.protocol.limits import Limits
from tidegate.protocol.parameters import check_name, checked, size_of, without_size
from tidegate.protocol.shapes import check_shape
from tidegate.protocol.tensors import NO_PARAMETERS, Buffer, Parameter, Tensor

JsonParameters = dict[str, Parameter] | None


class JsonTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: Datatype
    parameters: JsonParameters = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class JsonOutput(msgspec.Struct):
    name: str
    parameters: JsonParameters = None


class JsonRequest(msgspec.Struct):
    inputs: list[JsonTensor]
    id: str | None = None
    parameters: JsonParameters = None
    outputs: list[JsonOutput] | None = None


class JsonResponse(msgspec.Struct):
    """``model_name`` is optional here alone: the specification's own example lacks it."""

    outputs: list[JsonTensor]
    model_name: str | None = None
    model_version: str | None = None
    id: str | None = None
    parameters: JsonParameters = None


Message = TypeVar("Message", JsonRequest, JsonResponse)


def read_message(decoder: msgspec.json.Decoder[Message], text: Buffer) -> Message:
    """The message in ``text``.

    Raises:
        InvalidRequest: it is not JSON or not of this form; the message begins with the path.
    """
    try:
        return read(decoder, text)
    except InvalidRequest as error:
        path, _, problem = error.message.partition("[...]: ")
        if not path.endswith("parameters"):
            raise
        name = _nested_parameter(text, path)
        if name is None:
            raise
        raise InvalidRequest(f"{path}['{shown(name)}']: {problem}") from error


def decode_tensors(items: Sequence[JsonTensor], where: str, tail: memoryview, limits: Limits) -> tuple[Tensor, ...]:
    """The tensors of a message: from their ``data``, or as views of ``tail``, which follows the JSON.

    ``where`` is "inputs" or "outputs".

    Raises:
        InvalidRequest: too many tensors, a name used twice, or sizes that do not add up to the tail.
        InvalidTensor: the fault is in one tensor.
    """
    if len(items) > limits.max_tensors:
        raise InvalidRequest(f"{where}: has {len(items)} entries, at most {limits.max_tensors} are allowed")
    sizes = [
        size_of(f"{where}[{index}]", item.parameters) if item.parameters else None for index, item in enumerate(items)
    ]
    claimed = sum(size for size in sizes if size is not None)
    if claimed != tail.nbytes:
        raise InvalidRequest(
            f"binary_data_size of the {where} adds up to {claimed} bytes, {tail.nbytes} bytes follow the JSON "
            "(whose length the header Inference-Header-Content-Length tells)"
        )
    check_names([item.name for item in items], where, limits)
    tensors, start = [], 0
    for index, (item, size) in enumerate(zip(items, sizes, strict=True)):
        own = checked(f"{where}[{index}]", item.parameters, limits) if item.parameters else NO_PARAMETERS
        count = check_shape(item.name, item.shape, item.datatype, limits)
        data: Buffer
        if size is None:
            data = _from_json(item, count)
        else:
            data = _from_tail(item, count, tail[start : start + size])
            own, start = without_size(own), start + size
        tensors.append(Tensor(item.name, item.datatype, tuple(item.shape), data, own))
    return tuple(tensors)


def check_names(names: Sequence[str], where: str, limits: Limits) -> None:
    """Hold the names of tensors against each other and against their limit.

    Raises:
        InvalidRequest: one is empty, too long, or used twice.
    """
    for index, name in enumerate(names):
        if not name:
            raise InvalidRequest(f"{where}[{index}].name: is empty")
        check_name(where, name, limits)
    if len(set(names)) != len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InvalidRequest(f"{where}: the name '{shown(twice)}' is used twice")


def _from_json(item: JsonTensor, count: int) -> bytes:
    if isinstance(item.data, msgspec.Raw):
        return decode_data(item.name, item.datatype, item.shape, item.data, count)
    if item.parameters and "shared_memory_region" in item.parameters:
        raise InvalidTensor(item.name, "shared memory is not supported; send the data itself")
    raise InvalidTensor(item.name, "has neither data nor parameters.binary_data_size")


def _from_tail(item: JsonTensor, count: int, data: memoryview) -> memoryview:
    # KServe's client writes "data": null beside the size.
    if isinstance(item.data, msgspec.Raw) and bytes(memoryview(item.data)[:5]) != b"null":
        raise InvalidTensor(item.name, "has both data and parameters.binary_data_size")
    check_raw(item.name, item.datatype, count, data)
    return data


class _LooseOwner(msgspec.Struct):
    parameters: dict[str, msgspec.Raw] | None = None


class _LooseMessage(msgspec.Struct):
    parameters: dict[str, msgspec.Raw] | None = None
    inputs: list[_LooseOwner] | None = None
    outputs: list[_LooseOwner] | None = None


_LOOSE = msgspec.json.Decoder(_LooseMessage)


def _nested_parameter(text: Buffer, path: str) -> str | None:
    """The name of the parameter at fault, which msgspec does not tell: the first with a null, an object or a list."""
    try:
        message = _LOOSE.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    owner: Any = message
    member, bracket, rest = path.partition("[")
    if bracket:
        owner = getattr(message, member)[int(rest.partition("]")[0])]
    found: dict[str, msgspec.Raw] = owner.parameters
    return next((name for name, raw in found.items() if bytes(raw)[:1] in (b"n", b"{", b"[")), None)
