"""From the result of a batch to the answers of its requests: views of one memory, which the last of them gives back."""

from __future__ import annotations

from tidegate.batching import batch as batching
from tidegate.batching.batch import Join, Part
from tidegate.protocol.errors import ExecutionFailed
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.batch import BatchResult
from tidegate.replicas.pending import Pending
from tidegate.replicas.rows import row_offsets

Outputs = tuple[Tensor, ...]


class Shares:
    """One result's memory among ``count`` readers."""

    __slots__ = ("_count", "_result")

    def __init__(self, result: BatchResult, count: int) -> None:
        self._result = result
        self._count = count

    def release(self) -> None:
        """One reader is done."""
        self._count -= 1
        if not self._count:
            self._result.release()


def scatter(taken: batching.Batch[Pending], result: BatchResult) -> list[Outputs]:
    """The outputs of each part of a batch, in their order: views of the result's.

    Raises:
        ExecutionFailed: an output does not have a row for each row of the batch.
        InvalidTensor: a BYTES output is not what it claims to be.
    """
    parts = taken.parts
    if len(parts) == 1 and parts[0].whole and taken.size == taken.rows:
        return [result.outputs]
    columns = [_column(output, parts, taken.size) for output in result.outputs]
    return [tuple([column[place] for column in columns]) for place in range(len(parts))]


def answer(
    parts: list[Part[Pending]], wanted: list[Part[Pending]], outputs: list[Outputs], result: BatchResult
) -> None:
    """Give each of the ``wanted`` parts its outputs. ``result`` is released when all of them are."""
    shares = Shares(result, len(wanted))
    if not wanted:
        result.release()
    if len(wanted) < len(parts):
        place = {id(part): index for index, part in enumerate(parts)}
        outputs = [outputs[place[id(part)]] for part in wanted]
    for part, own in zip(wanted, outputs, strict=True):
        pending = part.item.payload
        if pending.future.done():  # its caller goes away in this very moment
            shares.release()
        elif part.whole:
            pending.future.set_result(BatchResult(own, shares.release))
        else:
            _join(part, pending, own)
            shares.release()


def _column(output: Tensor, parts: list[Part[Pending]], size: int) -> Outputs:
    """An output's rows for each of the parts."""
    shape = output.shape
    if not shape or shape[0] != size:
        raise ExecutionFailed(f"output '{output.name}' has shape {list(shape)} for a batch of {size} rows")
    offsets = row_offsets(output, [*[part.offset for part in parts], parts[-1].offset + parts[-1].rows])
    view = memoryview(output.data)
    name, datatype, rest = output.name, output.datatype, shape[1:]
    return tuple(
        [
            Tensor(name, datatype, (part.stop - part.start, *rest), view[offsets[place] : offsets[place + 1]])
            for place, part in enumerate(parts)
        ]
    )


def _join(part: Part[Pending], pending: Pending, outputs: Outputs) -> None:
    """Keep some rows of a split request; they are copied, for the memory is needed to execute the others."""
    if pending.join is None:
        pending.join = Join(part.item.rows)
    owned = tuple([Tensor(t.name, t.datatype, t.shape, bytes(t.data)) for t in outputs])
    pieces = pending.join.add(part.start, part.stop, owned)
    if pieces is not None:
        pending.future.set_result(BatchResult(tuple([_joined(column) for column in zip(*pieces, strict=True)])))


def _joined(pieces: Outputs) -> Tensor:
    first = pieces[0]
    rows = sum([piece.shape[0] for piece in pieces])
    return Tensor(first.name, first.datatype, (rows, *first.shape[1:]), b"".join([piece.data for piece in pieces]))
