"""A rise that lasts for minutes: too slow for the minute's seconds to show it, and too long for a slow start to ignore.

At 100 requests a second a rise of 0.1 a second is within the noise of one minute's counts, but far outside that of
five. The line through the counts of the last five minutes, ten seconds each, says how fast the rate surely grows: its
slope less three standard errors. Those are of the rest around the line (ordinary least squares), so that traffic in
bursts has wide ones. 31 numbers; the line is drawn anew every ten seconds.
"""

from __future__ import annotations

import msgspec

from tidegate.autoscaler.arrivals import Arrivals
from tidegate.autoscaler.line import line_through

PERIOD = 10.0
"""Seconds of one count."""
REMEMBERED = 30
"""Counts: five minutes."""
ENOUGH = 12
"""Counts before which no line is drawn."""
SURE = 3.0
"""Standard errors that are taken off the slope."""


class Climb(msgspec.Struct, frozen=True):
    """What is known of the last five minutes."""

    end: float
    """When the newest count ended."""
    marks: tuple[float, ...]
    """Arrivals until the end of each count, the oldest first, at most 31."""
    rate: float = 0.0
    """Arrivals per second at ``end``, by a line through the counts' mean with the slope ``growth``."""
    growth: float = 0.0
    """By how much the rate surely grows in a second; 0 where that may be chance."""

    def ahead(self, seconds: float) -> float:
        """Arrivals per second so long after ``end``; 0 where nothing surely grows."""
        return self.rate + self.growth * seconds if self.growth > 0.0 else 0.0


def begin_climb(now: float) -> Climb:
    """Nothing is known before ``now``."""
    return Climb(now, (0.0,))


def add_climb(known: Climb, arrivals: Arrivals) -> Climb:
    """With all counts that have ended by the last look."""
    count = int((arrivals.end - known.end) / PERIOD)
    if count <= 0:
        return known
    end = known.end + count * PERIOD
    times = [end - PERIOD * back for back in reversed(range(min(count, REMEMBERED + 1)))]
    marks = (*known.marks, *(_until(time, known, arrivals) for time in times))[-(REMEMBERED + 1) :]
    rate, growth = _line(marks)
    return Climb(end, marks, rate, growth)


def _until(time: float, known: Climb, arrivals: Arrivals) -> float:
    """Arrivals until ``time``; what came while nobody looked, came evenly."""
    oldest = arrivals.end - (len(arrivals.edges) - 1)
    if time >= oldest:
        return arrivals.total - arrivals.within(arrivals.at - time)
    share = (time - known.end) / (oldest - known.end)
    return known.marks[-1] + (arrivals.edges[0] - known.marks[-1]) * share


def _line(marks: tuple[float, ...]) -> tuple[float, float]:
    """The rate at the end, and its sure growth; (0, 0) where it does not surely grow."""
    size = len(marks) - 1
    if size < ENOUGH:
        return 0.0, 0.0
    line = line_through(marks)
    sure = line.slope - SURE * line.error
    if sure <= 0.0:
        return 0.0, 0.0
    return (line.mean + sure * size / 2) / PERIOD, sure / (PERIOD * PERIOD)
