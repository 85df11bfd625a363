"""Stored requests: what a document holds, and the first output that is not as it is stored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidegate.analysis.golden import difference, parse
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.messages import InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor

SPEC = TensorSpec("x", Datatype.FP32, (-1, 2))
MODEL = ModelMetadata("iris", "p", (SPEC,), (SPEC,))
REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


def output(**changes: object) -> dict[str, object]:
    return {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1.5], **changes}


def document(*outputs: dict[str, object], **more: object) -> bytes:
    return json.dumps({"request": REQUEST, "response": {"outputs": outputs}, **more}).encode()


def answer(*arrays: tuple[str, npt.NDArray[Any]]) -> InferResponse:
    return InferResponse("iris", tuple(Tensor.from_numpy(name, array) for name, array in arrays))


def floats(*numbers: float) -> npt.NDArray[np.float32]:
    return np.array([numbers], np.float32)


def test_a_document_is_a_request_and_its_response_as_they_go_over_http() -> None:
    """Its own name goes before the file's."""
    stored = parse(document(output(), name="setosa"), "a.json", MODEL)
    assert stored.name == "setosa"
    assert stored.request.model_name == "iris"
    assert stored.request.inputs[0].numpy().tolist() == [[1.0, 2.0]]
    assert stored.response.outputs[0].numpy().tolist() == [[0.5, 1.5]]
    assert parse(document(output()), "a.json", MODEL).name == "a.json"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "a.json is empty, expected JSON"),
        (b"root:x:0:0", "a.json"),
        (b'{"password": "secret"}', "a.json"),
        (b'{"request": {"inputs": 3}, "response": {"outputs": []}}', "a.json: request: "),
        (document(), "a.json: response: has no outputs, expected at least one"),
        (document(output(data=[1])), "a.json: response: .*output 'y'"),
        (document(output(datatype="FP33")), "a.json: response: "),
    ],
)
def test_what_is_no_such_document_is_told_by_its_file(text: bytes, problem: str) -> None:
    """And nothing of what stands in it."""
    with pytest.raises(InvalidRequest, match=problem) as refused:
        parse(text, "a.json", MODEL)
    assert "secret" not in str(refused.value)
    assert "root" not in str(refused.value)


@pytest.mark.parametrize(
    ("got", "told"),
    [
        (answer(("y", floats(0.5, 1.5))), ""),
        (answer(("z", floats(7.0)), ("y", floats(0.5, 1.5))), ""),
        (answer(("y", floats(0.5, 1.25))), "output 'y'[0, 1] is 1.25, expected 1.5"),
        (answer(("z", floats(0.5, 1.5))), "output 'y' is missing"),
        (answer(("y", floats(0.5, 1.5, 2.5))), "output 'y' has the shape [1, 3], expected [1, 2]"),
        (answer(("y", np.array([[0.5, 1.5]]))), "output 'y' is FP64, expected FP32"),
        (answer(("y", floats(0.5, float("nan")))), "output 'y'[0, 1] is nan, expected 1.5"),
    ],
)
def test_the_first_output_that_is_not_as_stored_is_told(got: InferResponse, told: str) -> None:
    """With its place, and both values; outputs that are not stored may be anything."""
    assert difference(parse(document(output()), "a", MODEL), got, 0.0, 0.0) == told


def test_numbers_may_differ_within_the_tolerance() -> None:
    """Relative to the stored one, and absolutely."""
    stored = parse(document(output()), "a", MODEL)
    assert difference(stored, answer(("y", floats(0.505, 1.515))), 0.02, 0.0) == ""
    assert difference(stored, answer(("y", floats(0.505, 1.6))), 0.02, 0.0).startswith("output 'y'[0, 1]")
    assert difference(stored, answer(("y", floats(0.55, 1.55))), 0.0, 0.06) == ""


def test_a_stored_nan_is_expected() -> None:
    """Exactly, and within a tolerance."""
    stored = parse(document(output(data=["NaN", 1.5])), "a", MODEL)
    for tolerance in (0.0, 0.1):
        assert difference(stored, answer(("y", floats(float("nan"), 1.5))), tolerance, 0.0) == ""
        assert difference(stored, answer(("y", floats(0.0, 1.5))), tolerance, 0.0) == (
            "output 'y'[0, 0] is 0, expected nan"
        )


def test_texts_are_compared_as_they_are() -> None:
    """No tolerance makes two of them equal."""
    stored = parse(document(output(datatype="BYTES", shape=[2], data=["a", "rose"])), "a", MODEL)
    texts = InferResponse("iris", (Tensor.from_numpy("y", np.array([b"a", b"lily"], dtype=object)),))
    assert difference(stored, texts, 1.0, 1.0) == "output 'y'[1] is 'lily', expected 'rose'"


def test_integers_beyond_what_floats_tell_apart_differ() -> None:
    """2**53 + 1 is not 2**53."""
    stored = parse(document(output(datatype="INT64", shape=[1], data=[2**53 + 1])), "a", MODEL)
    told = difference(stored, answer(("y", np.array([2**53], np.int64))), 0.0, 0.0)
    assert told == f"output 'y'[0] is {2**53}, expected {2**53 + 1}"
