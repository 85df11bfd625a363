"""The two bounds that h2 does not have: cheap frames by their number, and big frames by their announced length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.grpc.flood import Flood, FrameSizes


def test_a_burst_is_borne_and_a_flood_is_not() -> None:
    """As many at once as in a second; the bucket fills again with time, and no further."""
    flood = Flood(3, now=10.0)
    assert [flood.exceeded(10.0) for _ in range(4)] == [False, False, False, True]
    flood = Flood(3, now=10.0)
    assert not any(flood.exceeded(10.0 + n / 3) for n in range(30))
    assert [flood.exceeded(100.0) for _ in range(4)] == [False, False, False, True]
    assert repr(flood) == "<Flood -1 of 3 left>"


def test_answers_pay_for_the_frames_that_they_call_for() -> None:
    """Who is sent data may acknowledge it, widen its windows and measure with PINGs, however often."""
    flood = Flood(3, now=10.0)
    for _ in range(100):
        flood.moved()
        assert [flood.exceeded(10.0) for _ in range(3)] == [False, False, False]
    flood.moved()
    assert repr(flood) == "<Flood 3 of 3 left>"


@pytest.mark.parametrize(
    ("frames", "seen"),
    [
        pytest.param([(1, 30), (9, 30), (9, 30)], False, id="as much as allowed"),
        pytest.param([(1, 30), (9, 30), (9, 30), (9, 10)], True, id="too much"),
        pytest.param([(1, 30), (9, 30), (9, 30), (1, 30), (9, 30)], False, id="two blocks"),
        pytest.param([(0, 30)] * 9, False, id="data"),
    ],
)
def test_a_block_of_headers_is_counted_over_its_frames(frames: list[tuple[int, int]], seen: bool) -> None:
    """HEADERS and what continues it are one block, which is held until its last frame."""
    sizes = FrameSizes(0, most=30, most_block=99)
    stream = b"".join(size.to_bytes(3, "big") + bytes([kind]) + bytes(5 + size) for kind, size in frames)
    assert sizes.oversized(memoryview(stream)) is seen


@given(lengths=st.lists(st.integers(0, 40), max_size=6), cuts=st.lists(st.integers(1, 12)))
def test_a_long_frame_is_seen_wherever_the_bytes_are_cut(lengths: list[int], cuts: list[int]) -> None:
    """It is noticed in the piece that completes its head, and nothing else is."""
    stream = b"opening" + b"".join(size.to_bytes(3, "big") + bytes(6 + size) for size in lengths)
    sizes = FrameSizes(len(b"opening"), most=30, most_block=99)
    position, seen = 0, False
    for cut in [*cuts, len(stream) + 1]:
        seen = seen or sizes.oversized(memoryview(stream[position : position + cut]))
        position += cut
    assert seen == any(size > 30 for size in lengths)


@pytest.mark.parametrize(("missing", "seen"), [(1, False), (0, True)])
def test_the_head_is_enough(missing: int, seen: bool) -> None:
    """Nothing of the frame itself has to arrive."""
    head = (31).to_bytes(3, "big") + bytes(6)
    assert FrameSizes(0, most=30, most_block=99).oversized(memoryview(head[: 9 - missing])) is seen
