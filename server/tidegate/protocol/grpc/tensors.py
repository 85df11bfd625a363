"""One tensor between its message and its value, with its elements raw or in the typed field of their datatype."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.protocol.binary_data import check_raw
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, shown
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc.parameters import decode_parameters, encode_parameters
from tidegate.protocol.limits import Limits
from tidegate.protocol.shapes import check_shape
from tidegate.protocol.tensors import Buffer, Tensor, join_bytes, split_bytes

Message = pb.ModelInferRequest.InferInputTensor | pb.ModelInferResponse.InferOutputTensor

_DATATYPES = {kind.value: kind for kind in Datatype}

_FIELDS = {
    Datatype.BOOL: "bool_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}

_WIDE: dict[Datatype, np.dtype[np.signedinteger[Any]] | np.dtype[np.unsignedinteger[Any]]] = {
    Datatype.INT8: np.dtype(np.int32),
    Datatype.INT16: np.dtype(np.int32),
    Datatype.UINT8: np.dtype(np.uint32),
    Datatype.UINT16: np.dtype(np.uint32),
}
"""What the typed field holds where it is wider than the datatype."""


def decode_tensor(where: str, encoded: Message, raw: Buffer | None, limits: Limits) -> Tensor:
    """The tensor at the path ``where``, from its message and, where the message has raw contents, its entry of them.

    Raises:
        InvalidTensor: unknown datatype, a shape beyond the limits, elements that are not as many or not of the kind
            that shape and datatype say, or given both ways.
        InvalidRequest: its parameters are wrong.
    """
    name = encoded.name
    kind = _DATATYPES.get(encoded.datatype)
    if kind is None:
        known = ", ".join(_DATATYPES)
        raise InvalidTensor(name, f"datatype '{shown(encoded.datatype)}' is not known, expected one of {known}")
    shape = tuple(encoded.shape)
    count = check_shape(name, shape, kind, limits)
    if raw is None:
        data = _typed(name, kind, count, encoded.contents)
    else:
        if encoded.HasField("contents") and encoded.contents.ListFields():
            raise InvalidTensor(
                name, "has contents beside raw contents; a message uses one of them for all its tensors"
            )
        check_raw(name, kind, count, memoryview(raw))
        data = raw
    return Tensor(name, kind, shape, data, decode_parameters(where, encoded.parameters, limits))


def encode_tensor(tensor: Tensor, encoded: Message, *, raw: bool) -> None:
    """Write a tensor into its message; ``raw`` leaves its elements out."""
    encoded.name = tensor.name
    encoded.datatype = tensor.datatype.value
    encoded.shape.extend(tensor.shape)
    if tensor.parameters:
        encode_parameters(tensor.parameters, encoded.parameters)
    if raw:
        return
    values: Any = (
        split_bytes(tensor.name, tensor.data, tensor.count)
        if tensor.datatype is Datatype.BYTES
        else np.frombuffer(tensor.data, dtype=tensor.datatype.stored).tolist()
    )
    getattr(encoded.contents, _FIELDS[tensor.datatype]).extend(values)


def _typed(name: str, kind: Datatype, count: int, contents: pb.InferTensorContents) -> Buffer:
    if kind.raw_only:
        raise InvalidTensor(name, f"{kind.value} has no typed contents; send it as raw contents")
    field = _FIELDS[kind]
    for descriptor, _ in contents.ListFields():
        if descriptor.name != field:
            raise InvalidTensor(name, f"has {descriptor.name}, {kind.value} is sent in {field}")
    values = getattr(contents, field)
    if len(values) != count:
        raise InvalidTensor(name, f"has {len(values)} elements in {field}, its shape has {count}")
    if kind is Datatype.BYTES:
        return join_bytes(values)
    wide = _WIDE.get(kind)
    array: npt.NDArray[Any] = np.fromiter(values, dtype=kind.stored if wide is None else wide, count=count)
    if wide is not None:
        array = _narrowed(name, kind, array)
    return array.view(np.uint8).data


def _narrowed(name: str, kind: Datatype, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    bounds = np.iinfo(kind.value.lower())
    outside = (array < bounds.min) | (array > bounds.max)
    if outside.any():
        index = int(np.argmax(outside))
        value = int(array[index])
        raise InvalidTensor(name, f"element {index} is {value}, {kind.value} holds {bounds.min} to {bounds.max}")
    return array.astype(kind.stored)
