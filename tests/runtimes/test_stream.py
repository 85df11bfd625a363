"""A stream through a model: its responses one by one, and every fault of it as one clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, InvalidRequest, OutOfMemory
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters, Tensor
from tidegate.runtimes.execution import stream
from tidegate.runtimes.runtime import Arrays

SPEC = TensorSpec("x", Datatype.FP32, (-1,))
INPUT = Tensor.from_numpy("x", np.arange(3, dtype=np.float32))
Body = Callable[[Arrays], Any]


class Model:
    metadata = ModelMetadata("m", "test", (SPEC,), (SPEC,), decoupled=True)

    def __init__(self, body: Body) -> None:
        self._body = body

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        raise NotImplementedError

    def stream(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Iterator[Arrays]:
        return self._body(inputs)  # type: ignore[no-any-return]

    def close(self) -> None:
        pass


def responses(body: Body) -> Iterator[list[Tensor]]:
    return stream(Model(body), [INPUT], (), {})


def by_element(inputs: Arrays) -> Iterator[Arrays]:
    for element in inputs["x"]:
        yield {"x": np.array([element])}


def test_each_response_is_a_list_of_tensors() -> None:
    """With any number of rows, whatever the request has."""
    assert [tensors[0].numpy().tolist() for tensors in responses(by_element)] == [[0.0], [1.0], [2.0]]


def test_any_iterable_will_do() -> None:
    """A list, too, which cannot be closed."""
    assert len(list(responses(lambda inputs: [inputs, inputs]))) == 2


def failing(error: BaseException) -> Body:
    def body(inputs: Arrays) -> Iterator[Arrays]:
        yield inputs
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ValueError("no"), ExecutionFailed, "ValueError: no"),
        (SystemExit(3), ExecutionFailed, "SystemExit: 3"),
        (MemoryError("full"), OutOfMemory, "MemoryError: full"),
        (InvalidRequest("bad"), InvalidRequest, "bad"),
    ],
)
def test_an_error_comes_after_the_responses_before_it(error: BaseException, kind: type[Exception], text: str) -> None:
    """In our own words where it is foreign."""
    answers = responses(failing(error))
    next(answers)
    with pytest.raises(kind) as caught:
        next(answers)
    assert str(caught.value) == text


@pytest.mark.parametrize("answer", [None, {"y": np.zeros(1)}, {"x": np.zeros((1, 1))}])
def test_a_response_that_is_none_is_an_error(answer: Any) -> None:
    """Each is held against the signature."""
    with pytest.raises(ExecutionFailed):
        list(responses(lambda inputs: [answer]))


def test_no_iterator_is_an_error() -> None:
    """A model that returns something else fails its request."""
    with pytest.raises(ExecutionFailed, match="not iterable"):
        list(responses(lambda inputs: 7))


@pytest.mark.parametrize("error", [None, ValueError("in the end")])
def test_closing_ends_the_model(error: Exception | None) -> None:
    """Its own clean-up runs, and may raise: nobody waits for it."""
    ended: list[bool] = []

    def body(inputs: Arrays) -> Iterator[Arrays]:
        try:
            while True:
                yield inputs
        finally:
            ended.append(True)
            if error is not None:
                raise error

    answers = stream(Model(body), [INPUT], (), {})
    next(answers)
    answers.close()
    assert ended == [True]
