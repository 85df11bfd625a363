"""What the policy ``qda`` knows of a service. A value: it is stored as JSON beside the service."""

from __future__ import annotations

import msgspec

from tidegate.autoscaler.arrivals import Arrivals, begin_arrivals
from tidegate.autoscaler.climb import Climb, begin_climb
from tidegate.autoscaler.gaps import NO_GAPS, Ring
from tidegate.autoscaler.headroom import Headroom
from tidegate.autoscaler.levels import Steps
from tidegate.autoscaler.looks import Clock, Counters
from tidegate.autoscaler.service_curve import ServiceCurve
from tidegate.autoscaler.start_time import StartTime


class Prices(msgspec.Struct, frozen=True):
    """What the keep rule reckons with, taken once a minute so that it does not waver."""

    rebuy: float
    """Replica-seconds that a replica costs which is missing when its level returns."""
    start: float
    """Seconds that a start takes."""
    at: float
    """When it was taken."""


class QdaState(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Times are those of ``clock``."""

    clock: Clock
    arrivals: Arrivals
    climb: Climb
    counters: Counters | None = None
    """Of the last look with fresh counters; None before there was one."""
    service: ServiceCurve = ServiceCurve()
    start: StartTime = StartTime()
    started: tuple[float, ...] = ()
    """The starts that were told last, for the same may be told again."""
    headroom: Headroom = Headroom()
    prices: Prices | None = None
    gaps: tuple[Ring, ...] = NO_GAPS
    needed: Steps = ()
    """When levels were needed last, by the forecast."""
    level: int = 0
    """What was needed at the last look."""
    wanted: Steps = ()
    """When levels were wanted last: needed with headroom, or pre-warmed. Of the last half minute."""
    replicas: int
    """What was decided last."""
    provisioned: int
    """What there was at the last look."""
    fresh_at: float
    """When counters were fresh last."""


def begin_state(now: float, provisioned: int) -> QdaState:
    """Of a service of which nothing is known but what runs: all of that counts as needed now."""
    steps: Steps = ((provisioned, now),) if provisioned > 0 else ()
    return QdaState(
        clock=Clock(now, 0.0, now),
        arrivals=begin_arrivals(now),
        climb=begin_climb(now),
        needed=steps,
        level=provisioned,
        wanted=steps,
        replicas=provisioned,
        provisioned=provisioned,
        fresh_at=now,
    )
