"""How long a replica takes from its order until it is ready: a mean that forgets, and quantiles of the last 50 starts.

The mean forgets 5 % with each start. The first guess counts for two starts and is not forgotten: of a guess that is
30 % wrong 12 % is left after three. A replica that takes far longer than starts do is overdue: it makes no progress,
and is not reckoned with until it is there.
"""

from __future__ import annotations

from math import ceil

import msgspec

FORGET = 0.95
WORTH = 2.0
"""Starts that the first guess counts for."""
REMEMBERED = 50
"""Starts that quantiles are of."""
ENOUGH = 20
"""Starts of which the 95th percentile is not the longest."""
_DIGITS = 3
"""Milliseconds, for it is stored."""
FEW = 3.0
"""Times the mean, after which a start is overdue of which little is known: the first guess may be a third too low."""
LONG = 1.5
"""Times the 95th percentile, after which it is."""
LOOKS = 2.0
"""Seconds more than it that are never overdue: two looks."""


class StartTime(msgspec.Struct, frozen=True):
    """Sums over starts, the newest with weight 1."""

    seconds: float = 0.0
    starts: float = 0.0
    last: tuple[float, ...] = ()
    """Seconds of the last starts, the newest last."""


def add_starts(known: StartTime, seconds: tuple[float, ...]) -> StartTime:
    """With replicas that became ready, each so many seconds after its order."""
    total, starts = known.seconds, known.starts
    for each in seconds:
        total = total * FORGET + max(each, 0.0)
        starts = starts * FORGET + 1.0
    last = (*known.last, *(round(max(each, 0.0), _DIGITS) for each in seconds))
    return StartTime(total, starts, last[-REMEMBERED:])


def start_of(known: StartTime, first: float) -> float:
    """Seconds that a start takes."""
    return (WORTH * first + known.seconds) / (WORTH + known.starts)


def quantiles_of(known: StartTime) -> tuple[float, float] | None:
    """Seconds within which half of the last starts were over, and 95 % (nearest rank); None before there was one."""
    if not known.last:
        return None
    ordered, count = sorted(known.last), len(known.last)
    return ordered[ceil(0.5 * count) - 1], ordered[ceil(0.95 * count) - 1]


def overdue_after(known: StartTime, first: float) -> float:
    """Seconds after its order from which a replica that is not ready is not reckoned with."""
    _, high = quantiles_of(known) or (0.0, 0.0)
    late = max(LONG * high, high + LOOKS)
    return late if len(known.last) >= ENOUGH else max(late, FEW * start_of(known, first))
