from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol.datatypes import Datatype, narrow_bf16, widen_bf16

SIZES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8, "BYTES": 0,
}  # fmt: skip


def test_sizes_are_those_of_the_protocol() -> None:
    """Every datatype of the protocol is known, with its size in bytes."""
    assert {kind.value: kind.itemsize for kind in Datatype} == SIZES


def test_kinds() -> None:
    """Floats, integers and those without a JSON form are told apart."""
    assert [kind for kind in Datatype if kind.is_float] == [Datatype.FP16, Datatype.BF16, Datatype.FP32, Datatype.FP64]
    assert [kind.value for kind in Datatype if kind.is_integer] == [
        "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    ]  # fmt: skip
    assert [kind for kind in Datatype if kind.raw_only] == [Datatype.FP16, Datatype.BF16]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        pytest.param(np.float32, Datatype.FP32, id="float32"),
        pytest.param(">f8", Datatype.FP64, id="big-endian"),
        pytest.param(np.bool_, Datatype.BOOL, id="bool"),
        pytest.param(np.int64, Datatype.INT64, id="int64"),
        pytest.param(">u2", Datatype.UINT16, id="uint16-is-never-bf16"),
        pytest.param(object, Datatype.BYTES, id="object"),
        pytest.param("S5", Datatype.BYTES, id="bytes"),
        pytest.param("U5", Datatype.BYTES, id="text"),
    ],
)
def test_of_numpy(dtype: object, expected: Datatype) -> None:
    """numpy's types have a datatype in either byte order, and text is BYTES."""
    assert Datatype.of(dtype) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [pytest.param(np.complex64, id="complex"), pytest.param("M8[s]", id="datetime")])
def test_of_numpy_refuses_what_the_protocol_lacks(dtype: object) -> None:
    """A type without a counterpart is refused by its name."""
    with pytest.raises(TypeError, match=r"^numpy type .* has no datatype in the protocol$"):
        Datatype.of(dtype)  # type: ignore[arg-type]


def test_bf16_widens_exactly() -> None:
    """All 65,536 bit patterns widen to the float32 that ml_dtypes makes of them, NaNs bit for bit included."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    expected = bits.view(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(widen_bf16(bits).view(np.uint32) & 0xFFBFFFFF, expected.view(np.uint32) & 0xFFBFFFFF)


def test_bf16_narrows_back_what_it_widened() -> None:
    """Widening and narrowing is the identity for every pattern that is not a signalling NaN."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    back = narrow_bf16(widen_bf16(bits))
    signalling = ((bits & 0x7F80) == 0x7F80) & ((bits & 0x7F) != 0) & ((bits & 0x40) == 0)
    assert np.array_equal(back[~signalling], bits[~signalling])
    assert np.array_equal(back[signalling], bits[signalling] | 0x40)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=16))
def test_bf16_rounds_to_nearest_even(bits: list[int]) -> None:
    """Any float32 is rounded as ml_dtypes rounds it; a NaN stays one, with its sign."""
    values = np.array(bits, dtype=np.uint32).view(np.float32)
    ours = narrow_bf16(values)
    with np.errstate(all="ignore"):
        theirs = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    nan = np.isnan(values)
    assert np.array_equal(ours[~nan], theirs[~nan])
    assert np.isnan(widen_bf16(ours[nan])).all()
    assert np.array_equal(ours[nan] >> 15, (values.view(np.uint32)[nan] >> 31).astype(np.uint16))
