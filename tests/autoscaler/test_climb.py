"""A rise of minutes, looked at each second, seldom, and not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.arrivals import add_arrivals, begin_arrivals
from tidegate.autoscaler.climb import REMEMBERED, Climb, add_climb, begin_climb

ADVANCES = st.lists(st.tuples(st.floats(0.0, 900.0), st.integers(0, 10_000)), min_size=1, max_size=40)


def climbed(looks: Sequence[tuple[float, float]]) -> Climb:
    """After looks, each so many seconds after the one before and with so many arrivals."""
    arrivals, known, now = begin_arrivals(0.0), begin_climb(0.0), 0.0
    for elapsed, count in looks:
        now += elapsed
        arrivals = add_arrivals(arrivals, count, now)
        known = add_climb(known, arrivals)
    return known


def ramp(seconds: int, growth: float) -> list[tuple[float, float]]:
    """Looks each second at a rate that begins at 10."""
    return [(1.0, 10.0 + growth * (second + 0.5)) for second in range(seconds)]


def test_a_ramp_is_read_at_the_end_of_a_start() -> None:
    """On a straight line the rate ahead is that of the line."""
    known = climbed(ramp(300, 0.1))
    assert known.growth == pytest.approx(0.1)
    assert known.ahead(0.0) == pytest.approx(10.0 + 30.0)
    assert known.ahead(100.0) == pytest.approx(10.0 + 40.0)


def test_a_ramp_within_the_noise_of_a_minute_is_seen_in_five() -> None:
    """Counts that vary by 10 each second around a growth of 0.1."""
    noisy = [(1.0, count + (10.0 if second % 2 else -10.0)) for second, (_, count) in enumerate(ramp(300, 0.1))]
    assert climbed(noisy).growth == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    "counts",
    [[5.0] * 300, [300.0 - second for second in range(300)], [float(second) for second in range(110)]],
    ids=["level", "falling", "too short"],
)
def test_nothing_ahead_without_evidence(counts: list[float]) -> None:
    """Where nothing surely grows for two minutes there is nothing to go on."""
    assert climbed([(1.0, count) for count in counts]).ahead(100.0) == 0.0


def test_bursts_are_no_climb() -> None:
    """A minute at 100 and a minute at 0, the last one at 100: the line rises, and the rest around it is too wide."""
    assert climbed([(1.0, 100.0 if second // 60 % 2 == 0 else 0.0) for second in range(300)]).growth == 0.0


def test_a_minute_that_nobody_looked_at_is_even() -> None:
    """Its arrivals are spread, and a ramp stays a ramp."""
    looks = ramp(240, 0.1)
    blind = sum(count for _, count in looks[100:200])
    known = climbed([*looks[:100], (100.0, blind), *looks[200:]])
    assert known.growth == pytest.approx(0.1, rel=0.3)
    assert known.marks[-1] - known.marks[0] == pytest.approx(sum(count for _, count in looks))


def test_a_day_of_absence_leaves_nothing_of_before() -> None:
    """Whatever rose before, an empty day ends it."""
    known = climbed([*ramp(300, 1.0), (86_400.0, 0.0), (1.0, 0.0)])
    assert known.growth == 0.0
    assert known.end == 86_700.0


@given(ADVANCES)
def test_counts_are_never_negative_and_bounded(advances: list[tuple[float, int]]) -> None:
    """Whenever one looks, marks grow, there are 31 at most, and the newest is not older than ten seconds.

    Nor is it ahead, but for the millionth of a second by which a look may come before the end of its second.
    """
    known = climbed([(elapsed, float(count)) for elapsed, count in advances])
    assert all(later >= earlier - 1e-6 for earlier, later in zip(known.marks, known.marks[1:], strict=False))
    assert len(known.marks) <= REMEMBERED + 1
    assert -1e-5 <= sum(elapsed for elapsed, _ in advances) - known.end < 10.0 + 1e-5
