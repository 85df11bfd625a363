"""How long replicas take until they are ready, and from when on one is overdue."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.start_time import (
    ENOUGH,
    FEW,
    REMEMBERED,
    StartTime,
    add_starts,
    overdue_after,
    quantiles_of,
    start_of,
)


def test_three_starts_outweigh_the_guess() -> None:
    """Of a guess that is 30 % wrong about 12 % is left after three starts."""
    known = add_starts(StartTime(), (10.0, 10.0, 10.0))
    assert start_of(StartTime(), 13.0) == 13.0
    assert start_of(known, 13.0) == pytest.approx(11.2, abs=0.1)
    assert start_of(add_starts(known, (10.0,) * 30), 13.0) == pytest.approx(10.0, abs=0.35)


def test_starts_have_quantiles() -> None:
    """By nearest rank, of the last 50."""
    assert quantiles_of(StartTime()) is None
    assert quantiles_of(add_starts(StartTime(), (4.0,))) == (4.0, 4.0)
    hundred = add_starts(StartTime(), tuple(float(number) for number in range(100)))
    assert quantiles_of(hundred) == (74.0, 97.0)
    assert hundred.last == tuple(float(number) for number in range(100 - REMEMBERED, 100))


@given(st.lists(st.floats(-1e3, 1e6), max_size=120), st.floats(0.01, 300.0), st.integers(1, 7))
def test_starts_may_be_any(seen: list[float], first: float, at_once: int) -> None:
    """Quantiles are of what was seen and in order, however many came at once; nothing is overdue before its time."""
    known = StartTime()
    for place in range(0, len(seen), at_once):
        known = add_starts(known, tuple(seen[place : place + at_once]))
    assert len(known.last) == min(len(seen), REMEMBERED)
    half, high = quantiles_of(known) or (0.0, 0.0)
    assert min(known.last, default=0.0) <= half <= high <= max(known.last, default=0.0)
    overdue = overdue_after(known, first)
    assert overdue > high
    assert overdue >= FEW * start_of(known, first) or len(known.last) >= ENOUGH


def test_a_start_is_overdue_by_what_is_known_of_others() -> None:
    """Three times the mean while that is a guess; then half as much again as the 95th percentile, or two looks more."""
    assert overdue_after(StartTime(), 10.0) == 30.0
    few = add_starts(StartTime(), (10.0,) * (ENOUGH - 1))
    assert overdue_after(few, 10.0) == pytest.approx(30.0)
    assert overdue_after(add_starts(few, (10.0,)), 10.0) == 15.0
    assert overdue_after(add_starts(StartTime(), (0.5,) * ENOUGH), 10.0) == 2.5
    assert overdue_after(add_starts(StartTime(), (2.0, 90.0)), 10.0) == 135.0  # a slow one is not forgotten at once


def test_what_was_kept_before_quantiles_is_read() -> None:
    """A mean without them."""
    assert msgspec.convert({"seconds": 30.0, "starts": 3.0}, StartTime) == StartTime(30.0, 3.0)
