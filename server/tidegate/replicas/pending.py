"""A request that waits for its answer: what the batcher carries as its payload and never looks into."""

from __future__ import annotations

import asyncio

from tidegate.batching.batch import Join
from tidegate.batching.sequences import Sequence
from tidegate.protocol.content import content_of
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.batch import BatchResult
from tidegate.replicas.responses import Responses


class Pending:
    """``inputs`` are in the order of their names, which is the same for all requests that may share a batch.

    ``join`` collects the results of a request that is executed in parts, each the outputs of some rows; ``spent`` are
    the seconds that those took, by phase: see ``Executions``. ``responses`` are there where the answer is a
    stream, and a ``sequence`` where the request is a step of one.
    """

    __slots__ = ("future", "inputs", "join", "request", "responses", "sequence", "spent")

    def __init__(self, request: InferRequest, future: asyncio.Future[BatchResult]) -> None:
        self.request = request
        self.future = future
        inputs = request.inputs
        self.inputs = inputs if len(inputs) < 2 else tuple(sorted(inputs, key=lambda tensor: tensor.name))
        self.join: Join[tuple[Tensor, ...]] | None = None
        self.spent = (0.0, 0.0, 0.0)
        self.responses: Responses | None = None
        self.sequence: Sequence[int] | None = None

    @property
    def nbytes(self) -> int:
        """Size of all inputs, in bytes."""
        inputs = self.inputs
        return inputs[0].nbytes if len(inputs) == 1 else sum(tensor.nbytes for tensor in inputs)


def fingerprint(pending: Pending) -> bytes:
    """A hash of what the model sees of a request, the same for whoever sends the same again."""
    return content_of(pending.request)
