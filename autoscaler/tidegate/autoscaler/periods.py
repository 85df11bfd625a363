"""When a policy is to decide that is asked each second, and decides by a period of its own."""

from __future__ import annotations

from math import floor

_EARLY = 0.5
"""Seconds that a tick may come before its time and still be the one that was meant, with ticks a second apart."""


def is_due(now: float, last: float | None, period: float) -> bool:
    """Whether the period that began with ``last`` is over."""
    return last is None or now - last >= period - min(_EARLY, period / 2.0)


def caught_up(now: float, last: float | None, period: float) -> float | None:
    """The last beginning of a period before ``now``, for one who was not asked while nothing happened."""
    if last is None or period <= 0.0:
        return last
    return last + max(0.0, floor((now - last) / period - 1e-9) * period)
