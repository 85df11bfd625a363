"""Durations in classes: quantiles within 2.5 %, counts that are certain, differences of two looks."""

from __future__ import annotations

import random
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.analysis.histogram import (
    BOUNDS,
    CLASSES,
    LEAST,
    Counts,
    Histogram,
    above,
    class_of,
    difference,
    fell,
    quantile,
    rank,
)

seconds = st.floats(0.0, 1000.0)
inner = st.floats(1.01 * LEAST, 380.0)


def counted(durations: list[float]) -> Counts:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    return histogram.counts()


@given(seconds)
def test_a_duration_is_in_the_class_of_its_bounds(duration: float) -> None:
    """But for rounding at a bound."""
    place = counted([duration]).index(1)
    assert BOUNDS[place] * (1 - 1e-9) <= duration <= BOUNDS[place + 1] * (1 + 1e-9)


@given(st.lists(inner, min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_within_half_a_class(durations: list[float], share: float) -> None:
    """2.5 % of the one of the durations themselves."""
    right = sorted(durations)[max(1, ceil(len(durations) * share - 1e-9)) - 1]
    assert quantile(counted(durations), share) == pytest.approx(right, rel=0.0251)


def test_what_is_outside_is_in_the_first_and_last_class() -> None:
    """No duration is lost, and the bound that there is stands for a quantile."""
    counts = counted([-1.0, 0.0, 1e-9, 1e9])
    assert (counts[0], counts[-1], sum(counts), len(counts)) == (3, 1, 4, CLASSES)
    assert quantile(counts, 0.5) == LEAST
    assert quantile(counts, 1.0) == pytest.approx(385.27, abs=0.01)
    assert quantile((), 0.5) is None


@given(st.lists(seconds), seconds)
def test_what_counts_as_above_is_above(durations: list[float], threshold: float) -> None:
    """Never more than there are, and no fewer than those that are a class beyond."""
    counts = counted(durations)
    assert above(counts, threshold) <= sum(duration >= threshold * (1 - 1e-8) for duration in durations)
    beyond = min(max(threshold, LEAST) * 1.0501, BOUNDS[-2])
    if threshold <= BOUNDS[-2]:
        assert above(counts, threshold) >= sum(duration > beyond * (1 + 1e-8) for duration in durations)


@given(st.lists(seconds), st.lists(seconds))
def test_a_difference_is_what_came(before: list[float], came: list[float]) -> None:
    """Whatever there was before; and the other way round a count has fallen, if anything came."""
    earlier, later = counted(before), counted(before + came)
    assert difference(later, earlier) == counted(came)
    assert difference(later, ()) == later
    assert not fell(later, earlier)
    assert fell(earlier, later) == bool(came)
    assert fell((), later)


def test_the_class_of_a_rank() -> None:
    """From 1, in ascending order."""
    assert [class_of((0, 2, 0, 1), number) for number in (1, 2, 3)] == [1, 1, 3]


@pytest.mark.parametrize(("of", "share"), [(19, 0.95), (100, 0.95), (60, 0.5), (500, 0.99)])
def test_a_new_one_exceeds_the_rank_as_rarely_as_it_should(of: int, share: float) -> None:
    """1 - share at most, within four standard deviations of 5,000 tries with a fixed seed; one rank less is too few."""
    chance, tries, number = random.Random(3), 5000, rank(of, share)
    exceeded = 0
    for _ in range(tries):
        ascending = sorted(chance.random() for _ in range(of))
        exceeded += chance.random() > ascending[number - 1]
    assert abs(exceeded - tries * (of + 1 - number) / (of + 1)) <= 4 * (tries * share * (1 - share)) ** 0.5
    assert (of + 1 - number) / (of + 1) <= 1 - share + 1e-9 < (of + 2 - number) / (of + 1)


def test_few_have_no_such_rank() -> None:
    """Of 18 there is none that a new one exceeds with 5 % only."""
    assert rank(18, 0.95) > 18
    assert rank(19, 0.95) == 19
