from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor
from tidegate.protocol.tensors import Tensor, as_bytes, by_name, join_bytes, split_bytes


def test_numpy_is_a_read_only_view() -> None:
    """An array over a tensor shares its memory and cannot change it."""
    tensor = Tensor("x", Datatype.INT32, (2, 2), np.arange(4, dtype="<i4").tobytes())
    array = tensor.numpy()
    assert array.tolist() == [[0, 1], [2, 3]]
    assert np.shares_memory(array, np.frombuffer(tensor.data, dtype=np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_a_writable_buffer_is_shown_read_only() -> None:
    """The view is read-only even where the memory is not: it may belong to a replica's slot."""
    assert not Tensor("x", Datatype.UINT8, (2,), bytearray(b"ab")).numpy().flags.writeable


def test_bf16_is_shown_as_float32() -> None:
    """BF16 becomes float32, and float32 becomes BF16 where the caller says so."""
    tensor = Tensor.from_numpy("x", np.array([1.0, -2.5], dtype=np.float32), Datatype.BF16)
    assert bytes(tensor.data) == b"\x80\x3f\x20\xc0"
    assert tensor.numpy().dtype == np.float32
    assert tensor.numpy().tolist() == [1.0, -2.5]


def test_bytes_are_shown_as_objects() -> None:
    """BYTES become an object array of bytes; trailing zeros, which numpy's own bytes type drops, stay."""
    array = np.array([[b"a\x00", "é"], [b"", 5]], dtype=object)
    tensor = Tensor.from_numpy("x", array)
    assert tensor.datatype is Datatype.BYTES
    assert tensor.numpy().tolist() == [[b"a\x00", b"\xc3\xa9"], [b"", b"5"]]


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(6, dtype=">i4").reshape(2, 3), id="big-endian"),
        pytest.param(np.arange(12, dtype=np.float64).reshape(3, 4)[:, ::2], id="strided"),
        pytest.param(np.asfortranarray(np.arange(6.0).reshape(2, 3)), id="column-major"),
        pytest.param(np.zeros((2, 0, 3), dtype=np.int8), id="empty"),
        pytest.param(np.array(7, dtype=np.uint64), id="scalar"),
        pytest.param(np.array([True, False]), id="bool"),
    ],
)
def test_from_numpy_is_little_endian_and_row_major(array: np.ndarray[Any, Any]) -> None:
    """However an array lies in memory, its tensor has the wire's form and reads back equal."""
    tensor = Tensor.from_numpy("x", array)
    assert tensor.nbytes == array.size * tensor.datatype.itemsize
    assert tensor.shape == array.shape
    assert np.array_equal(tensor.numpy(), array)


def test_from_numpy_copies_only_where_it_must() -> None:
    """A contiguous little-endian array is the tensor's memory."""
    array = np.arange(4, dtype=np.float32)
    assert np.shares_memory(np.frombuffer(Tensor.from_numpy("x", array).data, dtype=np.uint8), array)


def test_from_numpy_refuses_foreign_types() -> None:
    """A complex array has no datatype."""
    with pytest.raises(TypeError, match=r"^numpy type complex128 has no datatype in the protocol$"):
        Tensor.from_numpy("x", np.zeros(1, dtype=complex))


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param(b"\xff", b"\xff", id="bytes"),
        pytest.param("é", b"\xc3\xa9", id="text"),
        pytest.param(1.5, b"1.5", id="else"),
    ],
)
def test_as_bytes(item: object, expected: bytes) -> None:
    """Bytes stay, text is UTF-8, anything else is its text."""
    assert as_bytes(item) == expected


@settings(derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=40)))
def test_bytes_round_trip(elements: list[bytes]) -> None:
    """What is joined splits into the same elements."""
    assert split_bytes("x", join_bytes(elements), len(elements)) == elements


@pytest.mark.parametrize(
    ("data", "count", "problem"),
    [
        pytest.param(b"", 1, "BYTES data ends before the length of element 0 of 1", id="empty"),
        pytest.param(b"\1\0\0\0a\1\0", 2, "BYTES data ends before the length of element 1 of 2", id="half-a-length"),
        pytest.param(b"\5\0\0\0ab", 1, "element 0 claims 5 bytes, but only 2 are left", id="short"),
        pytest.param(b"\xff\xff\xff\xff", 1, "element 0 claims 4294967295 bytes, but only 0 are left", id="huge"),
        pytest.param(b"\0\0\0\0z", 1, "1 bytes are left over after its 1 elements", id="left-over"),
    ],
)
def test_split_bytes_refuses(data: bytes, count: int, problem: str) -> None:
    """Lengths that do not lead to the end are refused with the element at fault."""
    with pytest.raises(InvalidTensor, match="^" + re.escape(f"input 'x': {problem}") + "$"):
        split_bytes("x", data, count)


def test_by_name() -> None:
    """Tensors are found by their name."""
    tensor = Tensor("x", Datatype.UINT8, (1,), b"a")
    assert by_name([tensor]) == {"x": tensor}
    assert (tensor.count, tensor.nbytes) == (1, 1)
