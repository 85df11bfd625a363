"""Reading UBJSON as XGBoost writes it, and as a stranger might."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtimes.ubjson import ELIDED, read_ubjson

DOCUMENT = b"{L" + bytes(7) + b"\x01aSi\x02hi" + b"i\x01b[#i\x02i\xffT" + b"i\x01c[$d#U\x02" + bytes(8) + b"i\x01d[ZF]}"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"i\xff", -1),
        (b"U\xff", 255),
        (b"I\x01\x00", 256),
        (b"l\x00\x01\x00\x00", 65536),
        (b"L" + bytes(7) + b"\x05", 5),
        (b"d\x3f\x80\x00\x00", 1.0),
        (b"D\x3f\xf0" + bytes(6), 1.0),
        (b"SU\x03\xe2\x82\xac", "\u20ac"),
        (b"{}", {}),
        (DOCUMENT, {"a": "hi", "b": [-1, True], "c": ELIDED, "d": [None, False]}),
    ],
)
def test_a_document_is_read(data: bytes, value: Any) -> None:
    """Every kind of value; a typed array's numbers are passed over."""
    assert read_ubjson(data) == value


@pytest.mark.parametrize("length", range(len(DOCUMENT)))
def test_a_document_that_is_cut_is_no_document(length: int) -> None:
    """Wherever it is cut, it is noticed."""
    with pytest.raises(ValueError, match="it ends at byte"):
        read_ubjson(DOCUMENT[:length])


@given(st.binary(max_size=64) | st.text("{}[]$#iUIlLdDSTFZ\0\1\x7f", max_size=64).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else than a ValueError comes of any bytes."""
    with suppress(ValueError):
        read_ubjson(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"i\x01i\x01", "2 bytes follow its end"),
        (b"Si\xff", "the length before byte 3 is -1"),
        (b"[$S#i\x01", "has no numeric type and count"),
        (b"{d" + bytes(4), "the length before byte 6 is 0.0"),
        (b"N", "byte 0 is 0x4e, expected the mark of a value"),
    ],
)
def test_what_is_wrong_is_told(data: bytes, reason: str) -> None:
    """The reason names the place."""
    with pytest.raises(ValueError, match=reason):
        read_ubjson(data)
