"""The time that a policy counts in, and what happened since the look before: for clocks that jump, and counters, too.

Time only counts while somebody looks. A clock that is set back stands still for one look. A look that comes later than
it was due by more than ``LATE`` (a clock that was set, a machine that slept, a server that was down) counts as that
late: what nobody saw is no reason to give anything up.
"""

from __future__ import annotations

import msgspec

from tidegate.autoscaler.observation import Observation

LATE = 10.0
"""Seconds."""


class Clock(msgspec.Struct, frozen=True):
    """Seconds that counted until the last look."""

    at: float
    """Of the policy's own time."""
    shift: float = 0.0
    """What to add to the caller's."""
    due: float | None = None
    """When the next look is due, of its own time; None for never."""


def advance(clock: Clock, now: float) -> Clock:
    """At the caller's ``now``. ``due`` stays, the policy sets it."""
    time = now + clock.shift
    latest = time if clock.due is None else max(clock.due, clock.at) + LATE
    counted = min(max(time, clock.at), latest)
    return Clock(counted, clock.shift + counted - time, clock.due)


class Counters(msgspec.Struct, frozen=True):
    """Those of the last look."""

    arrivals: int
    completions: int
    busy_seconds: float
    batches: int


def counters_of(observation: Observation) -> Counters:
    return Counters(observation.arrivals, observation.completions, observation.busy_seconds, observation.batches)


def increase(before: int, after: int) -> int:
    """How far a counter came. One that fell to less than half began anew; one that fell a little was read late."""
    if after >= before:
        return after - before
    return after if 2 * after < before else 0
