"""Server-sent events, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.client.events import EventReader
from tidegate.protocol.errors import InvalidResponse

STREAM = (
    b': a comment\ndata: {"a": 1}\n\nevent: x\r\nid: 7\r\ndata:two\r\ndata: lines\r\n\r\n\n'
    b"\ndata\rdata: x\r\rdata: unfinished"
)
EVENTS = [b'{"a": 1}', b"two\nlines", b"\nx"]


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_events_come_whole(cuts: list[int]) -> None:
    """By any ends of lines, without comments and other fields; what has not ended when the stream does is none."""
    reader = EventReader(1000)
    places = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[start:end] for start, end in pairwise(places)]
    assert [event for part in parts for event in reader.feed(part)] == EVENTS


@pytest.mark.parametrize("event", [b"data: " + bytes(200), b"data: 1\n" * 200, bytes(50) + b":" + bytes(200)])
def test_an_event_has_its_bound(event: bytes) -> None:
    """However it is made; many small ones have none."""
    reader = EventReader(100)
    assert len(list(reader.feed(b"data: 1\n\n" * 1000))) == 1000
    with pytest.raises(InvalidResponse, match="an event has more than 100 bytes"):
        list(reader.feed(event))
