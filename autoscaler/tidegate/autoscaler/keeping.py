"""Which replicas are kept although they are not needed, and which are started before they are."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tidegate.autoscaler.gaps import AGES, BUCKETS, KEEP, LEAST, Ring, Rule, bucket_of, longer, place_of, rule_of
from tidegate.autoscaler.levels import Steps
from tidegate.autoscaler.qda_state import Prices


class Absent(msgspec.Struct, frozen=True):
    """A level that is not needed now, and what is known of such."""

    level: int
    """0 for none."""
    age: float
    """Seconds since it was needed."""
    longer: int
    """Known gaps of levels of its size that lasted longer."""
    known: int
    """Known gaps of levels of its size."""


NONE = Absent(0, 0.0, 0, 0)


def kept_and_pre_warmed(
    needed: Steps, gaps: tuple[Ring, ...], prices: Prices, now: float, running: int
) -> tuple[Absent, Absent]:
    """The highest level that it pays to keep, and the highest that it pays to start."""
    kept = pre_warmed = NONE
    for low, level, at, bucket in _ranges(needed):
        age, rule = now - at, _rule(gaps, bucket, prices)
        place = place_of(age)
        if age <= KEEP and rule.keep[place] and low < running:
            kept = _absent(min(level, running), age, gaps[bucket])
        if age >= LEAST and rule.pre_warm[place + 1]:
            pre_warmed = _absent(level, age, gaps[bucket])
    return kept, pre_warmed


def next_change(needed: Steps, gaps: tuple[Ring, ...], prices: Prices, now: float, least: int) -> float | None:
    """When one of the two may change, of a level above ``least``, although nothing arrives."""
    found: float | None = None
    for _, level, at, bucket in _ranges(needed):
        if level <= least:
            continue
        rule = _rule(gaps, bucket, prices)
        place = place_of(now - at)
        said = (rule.keep[place], rule.pre_warm[place + 1])
        for later in range(place + 1, len(AGES)):
            if (rule.keep[later], rule.pre_warm[later + 1]) != said:
                time = at + AGES[later]
                found = time if found is None else min(found, time)
                break
    return found


def _ranges(needed: Steps) -> Iterator[tuple[int, int, float, int]]:
    """(level below, highest level, when it was needed, bucket) of all levels of one step and one bucket, from below."""
    low = 0
    for highest, at in needed:
        while low < highest:
            bucket = bucket_of(low + 1)
            last = min(highest, BUCKETS[bucket]) if bucket < len(BUCKETS) else highest
            yield low, last, at, bucket
            low = last


def _rule(gaps: tuple[Ring, ...], bucket: int, prices: Prices) -> Rule:
    return rule_of(gaps[bucket], prices.rebuy, prices.start)


def _absent(level: int, age: float, ring: Ring) -> Absent:
    return Absent(level, age, longer(ring, age), len(ring))
