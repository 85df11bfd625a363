"""Which requests may share a batch."""

from __future__ import annotations

import numpy as np
import pytest

from tidegate.batching.bucket import key_of
from tidegate.batching.padding import PaddedDimension, item_shape, padded_size, unpadded_limit
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Parameter, Parameters, Tensor


def tensor(name: str = "x", shape: tuple[int, ...] = (2, 3), datatype: Datatype = Datatype.FP32) -> Tensor:
    return Tensor(name, datatype, shape, b"\0" * (int(np.prod(shape)) * datatype.itemsize))


def request(*inputs: Tensor, parameters: Parameters | None = None, outputs: tuple[str, ...] = ()) -> InferRequest:
    wanted = tuple(RequestedOutput(name) for name in outputs)
    return InferRequest("m", inputs or (tensor(),), parameters=parameters or {}, outputs=wanted)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(request(tensor(shape=(2, 3))), request(tensor(shape=(7, 3))), id="rows"),
        pytest.param(
            request(tensor("a"), tensor("b", (2,))), request(tensor("b", (2,)), tensor("a")), id="order of inputs"
        ),
        pytest.param(request(), request(parameters={"timeout": 5, "priority": 2}), id="what the queue reads"),
        pytest.param(request(), request(parameters={"binary_data_output": True}), id="what the codec reads"),
        pytest.param(
            request(parameters={"a": 1, "b": "x"}), request(parameters={"b": "x", "a": 1}), id="order of parameters"
        ),
    ],
)
def test_together(one: InferRequest, other: InferRequest) -> None:
    """Requests that differ only in this share a batch."""
    assert key_of(one) == key_of(other)
    assert hash(key_of(one)) == hash(key_of(other))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(request(tensor("y")), id="name"),
        pytest.param(request(tensor(datatype=Datatype.FP64)), id="datatype"),
        pytest.param(request(tensor(shape=(2, 4))), id="dimension"),
        pytest.param(request(tensor(shape=(2, 3, 1))), id="rank"),
        pytest.param(request(tensor(), tensor("y")), id="one more input"),
        pytest.param(request(outputs=("p",)), id="outputs"),
        pytest.param(request(parameters={"a": 1}), id="parameter"),
    ],
)
def test_apart(other: InferRequest) -> None:
    """Requests that differ in this never share a batch."""
    assert key_of(request()) != key_of(other)


def test_parameters_that_are_equal_in_python_only() -> None:
    """1, 1.0, True, "1", 0.0 and -0.0 are different things to a model."""
    values: list[Parameter] = [1, 1.0, True, "1", 0, 0.0, -0.0, False]
    assert len({key_of(request(parameters={"a": value})) for value in values}) == len(values)


def test_a_parameter_that_is_no_number_is_equal_to_itself() -> None:
    """Requests with NaN share a bucket, instead of each making a new one."""
    assert key_of(request(parameters={"a": float("nan")})) == key_of(request(parameters={"a": float("nan")}))


def test_padded_dimensions_share_a_bucket() -> None:
    """Sequences of 5 and 7 both become 8 long; one of 17 is longer than the largest size and stays by itself."""
    dimensions = (PaddedDimension("x", 1, (4, 8, 16)),)
    keys = [key_of(request(tensor(shape=(1, length))), dimensions) for length in (5, 7, 8, 9, 17)]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(("size", "padded"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 9)])
def test_padded_size(size: int, padded: int) -> None:
    """The next allowed size; beyond the largest its own."""
    assert padded_size(size, (4, 8)) == padded


@pytest.mark.parametrize(("limit", "rows"), [(0, 0), (3, 3), (4, 4), (7, 4), (8, 8), (100, 8)])
def test_unpadded_limit(limit: int, rows: int) -> None:
    """The largest allowed size that is within the limit."""
    assert unpadded_limit(limit, (4, 8)) == rows


def test_item_shape_pads_only_what_it_names() -> None:
    """Another input, and an axis that a tensor does not have, are left as they are."""
    dimensions = (PaddedDimension("x", 2, (10,)), PaddedDimension("y", 1, (10,)))
    assert item_shape("x", (5, 3, 4), dimensions) == (3, 10)
    assert item_shape("x", (5, 3), dimensions) == (3,)
    assert item_shape("z", (5, 3, 4), dimensions) == (3, 4)
