"""CSV lines as a model's inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.cli.failure import Failure
from tidegate.cli.rows import read_rows, rows_to_tensors
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec

MATRIX = ModelMetadata("m", "t_t", (TensorSpec("x", Datatype.FP32, (-1, 2)),), ())
VECTOR = ModelMetadata("m", "t_t", (TensorSpec("text", Datatype.BYTES, (-1,)),), ())
COLUMNS = ModelMetadata(
    "m",
    "t_t",
    (TensorSpec("age", Datatype.INT64, (-1, 1)), TensorSpec("city", Datatype.BYTES, (-1,))),
    (),
)


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        pytest.param(["1,2", "3,4"], [[1, 2], [3, 4]], id="numbers-only"),
        pytest.param(["a,b", "1,2"], [[1, 2]], id="header"),
        pytest.param(["a,b", "", "1, 2", ""], [[1, 2]], id="blank-lines-and-spaces"),
        pytest.param(['"1","2"'], [[1, 2]], id="quotes"),
        pytest.param(["1e3,-inf"], [[1000, float("-inf")]], id="any-float"),
    ],
)
def test_a_model_with_one_input_takes_the_columns_in_order(lines: list[str], rows: list[list[float]]) -> None:
    """The first line is a header unless every cell of it is a number."""
    (tensor,) = rows_to_tensors(lines, MATRIX)
    assert (tensor.name, tensor.datatype) == ("x", Datatype.FP32)
    assert tensor.numpy().tolist() == rows


def test_a_vector_takes_the_only_column() -> None:
    """A model of one text per row."""
    (tensor,) = rows_to_tensors(["review", '"good, very"', "bad"], VECTOR)
    assert tensor.numpy().tolist() == [b"good, very", b"bad"]


def test_a_model_with_several_inputs_takes_each_from_its_column() -> None:
    """By name, in any order, with the input's datatype and rank; other columns are passed over."""
    age, city = rows_to_tensors(["id,city,age", "1,Köln,30", "2,Oslo,40"], COLUMNS)
    assert (age.name, age.numpy().tolist()) == ("age", [[30], [40]])
    assert (city.name, city.numpy().tolist()) == ("city", ["Köln".encode(), b"Oslo"])


@pytest.mark.parametrize(
    ("lines", "metadata", "cause"),
    [
        pytest.param([], MATRIX, "the CSV has no rows", id="empty"),
        pytest.param(["a,b"], MATRIX, "the CSV has no rows", id="header-only"),
        pytest.param(["1,2", "3"], MATRIX, "line 2 of the CSV has 1 cells where the first has 2", id="short-line"),
        pytest.param(["1,2", "3,x"], MATRIX, "line 2 of the CSV: input 'x': 'x' is no FP32", id="word"),
        pytest.param(["1,2,3"], MATRIX, "the CSV has 3 columns, which do not fit input 'x' FP32 [-1, 2]", id="width"),
        pytest.param(
            ["a,b", "c,d"], VECTOR, "the CSV has 2 columns, which do not fit input 'text' BYTES [-1]", id="vector"
        ),
        pytest.param(["age", "1"], COLUMNS, "the CSV has no column 'city'; its header is age", id="no-column"),
        pytest.param(["1,2"], COLUMNS, "the CSV has no column 'age'; its header is missing", id="no-header"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused(lines: list[str], metadata: ModelMetadata, cause: str) -> None:
    """The line and the input at fault are named."""
    with pytest.raises(Failure) as caught:
        rows_to_tensors(lines, metadata)
    assert caught.value.cause == cause


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As spreadsheets write it."""
    (tmp_path / "a.csv").write_text("1,2\n", encoding="utf-8-sig")
    (tensor,) = read_rows(str(tmp_path / "a.csv"), MATRIX)
    assert tensor.numpy().tolist() == [[1, 2]]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """With its name and without a traceback."""
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Failure, match=r"a\.csv is not UTF-8 text"):
        read_rows(str(tmp_path / "a.csv"), MATRIX)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The operating system's reason stands behind it."""
    with pytest.raises(Failure, match=r"none\.csv cannot be read: No such file or directory"):
        read_rows(str(tmp_path / "none.csv"), MATRIX)
