"""Arrivals of the last minute from a counter that only grows: how many in any window, and how many are to come.

The counter is kept at the ends of whole seconds, interpolated between looks, so that looks may come early, late, or not
at all: what came meanwhile is spread over the time that nobody looked. 61 numbers, whatever the traffic is.
"""

from __future__ import annotations

from math import sqrt

import msgspec

from tidegate.autoscaler.line import line_through

MINUTE = 60
"""Seconds that are remembered."""
BURSTS = (1, 2, 3, 5, 10, 20, 40)
"""Windows of the scan, in seconds: from one look to the minute's mean."""
SIGNIFICANCE = 2.0
"""Standard deviations that a burst, or a slope, must be away from chance."""
TREND_AFTER = 30
"""Seconds that must be known before a slope is looked for."""
FARTHEST = 10.0
"""Seconds that are looked ahead at most; beyond, noise is extrapolated."""
_EARLY = 1e-6
"""Seconds by which a look may come before the end of its second, for clocks count in floating point."""


class Arrivals(msgspec.Struct, frozen=True):
    """What is known at the time of the last look."""

    edges: tuple[float, ...]
    """Arrivals until the end of each second, the oldest first, at most 61."""
    end: float
    """When the newest of these seconds ended."""
    total: float
    """Arrivals until the last look."""
    at: float
    """When that was."""

    @property
    def age(self) -> float:
        """Seconds that are known of, at least 1 and at most 60."""
        return min(max(len(self.edges) - 1 + self.at - self.end, 1.0), float(MINUTE))

    def within(self, seconds: float) -> float:
        """How many came within the last ``seconds``."""
        back = self.end - (self.at - seconds)
        if back <= 0.0:
            return self.total - self.edges[-1]
        whole = int(back)
        place = len(self.edges) - 1 - whole
        if place <= 0:
            return self.total - self.edges[0]
        share = back - whole
        return self.total - self.edges[place] + (self.edges[place] - self.edges[place - 1]) * share


def begin_arrivals(now: float) -> Arrivals:
    """Nothing is known before ``now``."""
    return Arrivals((0.0,), now, 0.0, now)


def add_arrivals(known: Arrivals, count: float, now: float) -> Arrivals:
    """``count`` came since the last look, evenly. ``now`` is not before it."""
    elapsed = now - known.at
    seconds = int(now - known.end + _EARLY)
    if not seconds:
        return Arrivals(known.edges, known.end, known.total + count, now)
    first = max(1, seconds - MINUTE)
    rate = count / elapsed
    edges = [min(max(known.end + second - known.at, 0.0), elapsed) for second in range(first, seconds + 1)]
    kept = (*known.edges, *(known.total + rate * edge for edge in edges))[-(MINUTE + 1) :]
    return Arrivals(kept, known.end + seconds, known.total + count, max(now, known.end + seconds))


class Forecast(msgspec.Struct, frozen=True):
    """Arrivals per second that replicas are to be there for."""

    rate: float
    """The one that counts."""
    fast: float
    """What a burst is worth that chance does not explain."""
    slow: float
    """The mean of the minute."""
    slope: float
    """By how much it grows in a second; 0 where that may be chance."""


def forecast(known: Arrivals, start: float) -> Forecast:
    """What is to come, for replicas that take ``start`` seconds to be ready.

    The largest of a scan for bursts, max over w of (n_w - 2·sqrt(n_w)) / w, whose windows are lower bounds of a Poisson
    rate at two standard deviations; of the minute's mean; and of the line through its seconds (least squares), if it
    grows by more than two standard errors, at the time when a replica would be ready, up to twice the others.
    """
    fast = 0.0
    for window in BURSTS:
        count = known.within(window)
        fast = max(fast, (count - SIGNIFICANCE * sqrt(count)) / window if count > 0.0 else 0.0)
    slow = known.within(MINUTE) / known.age
    rate = max(fast, slow)
    slope = _slope(known.edges)
    if slope > 0.0:
        ahead = (len(known.edges) - 1) / 2 + min(start + 1.0, FARTHEST)
        rate = max(rate, min(2.0 * rate, slow + slope * ahead))
    return Forecast(rate, fast, slow, slope)


def _slope(edges: tuple[float, ...]) -> float:
    """Of the line through the counts of each second; 0 where it does not grow significantly."""
    size = len(edges) - 1
    if size < TREND_AFTER or edges[-1] == edges[0]:
        return 0.0
    line = line_through(edges)
    return line.slope if line.slope > max(SIGNIFICANCE * line.error, 0.0) else 0.0
