"""An answer as a table and as JSON."""

from __future__ import annotations

import io
import json

import numpy as np
from rich.console import Console

from tidegate.cli.show import as_json, show
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferResponse
from tidegate.protocol.tensors import Tensor


def shown(response: InferResponse, output: str) -> str:
    file = io.StringIO()
    show(response, output, Console(file=file, width=200))
    return file.getvalue()


def test_a_table_has_one_line_per_row() -> None:
    """Outputs stand side by side, upper-case headings, no borders."""
    response = InferResponse(
        "m",
        (
            Tensor.from_numpy("label", np.array([2, 0])),
            Tensor.from_numpy("score", np.array([[0.25, 0.75], [1 / 3, 2 / 3]])),
            Tensor.from_numpy("name", np.array(["ü", "b"], dtype=object)),
        ),
    )
    assert [line.split() for line in shown(response, "table").splitlines()] == [
        ["ROW", "LABEL", "SCORE[0]", "SCORE[1]", "NAME"],
        ["0", "2", "0.25", "0.75", "ü"],
        ["1", "0", "0.333333", "0.666667", "b"],
    ]


def test_a_wide_row_is_shortened_in_the_middle() -> None:
    """A hundred probabilities would not be read."""
    response = InferResponse("m", (Tensor.from_numpy("p", np.zeros((1, 100))),))
    heading = shown(response, "table").splitlines()[0].split()
    assert heading == ["ROW", *(f"P[{i}]" for i in range(10)), "…", *(f"P[{i}]" for i in range(90, 100))]


def test_what_has_other_rows_is_described() -> None:
    """An image, or a vector of another length, has no line per row."""
    response = InferResponse(
        "m", (Tensor.from_numpy("a", np.arange(2)), Tensor.from_numpy("image", np.zeros((2, 3, 3), np.float32)))
    )
    assert shown(response, "table").splitlines()[1].split() == ["0", "0", "FP32", "[2,", "3,", "3]"]


def test_no_rows_make_an_empty_table() -> None:
    """A batch of nothing is an answer too."""
    response = InferResponse("m", (Tensor.from_numpy("a", np.zeros((0, 2), np.float32)),))
    assert shown(response, "table").split() == ["ROW", "A"]


def test_json_is_v2_s_response() -> None:
    """Values are nested by their shape; absent fields stay absent."""
    response = InferResponse(
        "m",
        (
            Tensor.from_numpy("p", np.array([[0.5, 1.0]], np.float32)),
            Tensor.from_numpy("h", np.array([0.5], np.float16), Datatype.FP16),
            Tensor.from_numpy("t", np.array([b"a\xff"], dtype=object)),
        ),
        model_version="3",
        id="q",
    )
    assert json.loads(shown(response, "json")) == {
        "model_name": "m",
        "model_version": "3",
        "id": "q",
        "outputs": [
            {"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 1.0]]},
            {"name": "h", "datatype": "FP16", "shape": [1], "data": [0.5]},
            {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["a\\xff"]},
        ],
    }
    assert json.loads(as_json(InferResponse("m", ()))) == {"model_name": "m", "outputs": []}
