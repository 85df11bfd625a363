"""Windows over a counter that is looked at when somebody has time."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.arrivals import Arrivals, Forecast, add_arrivals, begin_arrivals, forecast

ADVANCES = st.lists(st.tuples(st.floats(0.0, 200.0), st.integers(0, 10_000)), min_size=1, max_size=30)


def seconds(counts: list[float]) -> Arrivals:
    """Looked at each second."""
    known = begin_arrivals(0.0)
    for second, count in enumerate(counts, 1):
        known = add_arrivals(known, count, float(second))
    return known


@given(ADVANCES)
def test_nothing_is_lost_or_negative(advances: list[tuple[float, int]]) -> None:
    """Whenever one looks, windows hold no less than nothing, no more than all, and more the longer they are."""
    known, now, total = begin_arrivals(0.0), 0.0, 0
    for elapsed, count in advances:
        now, total = now + elapsed, total + count
        known = add_arrivals(known, count, now)
        windows = [known.within(window) for window in (0.5, 1, 2, 3, 5, 10, 20, 40, 60)]
        assert all(window >= -1e-6 for window in windows)
        assert all(longer >= window - 1e-6 for window, longer in pairwise(windows))
        assert windows[-1] <= total + 1e-6
        assert len(known.edges) <= 61


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60))
def test_a_window_is_what_came_in_its_seconds(counts: list[int]) -> None:
    """Looked at each second it is the sum of the last counts."""
    known = seconds([float(count) for count in counts])
    for window in (1, 2, 5, 10, 40):
        assert known.within(window) == pytest.approx(sum(counts[-window:]))


def test_what_came_while_nobody_looked_is_spread() -> None:
    """30 requests in ten seconds are three in each."""
    known = add_arrivals(seconds([0.0] * 20), 30, 30.0)
    assert [known.within(window) for window in (1, 5, 10, 20)] == pytest.approx([3, 15, 30, 30])


def test_looks_need_not_be_on_the_second() -> None:
    """A look a little early or late moves a window by that much."""
    known = begin_arrivals(0.0)
    for second in range(1, 40):
        known = add_arrivals(known, 10, second + (0.2 if second % 2 else -0.2))
    assert known.within(10) == pytest.approx(100, abs=3)
    assert known.within(1) == pytest.approx(10, abs=4.5)


def test_a_look_within_the_second_sees_at_once() -> None:
    """Who wakes a service is not kept waiting for the end of the second."""
    known = add_arrivals(seconds([0.0] * 70), 1, 70.01)
    assert forecast(known, 5.0).rate == pytest.approx(1 / 60)


def test_a_long_absence_leaves_a_minute() -> None:
    """Of ten minutes without a look only the last counts, whatever came before."""
    known = add_arrivals(seconds([50.0] * 60), 600, 660.0)
    assert known.within(60) == pytest.approx(60)
    assert forecast(known, 5.0).slow == pytest.approx(1.0)


def test_a_burst_counts_two_deviations_less() -> None:
    """The scan takes the window in which chance explains least."""
    known = seconds([0.0] * 58 + [40.0, 40.0])
    assert forecast(known, 5.0).fast == pytest.approx((80 - 2 * sqrt(80)) / 2)


def test_chance_is_no_burst() -> None:
    """One request a second has no window above its mean."""
    assert forecast(seconds([1.0] * 60), 5.0).rate == pytest.approx(1.0)


def test_a_slope_leads() -> None:
    """A line that grows is read where a replica would be ready, and never beyond twice what is there."""
    growing = [float(second) for second in range(60)]
    seen = forecast(seconds(growing), 3.0)
    assert seen.slope == pytest.approx(1.0)
    assert seen.rate == pytest.approx(29.5 + 30 + 4)
    assert forecast(seconds(growing), 500.0).rate == pytest.approx(29.5 + 30 + 10)
    steep = forecast(seconds([0.0] * 30 + [second * second for second in range(30)]), 5.0)
    assert steep.rate <= 2 * max(steep.fast, steep.slow)


def test_a_slope_leads_to_twice_what_is_there_at_most() -> None:
    """One a second for half a minute, after nothing: a line through that would be at three times the mean."""
    seen = forecast(seconds([0.0] * 30 + [1.0] * 30), 9.0)
    assert seen.slow + seen.slope * 40 == pytest.approx(1.5, abs=0.02)
    assert seen.fast == pytest.approx((20 - 2 * sqrt(20)) / 20)
    assert seen.rate == 2 * seen.fast


@pytest.mark.parametrize("counts", [[5.0] * 60, [60.0 - second for second in range(60)], [3.0, 5.0] * 14])
def test_no_slope_without_evidence(counts: list[float]) -> None:
    """Level, falling, or too short."""
    assert forecast(seconds(counts), 5.0).slope == 0.0


def test_nothing_is_nothing() -> None:
    """A service without requests has a forecast of none."""
    assert forecast(begin_arrivals(0.0), 5.0) == Forecast(0.0, 0.0, 0.0, 0.0)
    assert forecast(seconds([9.0] + [0.0] * 60), 5.0).rate == 0.0
