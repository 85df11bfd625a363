"""From what a person types to tensors of the model's datatype and shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import shape_of_flat, typed_inputs, typed_parameters
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec


def model(*specs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("m", "test_test", specs, ())


def one(datatype: Datatype, *shape: int) -> ModelMetadata:
    return model(TensorSpec("x", datatype, shape or (-1, 2)))


@pytest.mark.parametrize(
    ("count", "shape", "meant"),
    [
        pytest.param(4, (-1, 4), (1, 4), id="one-row"),
        pytest.param(8, (-1, 4), (2, 4), id="two-rows"),
        pytest.param(3, (-1,), (3,), id="a-vector"),
        pytest.param(3, (-1, -1), (1, 3), id="free-sizes-are-one-row"),
        pytest.param(12, (-1, 2, 3), (2, 2, 3), id="three-dimensions"),
        pytest.param(1, (), (), id="scalar"),
        pytest.param(5, (-1, 4), (5,), id="does-not-divide"),
        pytest.param(8, (1, 4), (8,), id="too-many-for-a-fixed-shape"),
        pytest.param(0, (-1, 4), (0, 4), id="nothing"),
        pytest.param(3, (-1, 0), (3,), id="no-room"),
    ],
)
def test_values_without_brackets_take_the_model_s_shape(
    count: int, shape: tuple[int, ...], meant: tuple[int, ...]
) -> None:
    """Free sizes become one row; what cannot fit stays flat, for the server to refuse with its own words."""
    assert shape_of_flat(count, shape) == meant


@pytest.mark.parametrize(
    ("datatype", "typed", "values"),
    [
        pytest.param(Datatype.FP32, "x=1,2.5", [[1.0, 2.5]], id="floats"),
        pytest.param(Datatype.FP64, "x=[[1, 2], [3, 4]]", [[1.0, 2.0], [3.0, 4.0]], id="nested"),
        pytest.param(Datatype.INT64, "x=-9223372036854775808,9223372036854775807", [[-(2**63), 2**63 - 1]], id="int64"),
        pytest.param(Datatype.UINT64, "x=0,18446744073709551615", [[0, 2**64 - 1]], id="uint64"),
        pytest.param(Datatype.BOOL, "x=true,0", [[True, False]], id="bool"),
        pytest.param(Datatype.BYTES, "x=a b,c", [[b"a b", b"c"]], id="text"),
        pytest.param(Datatype.BYTES, 'x=[["a,b","ü"]]', [[b"a,b", "ü".encode()]], id="text-in-json"),
        pytest.param(Datatype.FP16, "x=0.5,2", [[0.5, 2.0]], id="half"),
        pytest.param(Datatype.BF16, "x=0.5,2", [[0.5, 2.0]], id="bfloat"),
        pytest.param(Datatype.FP32, "1,2", [[1.0, 2.0]], id="the-only-input-needs-no-name"),
    ],
)
def test_values_get_the_datatype_of_the_input(datatype: Datatype, typed: str, values: list[list[object]]) -> None:
    """The datatype comes from the model's signature, not from how the value looks."""
    (tensor,) = typed_inputs([typed], one(datatype))
    assert (tensor.name, tensor.datatype) == ("x", datatype)
    assert tensor.numpy().tolist() == values


