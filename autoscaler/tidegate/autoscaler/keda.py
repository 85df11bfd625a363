"""KEDA's part of scaling: from 0 to the first replica and back (``pkg/scaling/executor/scale_scaledobjects.go``)."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tidegate.autoscaler.hpa_settings import KedaSettings
from tidegate.autoscaler.periods import is_due
from tidegate.autoscaler.reason import number


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What it remembers."""

    began: float
    """When it began to look."""
    active: float
    """When it was active last; the beginning counts as that, so that a restart takes nothing away."""
    polled: float | None = None
    """When it looked last."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a look leads to."""

    replicas: int | None = None
    """None leaves them to HPA."""
    why: str = ""
    activity: Activity


def begun(now: float) -> Activity:
    """Nothing is known yet."""
    return Activity(began=now, active=now)


def polled(now: float, current: int, value: float, activity: Activity, settings: KedaSettings) -> Look:
    """One replica if it is active and there is none; none if it was not active for the cooldown."""
    is_active = value > settings.activation_threshold
    pushed = settings.push and is_active and current == 0
    if not (pushed or is_due(now, activity.polled, settings.polling)):
        return Look(activity=activity)
    activity = replace(activity, polled=now)
    if is_active:
        activity = replace(activity, active=now)
        if current > 0:
            return Look(activity=activity)
        above = f"active, {number(value)} is above {number(settings.activation_threshold)}"
        return Look(replicas=1, why=above, activity=activity)
    idle = now - activity.active
    cooled = idle > settings.cooldown and now - activity.began >= settings.initial_cooldown
    if current > 0 and cooled:
        return Look(
            replicas=0, why=f"not active for {idle:.0f} s, longer than {settings.cooldown:g} s", activity=activity
        )
    return Look(activity=activity)
