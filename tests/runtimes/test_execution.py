"""One batch through a model: what it may answer, and how what it may not is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, InvalidRequest, OutOfMemory
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters, Tensor
from tidegate.runtimes.execution import execute
from tidegate.runtimes.runtime import Arrays

IN = TensorSpec("x", Datatype.FP32, (-1, 2))
X = Tensor.from_numpy("x", np.array([[1, 2], [3, 4]], dtype=np.float32))


class Function:
    """A model that is a function."""

    def __init__(self, function: Callable[[Arrays], Any], *outputs: TensorSpec, batch: bool = True) -> None:
        self._function = function
        self.metadata = ModelMetadata("m", "test_function", (IN,), outputs, batch_dimension=batch)

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        answer: Arrays = self._function(inputs)
        return answer

    def close(self) -> None:
        raise AssertionError("execution does not close models")


def _raise(error: BaseException) -> Callable[[Arrays], Arrays]:
    def function(inputs: Arrays) -> Arrays:
        raise error

    return function


def test_outputs_take_the_datatype_of_the_signature() -> None:
    """A framework's float64 and int32 come back as what the metadata promises, in its order."""
    model = Function(
        lambda inputs: {"label": np.array([1, 0], dtype=np.int32), "y": inputs["x"].astype(np.float64) * 2},
        TensorSpec("y", Datatype.FP32, (-1, 2)),
        TensorSpec("label", Datatype.INT64, (-1,)),
    )
    y, label = execute(model, [X], (), {})
    assert (y.name, y.datatype, y.numpy().tolist()) == ("y", Datatype.FP32, [[2, 4], [6, 8]])
    assert (label.name, label.datatype, label.numpy().tolist()) == ("label", Datatype.INT64, [1, 0])


def test_only_wanted_outputs_come_back() -> None:
    """What the caller did not ask for is not sent, and may even be missing."""
    model = Function(
        lambda inputs: {"y": inputs["x"]},
        TensorSpec("z", Datatype.FP32, (-1, 2)),
        TensorSpec("y", IN.datatype, IN.shape),
    )
    assert [tensor.name for tensor in execute(model, [X], ("y",), {})] == ["y"]


def test_text_becomes_bytes() -> None:
    """Class labels as numpy strings or objects are BYTES in UTF-8."""
    model = Function(lambda inputs: {"y": np.array(["köln", "bonn"])}, TensorSpec("y", Datatype.BYTES, (-1,)))
    [y] = execute(model, [X], (), {})
    assert y.numpy().tolist() == ["köln".encode(), b"bonn"]


def test_rows_do_not_matter_without_a_batch_dimension() -> None:
    """A model that knows no batch may answer with any number of rows."""
    model = Function(lambda inputs: {"y": np.zeros(1)}, TensorSpec("y", Datatype.FP64, (-1,)), batch=False)
    assert execute(model, [X], (), {})[0].shape == (1,)


SCORE = TensorSpec("y", Datatype.FP32, (-1,))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param(lambda inputs: [1, 2], r"the model returned list, expected a mapping", id="no mapping"),
        pytest.param(lambda inputs: {}, r"the model returned no output 'y'; it returned none", id="nothing"),
        pytest.param(lambda inputs: {"p": 0, "q": 0}, r"no output 'y'; it returned 'p', 'q'", id="other names"),
        pytest.param(
            lambda inputs: {"y": np.zeros((2, 1))},
            r"output 'y' has shape \[2, 1\], its signature says \[-1\]",
            id="rank",
        ),
        pytest.param(lambda inputs: {"y": np.zeros(1)}, r"output 'y' has 1 rows for a batch of 2", id="too few rows"),
        pytest.param(lambda inputs: {"y": np.zeros(3)}, r"output 'y' has 3 rows for a batch of 2", id="too many rows"),
        pytest.param(
            lambda inputs: {"y": np.array(["a", "b"])},
            r"an array of <U1, its signature says FP32",
            id="text for numbers",
        ),
        pytest.param(
            lambda inputs: {"y": np.zeros(2, dtype=complex)},
            r"an array of complex128, its signature says FP32",
            id="complex",
        ),
        pytest.param(_raise(ValueError("n must be\npositive")), r"^ValueError: n must be\\npositive$", id="raises"),
        pytest.param(_raise(ValueError("x" * 5000)), r"^ValueError: x{999}…$", id="raises at length"),
        pytest.param(_raise(KeyError()), r"^KeyError$", id="raises without words"),
        pytest.param(_raise(SystemExit(3)), r"^SystemExit: 3$", id="exits"),
        pytest.param(_raise(MemoryError("no")), r"^MemoryError: no$", id="memory"),
    ],
)
def test_a_model_at_fault(function: Callable[[Arrays], Any], message: str) -> None:
    """Whatever is wrong with a model's answer is one ExecutionFailed that names it."""
    with pytest.raises(ExecutionFailed, match=message):
        execute(Function(function, SCORE), [X], (), {})


def test_a_model_without_memory() -> None:
    """It is told apart, because a smaller batch may well fit."""
    with pytest.raises(OutOfMemory, match=r"^RuntimeError: CUDA error: out of memory$"):
        execute(Function(_raise(RuntimeError("CUDA error: out of memory")), SCORE), [X], (), {})


def test_a_model_may_blame_the_caller() -> None:
    """An error of tidegate's own tree that a model raises reaches the caller as it is."""
    with pytest.raises(InvalidRequest, match=r"too young"):
        execute(Function(_raise(InvalidRequest("too young")), SCORE), [X], (), {})


def test_inputs_are_read_only() -> None:
    """A model that writes into its inputs fails, instead of changing what another reads."""

    def write(inputs: Arrays) -> Arrays:
        inputs["x"][0, 0] = 9
        return {"y": inputs["x"][:, 0]}

    with pytest.raises(ExecutionFailed, match=r"ValueError: assignment destination is read-only"):
        execute(Function(write, SCORE), [X], (), {})