@pytest.mark.parametrize(
    ("datatype", "typed", "cause"),
    [
        pytest.param(Datatype.INT32, "x=1.5,2", "input 'x': '1.5' is no INT32", id="fraction"),
        pytest.param(Datatype.INT32, "x=[1.5, 2]", "input 'x': 1.5 is no INT32", id="fraction-in-json"),
        pytest.param(Datatype.UINT8, "x=1,300", "input 'x': 300 is outside UINT8 (0 to 255)", id="too-large"),
        pytest.param(Datatype.UINT8, "x=-1,2", "input 'x': -1 is outside UINT8 (0 to 255)", id="negative"),
        pytest.param(Datatype.FP32, "x=1e300,1", "input 'x': a value is too large for FP32", id="overflow"),
        pytest.param(Datatype.FP32, "x=one,2", "input 'x': 'one' is no FP32", id="a-word"),
        pytest.param(Datatype.FP32, 'x=["one", "two"]', "input 'x': 'one' is no FP32", id="words-in-json"),
        pytest.param(Datatype.BOOL, "x=maybe,0", "input 'x': 'maybe' is no BOOL", id="no-truth"),
        pytest.param(Datatype.BYTES, "x=[[1, 2]]", "input 'x': 1 is no text", id="number-for-text"),
        pytest.param(Datatype.FP32, "x=[[1, 2], [3]]", "input 'x': its rows differ in length", id="ragged"),
        pytest.param(
            Datatype.FP32,
            "x=[[1, 2]",
            "input 'x' is not JSON: Expecting ',' delimiter: line 1 column 8 (char 7)",
            id="broken-json",
        ),
        pytest.param(Datatype.FP32, "y=1,2", "model 'm' has no input 'y'", id="unknown-name"),
        pytest.param(
            Datatype.FP32, "x=@none.npy", "input 'x': none.npy cannot be read: No such file or directory", id="no-file"
        ),
        pytest.param(
            Datatype.FP32,
            "x=@none.png",
            "input 'x': none.png is neither .npy nor .json, and the input is FP32",
            id="picture-for-numbers",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused(datatype: Datatype, typed: str, cause: str) -> None:
    """Nothing is rounded to an integer, wrapped or cut; the sentence names input, value and datatype."""
    with pytest.raises(Failure) as caught:
        typed_inputs([typed], one(datatype))
    assert caught.value.cause == cause


def test_a_value_without_name_needs_a_model_with_one_input() -> None:
    """Which of several inputs is meant is not guessed."""
    several = model(TensorSpec("a", Datatype.FP32, (-1,)), TensorSpec("b", Datatype.FP32, (-1,)))
    with pytest.raises(Failure, match="'1,2' names no input; model 'm' has a, b"):
        typed_inputs(["1,2"], several)


def test_a_npy_file_keeps_its_shape_and_is_converted(tmp_path: Path) -> None:
    """float64 of numpy's default becomes the model's FP32."""
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(3, 2))
    (tensor,) = typed_inputs([f"x=@{tmp_path / 'a.npy'}"], one(Datatype.FP32))
    assert (tensor.shape, tensor.datatype) == ((3, 2), Datatype.FP32)
    assert tensor.numpy().tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_pickled_npy_file_is_refused(tmp_path: Path) -> None:
    """An array of objects is a pickle, and reading one could run code."""
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(Failure, match="Object arrays cannot be loaded when allow_pickle=False"):
        typed_inputs([f"x=@{tmp_path / 'a.npy'}"], one(Datatype.FP32))


def test_an_empty_npy_file_is_refused(tmp_path: Path) -> None:
    """numpy raises EOFError there, which is neither of the usual two."""
    (tmp_path / "a.npy").touch()
    with pytest.raises(Failure, match=r"a\.npy cannot be read: No data left in file"):
        typed_inputs([f"x=@{tmp_path / 'a.npy'}"], one(Datatype.FP32))


def test_a_bytes_input_takes_any_file_whole(tmp_path: Path) -> None:
    """A picture is one element, and gets the model's rank."""
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\x00")
    (tensor,) = typed_inputs([f"x=@{tmp_path / 'cat.jpg'}"], one(Datatype.BYTES, -1, 1))
    assert tensor.numpy().tolist() == [[b"\xff\xd8\x00"]]


def test_parameters_are_typed_by_how_they_look() -> None:
    """true and numbers are themselves; anything else, JSON objects too, is text."""
    given = ["a=1", "b=0.5", "c=true", "d=word", "e=", "f=x=y", 'g={"h": 1}']
    assert typed_parameters(given) == {
        "a": 1, "b": 0.5, "c": True, "d": "word", "e": "", "f": "x=y", "g": '{"h": 1}',
    }  # fmt: skip


def test_a_parameter_needs_a_key() -> None:
    """The usage is told."""
    with pytest.raises(Failure, match="'word' is no parameter"):
        typed_parameters(["word"])
