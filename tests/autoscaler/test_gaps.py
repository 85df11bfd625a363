"""When a replica is kept though it is not needed, and when one is started before it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.gaps import (
    AGES,
    AHEAD,
    KEEP,
    NO_GAPS,
    REMEMBERED,
    THETA,
    Ring,
    Rule,
    add_gap,
    bucket_of,
    longer,
    place_of,
)
from tidegate.autoscaler.keeping import kept_and_pre_warmed
from tidegate.autoscaler.levels import Steps, gaps_ended, highest_since, last_seen, seen
from tidegate.autoscaler.qda_state import Prices

RINGS = st.lists(st.floats(30.0, 5000.0), max_size=REMEMBERED).map(tuple)
PRICES = st.floats(0.1, 5000.0)


def kept_until(rule: Rule) -> float:
    """The age from which it is not kept any more."""
    return next(age for age, keep in zip(AGES, rule.keep, strict=True) if not keep)


@pytest.mark.parametrize("rebuy", [220.0, 400.0, 700.0])
def test_without_data_it_is_ski_rental(rebuy: float) -> None:
    """Kept for as long as buying it back costs, less 200 s, within a step of the ages; nothing is pre-warmed."""
    rule = Rule((), rebuy, 5.0)
    assert rebuy - THETA <= kept_until(rule) * 1.22
    assert kept_until(rule) <= max((rebuy - THETA) * 1.22, AGES[0])
    assert not any(rule.start)


def test_gaps_that_are_worth_it_are_waited_for() -> None:
    """All gaps 200 s: kept through it if buying back costs 400, else dropped, and started again before it ends."""
    gaps = (200.0,) * 20
    through = [keep for age, keep in zip(AGES, Rule(gaps, 400.0, 5.0).keep, strict=True) if age < 200.0]
    assert all(through)
    cheap = Rule(gaps, 100.0, 5.0)
    assert not cheap.keep[place_of(40.0)]
    assert cheap.start[place_of(150.0)]
    assert not cheap.start[place_of(260.0)]


def test_gaps_longer_than_worth_are_not_waited_for() -> None:
    """All gaps an hour: dropped at once, if it may be bought back for a minute."""
    assert not any(Rule((3500.0,) * 20, 60.0, 5.0).keep[place_of(30.0) : place_of(2500.0)])


def test_few_gaps_pre_warm_nothing() -> None:
    """Five of them are no evidence."""
    assert not any(Rule((200.0,) * 5, 400.0, 5.0).start)
    assert any(Rule((200.0,) * 6, 400.0, 5.0).start)


@given(RINGS, PRICES, st.floats(1.0, 10.0), st.floats(0.1, 100.0))
def test_dearer_is_kept_at_least_as_long(ring: Ring, rebuy: float, factor: float, start: float) -> None:
    """At every age, and pre-warmed at every age."""
    low, high = Rule(ring, rebuy, start), Rule(ring, rebuy * factor, start)
    assert all(more or not less for less, more in zip(low.keep, high.keep, strict=True))
    assert all(more or not less for less, more in zip(low.start, high.start, strict=True))


@given(RINGS, PRICES, st.floats(0.1, 100.0))
def test_nothing_is_kept_for_ever(ring: Ring, rebuy: float, start: float) -> None:
    """15 minutes at most without evidence; and after an hour nothing is."""
    rule = Rule(ring, rebuy, start)
    longest = KEEP if len(ring) < 6 else AHEAD / 1.22
    assert not any(keep for age, keep in zip(AGES, rule.keep, strict=True) if age > longest)
    assert AGES[-1] <= AHEAD
    assert not rule.start[-1]


@given(RINGS, PRICES, st.floats(0.1, 100.0))
def test_what_is_started_is_kept(ring: Ring, rebuy: float, start: float) -> None:
    """At every age at which it would be started if it did not run."""
    rule = Rule(ring, rebuy, start)
    assert all(keep for place, keep in enumerate(rule.keep) if rule.start[place] or rule.start[place + 1])


def test_levels_share_rings_by_size() -> None:
    """Low ones have their own; high ones are many to one."""
    buckets = [bucket_of(level) for level in (1, 2, 3, 4, 5, 6, 8, 9, 12, 13, 18, 19, 28, 29, 50, 51, 5000)]
    assert buckets == [0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]


def test_a_ring_forgets_the_oldest() -> None:
    """And counts those that lasted longer."""
    rings = NO_GAPS
    for gap in range(30, 130):
        rings = add_gap(rings, 4, float(gap))
    assert rings[3] == tuple(float(gap) for gap in range(130 - REMEMBERED, 130))
    assert longer(rings[3], 120.0) == 9
    assert rings[2] == ()


@given(st.lists(st.integers(0, 30), max_size=60))
def test_steps_are_when_each_level_was_seen(levels: list[int]) -> None:
    """Held against a table of all levels."""
    steps: Steps = ()
    table: dict[int, float] = {}
    for now, level in enumerate(levels):
        steps = seen(steps, level, float(now))
        table.update({each: float(now) for each in range(1, level + 1)})
    assert {level: last_seen(steps, level) for level in range(1, 31)} == {
        level: table.get(level) for level in range(1, 31)
    }
    since = len(levels) - 5.0
    assert highest_since(steps, since) == max((level for level, at in table.items() if at > since), default=0)


def test_a_rise_ends_the_gaps_of_what_it_passes() -> None:
    """Of levels that were there before, for longer than half a minute, and are not there now."""
    steps: Steps = ((2, 100.0), (4, 80.0), (6, 50.0))
    rings = gaps_ended(NO_GAPS, steps, 2, 8, 105.0)
    assert [rings[bucket_of(level)] for level in (1, 2, 3)] == [(), (), ()]
    assert rings[bucket_of(4)] == (55.0,)  # of 5 alone: 4 was away for 25 s
    assert rings[bucket_of(6)] == (55.0,)  # of 6 alone: 7 and 8 were never there
    assert gaps_ended(NO_GAPS, steps, 6, 8, 105.0) == NO_GAPS


def test_a_gap_in_the_metrics_is_none_of_demand() -> None:
    """A level that was there at the last look has none, however long ago that was."""
    assert gaps_ended(NO_GAPS, ((5, 10.0),), 5, 5, 100.0) == NO_GAPS


@pytest.mark.parametrize(("running", "level"), [(3, 0), (4, 4), (9, 9)])
def test_a_level_above_what_runs_says_nothing_of_what_runs(running: int, level: int) -> None:
    """Levels 1 to 3 come back after an hour and are let go; 4 to 9 would be kept, and are as far as they run."""
    gaps = ((3500.0,) * 20,) * 3 + NO_GAPS[3:]
    kept, _ = kept_and_pre_warmed(((3, 60.0), (9, 0.0)), gaps, Prices(400.0, 5.0, 0.0), 120.0, running=running)
    assert kept.level == level
    assert kept.known == 0


def test_what_does_not_run_is_not_kept() -> None:
    """Keeping never starts a replica; pre-warming does."""
    prices = Prices(400.0, 5.0, 0.0)
    kept, pre_warmed = kept_and_pre_warmed(((9, 0.0),), NO_GAPS, prices, 60.0, running=6)
    assert (kept.level, pre_warmed.level) == (6, 0)
    known = (*NO_GAPS[:5], (200.0,) * 8, *NO_GAPS[6:])
    kept, pre_warmed = kept_and_pre_warmed(((9, 0.0),), known, prices, 180.0, running=6)
    assert pre_warmed.level == 9
    assert (pre_warmed.longer, pre_warmed.known) == (8, 8)
