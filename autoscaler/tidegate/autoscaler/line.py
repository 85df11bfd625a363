"""The straight line through counts that lie evenly in time, by least squares, and how sure its slope is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import NamedTuple


class Line(NamedTuple):
    """Of counts, in counts and their number."""

    mean: float
    slope: float
    """By how much a count is above the one before."""
    error: float
    """Standard error of the slope, of the rest around the line."""


def line_through(edges: Sequence[float]) -> Line:
    """The line through the differences of a cumulative count, at least three."""
    size = len(edges) - 1
    counts = [later - earlier for earlier, later in pairwise(edges)]
    middle = (size - 1) / 2
    mean = (edges[-1] - edges[0]) / size
    spread = size * (size * size - 1) / 12
    slope = sum([count * place for place, count in enumerate(counts)]) - middle * mean * size
    slope /= spread
    rest = sum([count * count for count in counts]) - size * mean * mean - slope * slope * spread
    return Line(mean, slope, sqrt(max(rest, 0.0) / (size - 2) / spread))
