"""From the arguments of a call to its request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidegate.client.request import make_request
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Tensor
from tidegate.testing.backends import identity_metadata

ROW = np.ones((1, 2))


def made(inputs: Any, **words: Any) -> InferRequest:
    return make_request("m", inputs, limits=DEFAULT_LIMITS, **words)


def test_every_argument_has_its_place() -> None:
    """In the order in which inputs and outputs are given."""
    request = made(
        {"b": ROW, "a": np.array(["t"])},
        outputs=["p", "q"], version="3", parameters={"k": 1}, priority=2, request_id="id",
    )  # fmt: skip
    assert [(tensor.name, tensor.datatype) for tensor in request.inputs] == [("b", "FP64"), ("a", "BYTES")]
    assert request.outputs == (RequestedOutput("p"), RequestedOutput("q"))
    assert (request.model_version, request.id) == ("3", "id")
    assert request.parameters == {"k": 1, "priority": 2}


def test_a_whole_request_keeps_what_is_not_named() -> None:
    """And has what is."""
    own = InferRequest("m", (Tensor.from_numpy("x", ROW),), "1", "own", {"k": 1, "l": 2}, (RequestedOutput("p"),))
    assert made(own) == own
    request = made(own, parameters={"k": 3}, outputs=["q"], version="2")
    assert (request.parameters, request.outputs) == ({"k": 3, "l": 2}, (RequestedOutput("q"),))
    assert (request.model_version, request.id, request.inputs) == ("2", "own", own.inputs)


def test_values_are_converted_only_if_that_is_asked_for() -> None:
    """To the datatypes of the call, else to those of the model's signature."""
    signature = identity_metadata("m", Datatype.FP32, Datatype.INT64)
    inputs = {"fp32": ROW, "int64": ROW}
    assert [tensor.datatype for tensor in made(inputs).inputs] == ["FP64", "FP64"]
    assert [tensor.datatype for tensor in made(inputs, signature=signature).inputs] == ["FP32", "INT64"]
    both = made(inputs, signature=signature, datatypes={"fp32": "BF16"})
    assert [tensor.datatype for tensor in both.inputs] == ["BF16", "INT64"]


@pytest.mark.parametrize(
    ("inputs", "words", "problem"),
    [
        ({"x": ROW}, {"datatypes": {"y": "FP32"}}, "datatypes names input 'y', which the call does not have"),
        ({"x": ROW}, {"datatypes": {"x": "FP8"}}, "datatypes: 'FP8' is not known, expected one of BOOL"),
        ({"x": ROW}, {"outputs": "p"}, "outputs is 'p', expected names in a list"),
        ({"x": ROW}, {"parameters": {"k": [1]}}, "parameters: 'k' is of type list, expected text, a number or a bool"),
        ({"x": ROW}, {"parameters": {"k": 2**64}}, "'k' is 18446744073709551616, which does not fit 64 bits"),
        (InferRequest("other", ()), {}, "the request is for model 'other', the call for 'm'"),
    ],
)
def test_what_makes_no_request_is_refused(inputs: Any, words: dict[str, Any], problem: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequest) as caught:
        made(inputs, **words)
    assert problem in caught.value.message


def test_a_model_has_a_name() -> None:
    """Else the path would be another."""
    with pytest.raises(InvalidRequest, match="the model's name is empty"):
        make_request("", {"x": ROW}, limits=DEFAULT_LIMITS)
