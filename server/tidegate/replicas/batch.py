"""What is executed at once: the tensors of one or more requests, and what comes back.

A batch lists the parts of each tensor without joining them: they are written one behind the other into shared memory,
so the copy into batch position is the only one.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.parameters import for_model
from tidegate.protocol.tensors import Buffer, Parameters, Tensor


class BatchTensor(msgspec.Struct, frozen=True, gc=False):
    """One input of a batch; the ``parts`` together, in order, are its ``nbytes`` bytes."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parts: tuple[Buffer, ...]
    nbytes: int


class Batch(msgspec.Struct, frozen=True, gc=False):
    """``outputs`` names the wanted ones, none means all."""

    tensors: tuple[BatchTensor, ...]
    outputs: tuple[str, ...]
    parameters: Parameters

    @classmethod
    def of(cls, request: InferRequest, tensors: tuple[BatchTensor, ...] | None = None) -> Batch:
        """A batch with the outputs and parameters of a request, of its own tensors alone or of ``tensors``."""
        if tensors is None:
            tensors = tuple([BatchTensor(t.name, t.datatype, t.shape, (t.data,), t.nbytes) for t in request.inputs])
        outputs = tuple([output.name for output in request.outputs]) if request.outputs else ()
        return cls(tensors, outputs, for_model(request.parameters))


class BatchResult:
    """The outputs of a batch, over memory that ``release`` gives back; they must not be read after it."""

    __slots__ = ("_give_back", "outputs")

    def __init__(self, outputs: tuple[Tensor, ...], give_back: Callable[[], None] | None = None) -> None:
        self.outputs = outputs
        self._give_back = give_back

    def release(self) -> None:
        """Give the memory back. A second call does nothing."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


def size_of(part: Buffer) -> int:
    """Bytes of a buffer, whatever the type of its items."""
    return part.nbytes if isinstance(part, memoryview) else len(part)


def write(tensors: tuple[BatchTensor, ...], offsets: list[int], memory: memoryview) -> None:
    """Write the parts of every tensor to its place in ``memory``."""
    for tensor, offset in zip(tensors, offsets, strict=True):
        position = offset
        for part in tensor.parts:
            end = position + size_of(part)
            memory[position:end] = part.cast("B") if isinstance(part, memoryview) else part
            position = end
