"""Lines of a stream, however it is cut on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.client.lines import LineReader
from tidegate.protocol.errors import InvalidResponse

LINES = st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"-").strip()))


@given(LINES, st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    """Empty ones are left out, and what has no end yet is none."""
    whole = b"".join(line + b"\n" for line in lines) + b"rest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    reader = LineReader(1000)
    assert [line for piece in pieces for line in reader.feed(piece)] == [line for line in lines if line]


def test_a_line_is_bounded() -> None:
    """Also one that has no end, of which nothing would ever be told."""
    reader = LineReader(10)
    assert list(reader.feed(b"0123456789\n01234")) == [b"0123456789"]
    with pytest.raises(InvalidResponse, match="more than 10 bytes"):
        list(reader.feed(b"567890"))
