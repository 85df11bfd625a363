"""Tensors that travel as raw bytes, after the JSON of the same body or as the whole of it.

The form is the tensor's own in memory, so that a view of the body is the tensor. What is checked is what the bytes
alone can get wrong: their number, the lengths within BYTES, and the value of a BOOL.

Source: the binary tensor data extension of the Open Inference Protocol, and its raw binary request.
"""

from __future__ import annotations

import struct

import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidTensor, shown
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec
from tidegate.protocol.parameters import WISH_FOR_ALL
from tidegate.protocol.shapes import check_shape
from tidegate.protocol.tensors import Tensor, join_bytes, split_bytes

_LENGTH = struct.Struct("<I")


def check_raw(name: str, datatype: Datatype, count: int, data: memoryview) -> None:
    """Hold raw bytes against the ``count`` elements that they are to be.

    Raises:
        InvalidTensor: too many or too few bytes, BYTES whose lengths do not add up, or a BOOL that is not 0 or 1.
    """
    if datatype is Datatype.BYTES:
        _check_lengths(name, data, count)
    elif data.nbytes != count * datatype.itemsize:
        expected = count * datatype.itemsize
        raise InvalidTensor(
            name, f"has {data.nbytes} bytes of binary data, its {count} elements of {datatype.value} are {expected}"
        )
    elif datatype is Datatype.BOOL and count:
        _check_booleans(name, data)


def decode_raw_request(
    body: memoryview, model: str, version: str, metadata: ModelMetadata | None, limits: Limits
) -> InferRequest:
    """A body that is nothing but the one tensor of a model: its shape is the signature's, with one row.

    All outputs come back as binary data.

    Raises:
        InvalidRequest: the model's signature does not tell the shape.
        InvalidTensor: the body is not a whole tensor of that shape.
    """
    spec = _only_input(model, metadata)
    if spec.datatype is Datatype.BYTES:
        shape, data = _single_element(spec), memoryview(join_bytes([bytes(body)]))
    else:
        shape, data = _shape_of(spec, body.nbytes, metadata is not None and metadata.batch_dimension), body
    check_raw(spec.name, spec.datatype, check_shape(spec.name, shape, spec.datatype, limits), data)
    tensor = Tensor(spec.name, spec.datatype, shape, data)
    return InferRequest(model, (tensor,), version, parameters={WISH_FOR_ALL: True})


def _check_lengths(name: str, data: memoryview, count: int) -> None:
    unpack, size, position = _LENGTH.unpack_from, data.nbytes, 0
    for _ in range(count):
        if position + 4 > size:
            position = -1
            break
        position += 4 + unpack(data, position)[0]
    if position != size:
        split_bytes(name, data, count)  # walks the same way, and says where it went wrong


def _check_booleans(name: str, data: memoryview) -> None:
    values = np.frombuffer(data, dtype=np.uint8)
    if values.max() > 1:
        index = int(np.argmax(values > 1))
        raise InvalidTensor(name, f"element {index} of its BOOL data is {int(values[index])}, expected 0 or 1")


def _only_input(model: str, metadata: ModelMetadata | None) -> TensorSpec:
    if metadata is None:
        raise InvalidRequest(f"model '{shown(model)}' has not told its signature yet, which a raw request needs")
    if len(metadata.inputs) != 1:
        raise InvalidRequest(
            f"model '{shown(model)}' has {len(metadata.inputs)} inputs, a raw request is for models with one"
        )
    return metadata.inputs[0]


def _single_element(spec: TensorSpec) -> tuple[int, ...]:
    if any(size not in (-1, 1) for size in spec.shape):
        raise InvalidRequest(
            f"input '{spec.name}' has shape {list(spec.shape)}, a raw request carries one element of BYTES"
        )
    return (1,) * len(spec.shape)


def _shape_of(spec: TensorSpec, nbytes: int, batched: bool) -> tuple[int, ...]:
    shape = list(spec.shape)
    if batched and shape and shape[0] == -1:
        shape[0] = 1
    variable = [axis for axis, size in enumerate(shape) if size == -1]
    if len(variable) > 1:
        raise InvalidRequest(
            f"input '{spec.name}' has shape {list(spec.shape)}, a raw request leaves at most one dimension open"
        )
    if variable:
        row = spec.datatype.itemsize
        for size in shape:
            row *= 1 if size == -1 else size
        if not row or nbytes % row:
            raise InvalidTensor(
                spec.name, f"has {nbytes} bytes of binary data, shape {list(spec.shape)} needs a multiple of {row}"
            )
        shape[variable[0]] = nbytes // row
    return tuple(shape)
