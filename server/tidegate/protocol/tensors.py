"""Tensors as views over bytes.

A tensor is a name, a datatype, a shape and a buffer with the elements exactly as v2's binary form has them
(little-endian, row-major, BYTES with 4-byte lengths). A codec that gets raw bytes makes a view and copies nothing;
numpy sees the same memory. JSON is the exception: its numbers are written into a new buffer once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype, narrow_bf16, widen_bf16
from tidegate.protocol.errors import InvalidTensor

Parameter = str | int | float | bool
Parameters = Mapping[str, Parameter]
Buffer = bytes | bytearray | memoryview

NO_PARAMETERS: Parameters = {}
_LENGTH = struct.Struct("<I")


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """One named tensor. ``data`` holds ``shape`` elements of ``datatype``; the maker has checked that it does."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: Buffer
    parameters: Parameters = NO_PARAMETERS

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of ``data`` in bytes."""
        return len(self.data) if isinstance(self.data, (bytes, bytearray)) else self.data.nbytes

    def numpy(self) -> npt.NDArray[Any]:
        """The elements as an array: a read-only view, but for BF16 (a float32 copy) and BYTES (objects, ``bytes``)."""
        if self.datatype is Datatype.BYTES:
            array = np.empty(self.count, dtype=object)
            array[:] = split_bytes(self.name, self.data, self.count)
            return array.reshape(self.shape)
        array = np.frombuffer(self.data, dtype=self.datatype.stored, count=self.count).reshape(self.shape)
        if self.datatype is Datatype.BF16:
            return widen_bf16(array)
        array.flags.writeable = False
        return array

    @classmethod
    def from_numpy(
        cls,
        name: str,
        array: npt.NDArray[Any],
        datatype: Datatype | None = None,
        parameters: Parameters = NO_PARAMETERS,
    ) -> Tensor:
        """A tensor over ``array``'s memory where it is contiguous and of the right type, over a copy otherwise.

        ``datatype`` None takes the array's own. Text is encoded as UTF-8.

        Raises:
            TypeError: the array's type has no counterpart in the protocol.
        """
        kind = datatype or Datatype.of(array.dtype)
        shape = tuple(int(n) for n in array.shape)
        if kind is Datatype.BYTES:
            return cls(name, kind, shape, join_bytes(as_bytes(item) for item in array.reshape(-1)), parameters)
        if kind is Datatype.BF16:
            array = narrow_bf16(array)
        contiguous = np.ascontiguousarray(array, dtype=kind.stored)
        return cls(name, kind, shape, memoryview(contiguous.reshape(-1).view(np.uint8).data), parameters)


def as_bytes(item: Any) -> bytes:
    """One element of a BYTES tensor as bytes; text as UTF-8, anything else as the text of it."""
    if isinstance(item, bytes):
        return item
    return item.encode() if isinstance(item, str) else str(item).encode()


def join_bytes(elements: Iterable[bytes]) -> bytes:
    """BYTES elements in their binary form: each with its 4-byte little-endian length in front."""
    parts: list[bytes] = []
    for element in elements:
        parts.append(_LENGTH.pack(len(element)))
        parts.append(element)
    return b"".join(parts)


def split_bytes(name: str, data: Buffer, count: int) -> list[bytes]:
    """The ``count`` elements of a BYTES tensor.

    Raises:
        InvalidTensor: the lengths do not lead exactly to the end of ``data`` in ``count`` steps.
    """
    view = memoryview(data).cast("B")
    size, position = view.nbytes, 0
    elements: list[bytes] = []
    for index in range(count):
        start = position + 4
        if start > size:
            raise InvalidTensor(name, f"BYTES data ends before the length of element {index} of {count}")
        position = start + _LENGTH.unpack_from(view, position)[0]
        if position > size:
            raise InvalidTensor(
                name, f"element {index} claims {position - start} bytes, but only {size - start} are left"
            )
        elements.append(bytes(view[start:position]))
    if position != size:
        raise InvalidTensor(name, f"{size - position} bytes are left over after its {count} elements")
    return elements


def element_offsets(name: str, data: Buffer, marks: Iterable[int]) -> list[int]:
    """Where the elements with the numbers ``marks`` (ascending) of a BYTES tensor begin in its data.

    Raises:
        InvalidTensor: the lengths lead past the end of ``data``.
    """
    view = memoryview(data).cast("B")
    unpack = _LENGTH.unpack_from
    offsets: list[int] = []
    index = position = 0
    try:
        for mark in marks:
            while index < mark:
                position += 4 + unpack(view, position)[0]
                index += 1
            offsets.append(position)
    except struct.error:
        position = view.nbytes + 1
    if position > view.nbytes:
        raise InvalidTensor(name, f"BYTES data ends before element {index}")
    return offsets


def by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Tensors keyed by their name."""
    return {tensor.name: tensor for tensor in tensors}
