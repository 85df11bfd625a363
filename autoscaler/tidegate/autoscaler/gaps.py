"""How long levels of demand stay away before they come back, and whether to wait for that.

A level is a number of replicas; its gaps are the times between being needed. Low levels return often and high ones
rarely, so that levels of about the same size share a ring of gaps and others do not. The survival of a gap that lasts
for ``age`` already is

    S(age) = (2/(1 + age/200) + number of gaps > age) / (2 + number of gaps)

the empirical one, and before there is any a Pareto law worth two gaps. Its hazard 1/(200 + age) makes the rule below
keep a replica for as long as it would cost to buy it back, less 200 s: ski rental, which is never twice as dear as who
knows the future (Karlin, Manasse, Rudolph and Sleator 1988).

A replica that is not needed costs a second each second; one that is missing when its level returns costs ``rebuy``. To
keep it until some age tau pays if (S(age) - S(tau))·rebuy > integral of S from age to tau. With
V(x) = S(x)·rebuy + integral of S up to x that is V(age) > V(tau), so one pass from the oldest age decides for all.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from math import log

BUCKETS = (1, 2, 3, 5, 8, 12, 18, 28, 50)
"""The last level of each bucket but that of all above."""
REMEMBERED = 48
"""Gaps of a bucket."""
LEAST = 30.0
"""Seconds below which a gap is noise."""
WORTH = 2.0
"""Gaps that the first guess counts for."""
THETA = 200.0
"""Seconds; the first guess keeps until rebuy - THETA."""
KEEP = 900.0
"""Seconds for which a replica is kept at most: what a wrong history can cost."""
AHEAD = 3600.0
"""Seconds of absence after which nothing is pre-warmed."""
PRE_WARM_AFTER = 6
"""Gaps that must be known before replicas are started on them."""
AGES = tuple(2.0 * 1.22**step for step in range(38))
"""Ages for which it is decided, up to ``AHEAD``. Between two of them a replica is there if it is to be there at one: it
is kept by the one before, and started by the one after."""

Ring = tuple[float, ...]
NO_GAPS: tuple[Ring, ...] = ((),) * (len(BUCKETS) + 1)


def bucket_of(level: int) -> int:
    """Which ring is that of ``level``: 1, 2, 3, 4-5, 6-8, 9-12, 13-18, 19-28, 29-50, 51 and more."""
    for bucket, last in enumerate(BUCKETS):
        if level <= last:
            return bucket
    return len(BUCKETS)


def add_gap(rings: tuple[Ring, ...], level: int, gap: float) -> tuple[Ring, ...]:
    """With one more gap of ``level``."""
    bucket = bucket_of(level)
    ring = (*rings[bucket], round(gap, 3))[-REMEMBERED:]
    return (*rings[:bucket], ring, *rings[bucket + 1 :])


def longer(ring: Ring, age: float) -> int:
    """How many known gaps lasted longer than ``age``."""
    return sum([gap > age for gap in ring])


class Rule:
    """What holds for levels of one bucket, by the age of their absence. Made of its arguments alone."""

    __slots__ = ("keep", "pre_warm")

    def __init__(self, ring: Ring, rebuy: float, start: float) -> None:
        gaps = sorted(ring)
        sums = [0.0, *accumulate(gaps)]
        weight = WORTH + len(gaps)

        def survival(age: float) -> float:
            return (WORTH / (1.0 + age / THETA) + len(gaps) - bisect_right(gaps, age)) / weight

        def lasted(age: float) -> float:
            ended = bisect_right(gaps, age)
            return (WORTH * THETA * log(1.0 + age / THETA) + sums[ended] + age * (len(gaps) - ended)) / weight

        values = [survival(age) * rebuy + lasted(age) for age in AGES]
        self.keep = _kept(values)
        self.pre_warm = (False,) * (len(AGES) + 1)
        if len(gaps) >= PRE_WARM_AFTER:
            wanted = [survival(age + start) * rebuy + lasted(age) for age in AGES]
            self.pre_warm = _pre_warmed(values, wanted, start)


def _kept(values: list[float]) -> tuple[bool, ...]:
    """At each age, whether a later one up to ``KEEP`` is worth less."""
    kept = [False] * len(AGES)
    least = float("inf")
    for place in range(len(AGES) - 1, -1, -1):
        kept[place] = values[place] > least
        if AGES[place] <= KEEP:
            least = min(least, values[place])
    return tuple(kept)


def _pre_warmed(values: list[float], wanted: list[float], start: float) -> tuple[bool, ...]:
    """At each age, whether one later than that of readiness is worth less."""
    least = [float("inf")] * (len(AGES) + 1)
    for place in range(len(AGES) - 1, -1, -1):
        least[place] = min(least[place + 1], values[place])
    return (*(wanted[place] > least[bisect_right(AGES, age + start)] for place, age in enumerate(AGES)), False)


@lru_cache(maxsize=4096)
def rule_of(ring: Ring, rebuy: float, start: float) -> Rule:
    """The rule for a bucket. It is kept, since rings change rarely and looks come every second."""
    return Rule(ring, rebuy, start)


def place_of(age: float) -> int:
    """The place of ``age`` in ``AGES``: the last that is not above it, at least the first."""
    return max(bisect_right(AGES, age) - 1, 0)
