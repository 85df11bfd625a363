"""How long a replica takes from its order until it is ready: a mean that forgets 5 % with each start.

The first guess counts for two starts and is not forgotten: of a guess that is 30 % wrong 12 % is left after three.
"""

from __future__ import annotations

import msgspec

FORGET = 0.95
WORTH = 2.0
"""Starts that the first guess counts for."""


class StartTime(msgspec.Struct, frozen=True):
    """Sums over starts, the newest with weight 1."""

    seconds: float = 0.0
    starts: float = 0.0


def add_starts(known: StartTime, seconds: tuple[float, ...]) -> StartTime:
    """With replicas that became ready, each so many seconds after its order."""
    total, starts = known.seconds, known.starts
    for each in seconds:
        total = total * FORGET + max(each, 0.0)
        starts = starts * FORGET + 1.0
    return StartTime(total, starts)


def start_of(known: StartTime, first: float) -> float:
    """Seconds that a start takes."""
    return (WORTH * first + known.seconds) / (WORTH + known.starts)
