from __future__ import annotations

import re

import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.messages import InferRequest, ModelMetadata, RequestedOutput, TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.protocol.validation import check_request

FP32 = Datatype.FP32
X = TensorSpec("x", FP32, (-1, 2), accepts=(Datatype.INT64,))
Y = TensorSpec("y", Datatype.BYTES, (-1,))
MODEL = ModelMetadata("m", "fake_test", (X, Y), (TensorSpec("z", FP32, (-1,)),), max_batch_size=4)


def tensor(name: str, datatype: Datatype, *shape: int) -> Tensor:
    """A tensor whose data is never read."""
    return Tensor(name, datatype, shape, b"")


def request(*tensors: Tensor, outputs: tuple[str, ...] = ()) -> InferRequest:
    return InferRequest("m", tensors, outputs=tuple(RequestedOutput(name) for name in outputs))


GOOD_X, GOOD_Y = tensor("x", FP32, 3, 2), tensor("y", Datatype.BYTES, 3)


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(request(GOOD_X, GOOD_Y), id="as-declared"),
        pytest.param(request(GOOD_Y, GOOD_X), id="any-order"),
        pytest.param(request(tensor("x", Datatype.INT64, 3, 2), GOOD_Y), id="accepted-datatype"),
        pytest.param(request(GOOD_X, GOOD_Y, outputs=("z",)), id="with-an-output"),
    ],
)
def test_fits(good: InferRequest) -> None:
    """What the signature allows passes."""
    check_request(good, MODEL)


def test_more_rows_than_one_execution_takes() -> None:
    """They pass: a request is split where it has more."""
    assert MODEL.max_batch_size == 4
    check_request(request(tensor("x", FP32, 5, 2), tensor("y", Datatype.BYTES, 5)), MODEL)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(
            request(GOOD_X, tensor("w", FP32, 3)), "model 'm' has no input 'w'; expected 'x', 'y'", id="unknown-input"
        ),
        pytest.param(request(GOOD_X), "model 'm' needs input 'y', which the request does not have", id="missing-input"),
        pytest.param(
            request(GOOD_X, GOOD_X, GOOD_Y), "model 'm' has no input 'x'; expected 'x', 'y'", id="input-given-twice"
        ),
        pytest.param(
            request(tensor("x", Datatype.FP64, 3, 2), GOOD_Y),
            "input 'x': datatype is FP64, the model expects FP32, INT64",
            id="datatype",
        ),
        pytest.param(
            request(tensor("x", FP32, 3), GOOD_Y), "input 'x': shape is [3], the model expects [-1, 2]", id="rank"
        ),
        pytest.param(
            request(tensor("x", FP32, 3, 5), GOOD_Y), "input 'x': shape is [3, 5], the model expects [-1, 2]", id="size"
        ),
        pytest.param(
            request(GOOD_X, tensor("y", Datatype.BYTES, 2)),
            "input 'y': has 2 rows where input 'x' has 3; the inputs of a batch must agree",
            id="rows-differ",
        ),
        pytest.param(
            request(tensor("x", FP32, 0, 2), tensor("y", Datatype.BYTES, 0)),
            "input 'x': shape [0, 2] has no rows, the model expects at least one",
            id="no-rows",
        ),
        pytest.param(
            request(GOOD_X, GOOD_Y, outputs=("q\n",)), "model 'm' has no output 'q\\n'; expected 'z'", id="output"
        ),
    ],
)
def test_does_not_fit(bad: InferRequest, message: str) -> None:
    """What the signature does not allow is refused with both sides of the disagreement."""
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}$"):
        check_request(bad, MODEL)


def test_without_batch_dimension_rows_need_not_agree() -> None:
    """Only a batch dimension makes the first sizes of all inputs one number."""
    specs = (TensorSpec("a", FP32, (-1,)), TensorSpec("b", FP32, (-1,)))
    model = ModelMetadata("m", "fake_test", specs, (), batch_dimension=False)
    check_request(request(tensor("a", FP32, 1), tensor("b", FP32, 7)), model)


def test_a_model_without_inputs_says_none() -> None:
    """The list of what was expected is never empty."""
    model = ModelMetadata("m", "fake_test", (), ())
    with pytest.raises(InvalidRequest, match=r"^model 'm' has no input 'x'; expected none$"):
        check_request(request(GOOD_X), model)
