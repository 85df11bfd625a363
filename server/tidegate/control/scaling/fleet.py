"""The replicas of one revision as they come and go: when each was ordered, how long it took, which fail. Pure.

What is told are numbers alone, so that who became ready is taken to be who was ordered first, and who is not wanted any
more who was ordered last.
"""

from __future__ import annotations

import msgspec

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
"""Seconds for which no replica is ordered after a start that failed; each further one in a row doubles it."""


class Fleet(msgspec.Struct, frozen=True):
    """Times are seconds of the clock that ``seen`` is told the time of."""

    ready: int = 0
    warming: tuple[float, ...] = ()
    """When each of those was ordered that are on their way, the first first."""
    started: tuple[float, ...] = ()
    """Seconds from order to ready, of those that became ready since ``told``."""
    failing: int = 0
    """Replicas that wait for another try, or for nothing any more. They are no capacity."""
    failures: int = 0
    """Starts that failed in a row."""
    again_at: float = 0.0
    """Until when no more are ordered."""

    def told(self) -> Fleet:
        """Once somebody has learned from ``started``."""
        return msgspec.structs.replace(self, started=())


def seen(fleet: Fleet, now: float, *, wanted: int, ready: int, failing: int) -> Fleet:
    """The fleet after a look: ``wanted`` are ordered altogether, ``ready`` take requests, ``failing`` will not soon."""
    warming, started = list(fleet.warming), []
    for _ in range(max(min(ready - fleet.ready, len(warming)), 0)):
        started.append(max(now - warming.pop(0), 0.0))
    coming = max(wanted - ready - failing, 0)
    warming = warming[:coming] + [now] * (coming - len(warming))
    rose = ready > fleet.ready  # also where the start and its end lay between two looks
    failures, again_at = (0, 0.0) if rose else (fleet.failures, fleet.again_at)
    if failing > fleet.failing:
        failures += failing - fleet.failing
        again_at = now + pause(failures)
    return Fleet(ready, tuple(warming), (*fleet.started, *started), failing, failures, again_at)


def pause(failures: int) -> float:
    """Seconds without an order after so many failures in a row, at least 1."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 62), LONGEST_PAUSE)
