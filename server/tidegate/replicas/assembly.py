"""From the requests that the batcher took to the tensors that are written: which bytes, in which order, how padded.

Nothing is copied here but what a padded dimension needs: a row of another length lies elsewhere in memory. A batch that
is padded to a size repeats its last row, which the model has to be able to read anyway; zeros or empty texts may be
nothing that it knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidegate.batching import batch as batching
from tidegate.batching.padding import PaddedDimension, item_shape
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor
from tidegate.protocol.tensors import Buffer, Tensor, as_bytes
from tidegate.replicas.batch import Batch, BatchTensor, size_of
from tidegate.replicas.pending import Pending
from tidegate.replicas.rows import cut


def assemble(taken: batching.Batch[Pending], dimensions: tuple[PaddedDimension, ...] = ()) -> Batch:
    """The batch to send for one that was taken; all of its requests have the same key."""
    parts = taken.parts
    first = parts[0].item.payload
    if len(parts) == 1 and parts[0].whole and taken.size == taken.rows and not dimensions:
        return Batch.of(first.request)
    tensors = tuple([_column(taken, index, dimensions) for index in range(len(first.inputs))])
    return Batch.of(first.request, tensors)


def _column(taken: batching.Batch[Pending], index: int, dimensions: tuple[PaddedDimension, ...]) -> BatchTensor:
    """One input of all requests."""
    parts = taken.parts
    tensor = parts[0].item.payload.inputs[index]
    shape = item_shape(tensor.name, tensor.shape, dimensions) if dimensions else tensor.shape[1:]
    pieces: list[Buffer] = []
    for part in parts:
        whole = part.item.payload.inputs[index]
        piece = cut(whole, part.start, part.stop)
        if whole.shape[1:] != shape:
            rows = Tensor(whole.name, whole.datatype, (part.rows, *whole.shape[1:]), piece)
            piece = padded(rows, shape, fill_of(tensor.name, dimensions))
        pieces.append(piece)
    missing = taken.size - taken.rows
    if missing:
        last = Tensor(tensor.name, tensor.datatype, (parts[-1].rows, *shape), pieces[-1])
        pieces.append(bytes(cut(last, last.shape[0] - 1, last.shape[0])) * missing)
    nbytes = sum([size_of(piece) for piece in pieces])
    return BatchTensor(tensor.name, tensor.datatype, (taken.size, *shape), tuple(pieces), nbytes)


def fill_of(name: str, dimensions: Sequence[PaddedDimension]) -> int | float:
    """What new elements of an input are."""
    return next((dimension.fill for dimension in dimensions if dimension.input == name), 0)


def padded(tensor: Tensor, shape: tuple[int, ...], fill: int | float) -> Buffer:
    """The bytes of a tensor whose rows are made as large as ``shape`` by elements of value ``fill`` behind them.

    In a BYTES tensor these are empty, or the text of ``fill`` if it is not 0.

    Raises:
        InvalidTensor: its datatype has no such value.
    """
    array = tensor.numpy()
    filler = (as_bytes(fill) if fill else b"") if tensor.datatype is Datatype.BYTES else fill
    try:
        larger = np.full((array.shape[0], *shape), filler, dtype=array.dtype)
    except (OverflowError, ValueError) as error:
        raise InvalidTensor(
            tensor.name, f"cannot be padded with {fill}: {tensor.datatype.value} has no such value"
        ) from error
    larger[tuple(slice(0, size) for size in array.shape)] = array
    return Tensor.from_numpy(tensor.name, larger, tensor.datatype).data
