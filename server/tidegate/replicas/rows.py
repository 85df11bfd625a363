"""Rows of a tensor: where they lie in its bytes, as views wherever that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.tensors import Buffer, Tensor, element_offsets


def row_offsets(tensor: Tensor, marks: Sequence[int]) -> list[int]:
    """Where the rows with the numbers ``marks`` (ascending, at most the number of rows) begin in ``tensor.data``.

    Raises:
        InvalidTensor: a BYTES tensor whose lengths lead past its end.
    """
    per_row = prod(tensor.shape[1:])
    if tensor.datatype is Datatype.BYTES:
        return element_offsets(tensor.name, tensor.data, [mark * per_row for mark in marks])
    size = per_row * tensor.datatype.itemsize
    return [mark * size for mark in marks]


def cut(tensor: Tensor, start: int, stop: int) -> Buffer:
    """The bytes of rows ``start`` to ``stop``, a view of the tensor's own."""
    if start == 0 and stop == tensor.shape[0]:
        return tensor.data
    begin, end = row_offsets(tensor, (start, stop))
    return memoryview(tensor.data).cast("B")[begin:end]
