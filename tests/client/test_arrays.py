"""From arrays to tensors: nothing changes its value unseen."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tidegate.client.arrays import tensor_of
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor
from tidegate.protocol.tensors import Tensor

NUMBERS = [kind for kind in Datatype if kind not in (Datatype.BYTES, Datatype.BF16)]


@pytest.mark.parametrize("kind", NUMBERS)
def test_an_array_has_its_own_datatype(kind: Datatype) -> None:
    """Also with its bytes in the other order, or with gaps."""
    array = np.ones((4, 4), kind.stored)[::2, ::2]
    for given_array in (array, array.astype(kind.stored.newbyteorder(">"))):
        tensor = tensor_of("x", given_array)
        assert (tensor.datatype, tensor.shape) == (kind, (2, 2))
        np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(np.array([["ü", "b"]]), id="str"),
        pytest.param(np.array([["ü".encode(), b"b"]]), id="bytes"),
        pytest.param(np.array([["ü", b"b"]], dtype=object), id="objects"),
        pytest.param([["ü", "b"]], id="a-list"),
    ],
)
def test_texts_are_bytes(texts: Any) -> None:
    """As UTF-8."""
    tensor = tensor_of("x", texts)
    assert (tensor.datatype, tensor.shape) == (Datatype.BYTES, (1, 2))
    assert tensor.numpy().tolist() == [["ü".encode(), b"b"]]


def test_bfloat16_is_taken_as_it_is() -> None:
    """Bit by bit from ml_dtypes; rounded from any other float, if it is asked for."""
    values = np.array([[1.5, -2.0], [3.0e38, np.inf]], ml_dtypes.bfloat16)
    tensor = tensor_of("x", values)
    assert tensor.datatype is Datatype.BF16
    assert bytes(tensor.data) == values.tobytes()
    assert bytes(tensor_of("x", values.astype(np.float64), Datatype.BF16).data) == values.tobytes()
    np.testing.assert_array_equal(tensor_of("x", values, Datatype.FP32).numpy(), values.astype(np.float32))


def test_a_tensor_is_taken_as_it_is() -> None:
    """Whoever has one knows why."""
    tensor = Tensor.from_numpy("x", np.ones(2))
    assert tensor_of("x", tensor, Datatype.FP32) is tensor


@given(
    arrays.arrays(
        st.sampled_from([np.int8, np.uint8, np.int64, np.uint64, np.float16, np.float32, np.float64, np.bool_]),
        arrays.array_shapes(max_dims=2, max_side=4),
    ),
    st.sampled_from(NUMBERS),
)
def test_a_conversion_is_exact_or_refused(array: npt.NDArray[Any], kind: Datatype) -> None:
    """What arrives as an integer is the number that was given; a float is as near as its datatype allows."""
    try:
        converted = tensor_of("x", array, kind).numpy()
    except InvalidTensor:
        finite = np.isfinite(array) if array.dtype.kind == "f" else np.ones(array.shape, bool)
        if kind.is_float:
            assert np.abs(array[finite].astype(np.float64)).max() > np.finfo(kind.stored.name).max
        elif kind.is_integer:
            bounds = np.iinfo(kind.stored.name)
            exact = [int(v) if f and v == np.trunc(v) else None for v, f in zip(array.flat, finite.flat, strict=True)]
            assert any(value is None or not bounds.min <= value <= bounds.max for value in exact)
        else:
            assert array.dtype.kind != "b"
        return
    assert converted.dtype == kind.stored
    if kind.is_float:
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(converted, array.astype(kind.stored))
    else:
        assert [int(value) for value in converted.flat] == [int(value) for value in array.flat]


@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        (np.array([1.5]), Datatype.INT64, "holds 1.5, which is no INT64"),
        (np.array([np.nan]), Datatype.INT64, "holds nan, which is no INT64"),
        (np.array([np.inf]), Datatype.INT64, "holds inf, INT64 holds -9223372036854775808 to 9223372036854775807"),
        (np.array([300]), Datatype.UINT8, "holds 300, UINT8 holds 0 to 255"),
        (np.array([-1]), Datatype.UINT64, "holds -1, UINT64 holds 0 to 18446744073709551615"),
        (np.array([1e300]), Datatype.FP32, "holds 1e+300, which is too large for FP32"),
        (np.array([1]), Datatype.BOOL, "is an array of int64, which is no BOOL"),
        (np.array(["1"]), Datatype.FP32, "is an array of <U1, which is no FP32"),
        (np.array([1.0]), Datatype.BYTES, "is an array of float64, BYTES takes text or bytes"),
        (np.array(["a", None], dtype=object), None, "holds None, BYTES takes text or bytes"),
        (np.array([1j]), None, "numpy type complex128 has no datatype in the protocol; expected numbers"),
        ([[1], [1, 2]], None, "its rows differ in length"),
    ],
)
def test_what_does_not_fit_is_refused(value: Any, kind: Datatype | None, problem: str) -> None:
    """With the input, the value, and what was expected."""
    with pytest.raises(InvalidTensor) as caught:
        tensor_of("x", value, kind)
    assert caught.value.message.startswith(f"input 'x': {problem}")
