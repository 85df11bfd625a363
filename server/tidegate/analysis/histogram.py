"""Durations in classes that are each 5 % wider than the one below: enough to tell a fifth more from chance.

A quantile that is read off it is within half a class, so within 2.5 %, of the right one, whatever the distribution
(the idea of DDSketch, Masson et al., VLDB 2019, with fixed bounds instead of a growing map).
"""

from __future__ import annotations

from math import log

Counts = tuple[int, ...]
"""How many fell into each class of a ``Histogram``; () for none at all."""

LEAST = 1e-5
"""Seconds; what is shorter is in the first class."""
GROWTH = 1.05
CLASSES = 360
"""The last one begins above 400 seconds, and holds all that is longer."""

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
