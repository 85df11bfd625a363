"""How Knative's last replica goes: ``pkg/reconciler/autoscaling/kpa/scaler.go``, handleScaleToZero.

| phase | what 0 does | next phase |
|---|---|---|
| activating: wanted, none is ready yet | waits for the activation timeout, then goes | inactive |
| active | one stays until the phase has lasted a stable window | inactive |
| inactive | waits for the grace period and the retention, then goes | – |

Any wish above 0 leads back to activating, or to active where one is ready. What Knative probes, whether the activator
is in the path, needs no probe here: requests wait in the service's own queue.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegate.autoscaler.kpa_settings import KpaSettings


class Sleep(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is."""

    phase: Literal["activating", "active", "inactive"]
    since: float
    """When the phase began."""
    buffered: float | None = None
    """Since when requests go through the activator; None if they do not."""


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a wish."""

    replicas: int | None
    """None leaves them as they are."""
    why: str = ""
    sleep: Sleep


def last(now: float, wish: int, ready: int, sleep: Sleep, settings: KpaSettings) -> Last:
    """A wish above 0 is granted. ``now`` does not lie before ``sleep.since``."""
    if wish > 0:
        return Last(replicas=wish, sleep=_woken(now, ready, sleep))
    if not settings.scale_to_zero:
        return Last(replicas=1, why="the last replica stays", sleep=sleep)
    if sleep.phase == "activating" and ready > 0:
        sleep = _begin("active", now, sleep)
    lasted = now - sleep.since
    if sleep.phase == "activating":
        if lasted > settings.activation_timeout:
            return Last(replicas=0, why=f"not ready after {lasted:.0f} s", sleep=_begin("inactive", now, sleep))
        return Last(replicas=None, why="it is being activated", sleep=sleep)
    if sleep.phase == "active":
        if lasted >= settings.stable_window:
            return Last(replicas=None, why="no traffic", sleep=_begin("inactive", now, sleep))
        return Last(replicas=1, why=f"active for {lasted:.0f} s of {settings.stable_window:g} s", sleep=sleep)
    if _may_go(now, sleep, settings):
        return Last(replicas=0, why=f"no traffic for {lasted:.0f} s", sleep=sleep)
    return Last(replicas=None, why=f"without traffic for {lasted:.0f} s, not long enough", sleep=sleep)


def _may_go(now: float, sleep: Sleep, settings: KpaSettings) -> bool:
    lasted = now - sleep.since
    if lasted < settings.pod_retention:
        return False
    buffered = 0.0 if sleep.buffered is None else now - sleep.buffered
    return max(lasted, buffered) >= settings.scale_to_zero_grace


def _woken(now: float, ready: int, sleep: Sleep) -> Sleep:
    phase: Literal["active", "activating"] = "active" if ready > 0 else "activating"
    return sleep if sleep.phase == phase else _begin(phase, now, sleep)


def _begin(phase: Literal["activating", "active", "inactive"], now: float, sleep: Sleep) -> Sleep:
    return Sleep(phase=phase, since=now, buffered=sleep.buffered)
