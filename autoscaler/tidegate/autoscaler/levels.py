"""When each level of demand, a number of replicas, was last there.

Level k is there while at least k replicas are needed, so a lower level was never seen later than a higher one. Hence
steps suffice, (level, time): all levels up to it, and above the step before, were last seen then. Levels go up and
times back. There are as many steps as there were descents that are remembered, at most one for each replica.
"""

from __future__ import annotations

from tidegate.autoscaler.gaps import LEAST, Ring, add_gap

Steps = tuple[tuple[int, float], ...]


def seen(steps: Steps, level: int, now: float) -> Steps:
    """With all levels up to ``level`` seen ``now``."""
    if level <= 0:
        return steps
    return ((level, now), *(step for step in steps if step[0] > level))


def highest_since(steps: Steps, time: float) -> int:
    """The highest level that was seen after ``time``."""
    return max((level for level, at in steps if at > time), default=0)


def last_seen(steps: Steps, level: int) -> float | None:
    """When ``level`` was there last; None where that was never."""
    return next((at for highest, at in steps if level <= highest), None)


def gaps_ended(rings: tuple[Ring, ...], steps: Steps, before: int, level: int, now: float) -> tuple[Ring, ...]:
    """With the gaps of all levels above ``before`` up to ``level``, which are there again ``now``.

    A level that was never there has no gap; one shorter than ``LEAST`` is none.
    """
    low = before
    for highest, at in steps:
        if highest > low and now - at >= LEAST:
            for back in range(low + 1, min(highest, level) + 1):
                rings = add_gap(rings, back, now - at)
        low = max(low, highest)
        if low >= level:
            break
    return rings
