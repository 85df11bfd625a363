"""Durations in classes that are each 5 % wider than the one below: enough to tell a fifth more from chance.

A quantile that is read off it is within half a class, so within 2.5 %, of the right one, whatever the distribution
(the idea of DDSketch, Masson et al., VLDB 2019, with fixed bounds instead of a growing map). For decisions half a class
is too much: they take the bounds of classes, and count only what is certain.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import ceil, inf, log, sqrt
from operator import lt, sub

Counts = tuple[int, ...]
"""How many fell into each class of a ``Histogram``; () for none at all."""

LEAST = 1e-5
"""Seconds; what is shorter is in the first class."""
GROWTH = 1.05
CLASSES = 360
"""The last one begins at 385 seconds, and holds all that is longer."""

BOUNDS = (0.0, *(LEAST * GROWTH**number for number in range(CLASSES - 1)), inf)
"""Seconds; class k holds durations from BOUNDS[k] to BOUNDS[k + 1]."""
_ROUNDING = 1e-9
"""Of a bound, relatively: ``add`` finds classes by logarithms, which are right but for this."""

_PER_LOG = 1.0 / log(GROWTH)
_FIRST = log(LEAST)


class Histogram:
    """Counts that only grow. One writer; readers take a copy."""

    __slots__ = ("_classes",)

    def __init__(self) -> None:
        self._classes = [0] * CLASSES

    def add(self, seconds: float) -> None:
        """Count one duration."""
        place = int((log(seconds) - _FIRST) * _PER_LOG) + 1 if seconds > LEAST else 0
        self._classes[place if place < CLASSES else CLASSES - 1] += 1

    def counts(self) -> Counts:
        """How many are in each class by now."""
        return tuple(self._classes)


def rank(of: int, share: float) -> int:
    """Which of so many in ascending order, from 1, a new one of the same kind exceeds with at most ``1 - share``.

    For the k-th smallest that probability is (of + 1 - k) / (of + 1), whatever the distribution; ties make it smaller.
    Of few there is none: the result is then larger than ``of``.
    """
    return max(1, ceil((of + 1) * share - _ROUNDING))


def class_of(counts: Counts, number: int) -> int:
    """The class in which the number-th smallest is, from 1; ``counts`` has as many."""
    return bisect_left(list(accumulate(counts)), number)


def quantile(counts: Counts, share: float) -> float | None:
    """Seconds that this share took at most: the middle of its class. None if there are none at all.

    Within 2.5 % of the right one, but in the first and the last class, whose other bound stands for it.
    """
    of = sum(counts)
    if of == 0:
        return None
    place = class_of(counts, min(max(1, ceil(of * share - _ROUNDING)), of))
    if place == 0:
        return LEAST
    return BOUNDS[place] if place == CLASSES - 1 else sqrt(BOUNDS[place] * BOUNDS[place + 1])


def above(counts: Counts, seconds: float) -> int:
    """How many certainly took at least so long: those of classes that begin there or later."""
    return sum(counts[bisect_left(BOUNDS, seconds * (1.0 - _ROUNDING)) :])


def fell(now: Counts, before: Counts) -> bool:
    """Whether some class has fewer now: its counting has begun anew."""
    return now is not before and (len(now) < len(before) or any(map(lt, now, before)))


def difference(now: Counts, before: Counts) -> Counts:
    """What came in between, where nothing ``fell``."""
    return tuple(map(sub, now, before)) if before else now
