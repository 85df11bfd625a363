"""The largest of the last numbers, kept so that each costs little: whatever an equal or larger one follows is dropped.

As Knative's ``aggregation/max``. The newest is last, and the largest first.
"""

from __future__ import annotations

Peaks = tuple[tuple[int, int], ...]
"""Pairs of an index, ascending, and a number, descending."""


def put(peaks: Peaks, index: int, value: int, size: int) -> Peaks:
    """With one more; those whose index is ``size`` or more behind are gone. Of one index the largest counts."""
    kept = [peak for peak in peaks if index - peak[0] < size]
    while kept and kept[-1][1] <= value:
        kept.pop()
    if kept and kept[-1][0] == index:
        return tuple(kept)
    return (*kept, (index, value))


def largest(peaks: Peaks) -> int:
    """Of those that are left; there is one after each ``put``."""
    return peaks[0][1]
