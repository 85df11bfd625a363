"""What a model executes before it is ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.runtime import Arrays
from tidegate.runtimes.sample import Sample
from tidegate.runtimes.warm_up import warm_up

IMAGE = TensorSpec("image", Datatype.FP32, (-1, -1, -1, 3))
TEXT = TensorSpec("text", Datatype.BYTES, (-1, 1))
COUNT = TensorSpec("count", Datatype.INT8, (-1,))
HALF = TensorSpec("half", Datatype.BF16, (-1, 2))


class Recorder:
    """Answers with its inputs, and keeps them."""

    def __init__(self, *inputs: TensorSpec, batch_dimension: bool = True, decoupled: bool = False) -> None:
        self.metadata = ModelMetadata(
            "m", "test_m", inputs, inputs, batch_dimension=batch_dimension, decoupled=decoupled
        )
        self.asked: list[dict[str, Any]] = []
        self.closed = 0

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        self.asked.append({name: (array.tolist(), array.shape) for name, array in inputs.items()})
        return inputs

    def stream(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Iterator[Arrays]:
        try:
            while True:
                yield self.predict(inputs, outputs, parameters)
        finally:
            self.closed += 1

    def close(self) -> None:
        raise NotImplementedError


def shapes(asked: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, (_, shape) in asked.items()}


def test_zeros_of_the_declared_shape() -> None:
    """Rows are the batch size, any other size is 1 unless the sample names a shape; BYTES are empty."""
    model = Recorder(IMAGE, TEXT, COUNT, HALF)
    warm_up(model, [Sample(), Sample(batch_size=2, shapes={"image": (2, 4, 4, 3)})])
    assert shapes(model.asked[0]) == {"image": (1, 1, 1, 3), "text": (1, 1), "count": (1,), "half": (1, 2)}
    assert shapes(model.asked[1]) == {"image": (2, 4, 4, 3), "text": (2, 1), "count": (2,), "half": (2, 2)}
    assert model.asked[0]["text"][0] == [[b""]]
    assert not np.any(model.asked[1]["image"][0])


def test_without_a_batch_dimension_there_are_no_rows() -> None:
    """Axis 0 is as any other."""
    model = Recorder(COUNT, batch_dimension=False)
    warm_up(model, [Sample(batch_size=8)])
    assert shapes(model.asked[0]) == {"count": (1,)}


def test_data_is_given_as_written() -> None:
    """In the datatype of the signature."""
    model = Recorder(TEXT, COUNT, HALF)
    warm_up(model, [Sample(data={"text": [["é"], ["b"]], "count": [-128, 127], "half": [[1, 2], [0.5, 3]]})])
    assert {name: values for name, (values, _) in model.asked[0].items()} == {
        "text": [["é".encode()], [b"b"]],
        "count": [-128, 127],
        "half": [[1.0, 2.0], [0.5, 3.0]],
    }


@pytest.mark.parametrize(
    ("sample", "problem"),
    [
        pytest.param(Sample(data={"x": [1]}), "there is no input 'x'; the model's are text, count", id="name"),
        pytest.param(Sample(data={"count": [128]}), "data of input 'count' is no INT8: expected lists of", id="range"),
        pytest.param(Sample(data={"count": [1.5]}), "data of input 'count' is no INT8: expected lists of", id="kind"),
        pytest.param(
            Sample(data={"count": [[1], [1, 2]]}), "data of input 'count' is no INT8: setting an", id="ragged"
        ),
        pytest.param(Sample(data={"text": [[1]]}), "data of input 'text' is no BYTES: element 0 is '1'", id="no text"),
        pytest.param(
            Sample(data={"count": [[1]]}), "input 'count' has shape [1, 1], the model's signature says [-1]", id="rank"
        ),
        pytest.param(
            Sample(shapes={"text": (1, 2)}),
            "input 'text' has shape [1, 2], the model's signature says [-1, 1]",
            id="size",
        ),
        pytest.param(
            Sample(shapes={"text": (1 << 28, 2)}), "input 'text' has 536870912 elements, expected at most", id="large"
        ),
    ],
)
def test_a_sample_must_fit_the_signature(sample: Sample, problem: str) -> None:
    """The load fails; the sample and the input are named, and the model is not asked."""
    model = Recorder(TEXT, COUNT)
    with pytest.raises(ModelLoadFailed) as caught:
        warm_up(model, [Sample(), sample])
    assert caught.value.message.startswith(f"model 'm': warm_up sample 2: {problem}")
    assert len(model.asked) == 1


def test_a_model_that_fails_is_not_loaded() -> None:
    """Its own words are told."""

    class Failing(Recorder):
        def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
            raise SystemExit("no kernel")

    for model in (Failing(COUNT), Failing(COUNT, decoupled=True)):
        with pytest.raises(ModelLoadFailed, match=r"^model 'm': warm_up sample 1: SystemExit: no kernel$"):
            warm_up(model, [Sample()])


def test_of_a_stream_the_first_response_is_enough() -> None:
    """It need not end by itself, and is closed."""
    model = Recorder(COUNT, decoupled=True)
    warm_up(model, [Sample()])
    assert (len(model.asked), model.closed) == (1, 1)
