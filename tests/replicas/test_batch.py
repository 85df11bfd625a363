"""Requests as batches: parts in position, without a concatenation."""

from __future__ import annotations

import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.batch import Batch, BatchResult, BatchTensor, write


def test_one_request_is_a_batch() -> None:
    """Its tensors have one part each, which is its own buffer."""
    x = Tensor.from_numpy("x", np.arange(6, dtype=np.float32).reshape(2, 3))
    request = InferRequest("m", (x,), parameters={"p": 1}, outputs=(RequestedOutput("y"),))
    batch = Batch.of(request)
    assert batch.outputs == ("y",)
    assert batch.parameters == {"p": 1}
    assert batch.tensors[0].nbytes == 24
    assert batch.tensors[0].parts[0] is x.data


def test_parts_are_written_back_to_back() -> None:
    """Several requests' rows lie one behind the other, each tensor at its own place; views of any item type do."""
    parts = (b"ab", np.array([0x6463], dtype="<u2").data, bytearray(b"ef"))
    tensors = (BatchTensor("x", Datatype.UINT8, (6,), parts, 6), BatchTensor("y", Datatype.UINT8, (1,), (b"z",), 1))
    memory = bytearray(b"." * 12)
    write(tensors, [2, 10], memoryview(memory))
    assert memory == b"..abcdef..z."


def test_a_result_is_given_back_once() -> None:
    """However often release is called, the memory goes back once."""
    calls: list[int] = []
    result = BatchResult((), lambda: calls.append(1))
    result.release()
    result.release()
    assert calls == [1]
