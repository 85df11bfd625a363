"""Knative's law, from two means of a metric to a number of replicas: ``pkg/autoscaler/scaling/autoscaler.go``, Scale.

The stable window says what is needed; if the panic window says twice what is ready, it panics: then it only goes up,
until a stable window has passed without another burst.
"""

from __future__ import annotations

from math import ceil, floor

import msgspec

from tidegate.autoscaler.kpa_settings import Aim, KpaSettings
from tidegate.autoscaler.peaks import Peaks, largest, put

_LEAST_ACTIVATORS = 2


class Panic(msgspec.Struct, frozen=True, kw_only=True):
    """What the law remembers."""

    since: float | None = None
    """When the last burst was seen; None out of panic."""
    most: int = 0
    """Replicas that were wanted at most in it."""
    peaks: Peaks = ()
    """What was wanted within the scale-down delay, by tick."""


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What the law wants, before bounds and before the last replica is looked at."""

    replicas: int
    spare: int
    """Excess burst capacity, in the metric's unit: what is free beyond the burst that is to find room. Below 0 the
    activator buffers requests."""
    stable: int
    """Replicas by the stable window."""
    panicked: int
    """Replicas by the panic window."""
    delayed: bool
    """Whether the scale-down delay holds it up."""
    panic: Panic


def at_start(now: float, replicas: int) -> Panic:
    """In panic where more than one replica runs: so a restart does not take lost history for no load."""
    return Panic(since=now if replicas > 1 else None, most=replicas)


def scale(now: float, stable: float, panic: float, ready: int, aim: Aim, before: Panic, settings: KpaSettings) -> Scale:
    """``stable`` and ``panic`` are the means over the two windows, of all replicas together."""
    count = max(1, ready)
    by_stable, by_panic = ceil(stable / aim.target), ceil(panic / aim.target)
    wish_stable = _limited(by_stable, count, settings)
    wish_panic = _limited(by_panic, count, settings)
    since, most = _panic(now, by_panic / count >= settings.panic_threshold, before, settings)
    wish = wish_stable
    if since is not None:
        wish = most = max(wish_stable, wish_panic, most)
    peaks: Peaks = ()
    undelayed = wish
    if settings.reachable and settings.scale_down_delay > 0.0:
        size = ceil(settings.scale_down_delay / settings.tick)
        peaks = put(before.peaks, floor(now / settings.tick), wish, size)
        wish = largest(peaks)
    return Scale(
        replicas=wish,
        spare=_spare(panic, ready, aim, settings),
        stable=wish_stable,
        panicked=wish_panic,
        delayed=wish > undelayed,
        panic=Panic(since=since, most=most, peaks=peaks),
    )


def activators(ready: int, aim: Aim, settings: KpaSettings) -> int:
    """How many would be assigned to it (``computeNumActivators``)."""
    if settings.target_burst_capacity == 0.0:
        return _LEAST_ACTIVATORS
    covered = ready * aim.total + max(0.0, settings.target_burst_capacity)
    return max(_LEAST_ACTIVATORS, ceil(covered / settings.activator_capacity))


def _limited(wish: int, ready: int, settings: KpaSettings) -> int:
    most = ceil(settings.max_scale_up_rate * ready)
    least = floor(ready / settings.max_scale_down_rate) if settings.reachable else 0
    limited = min(max(wish, least), most)
    if settings.activation_scale > 1 and wish > 0:
        return max(limited, settings.activation_scale)
    return limited


def _panic(now: float, is_burst: bool, before: Panic, settings: KpaSettings) -> tuple[float | None, int]:
    if is_burst:
        return now, before.most
    if before.since is not None and before.since + settings.stable_window < now:
        return None, 0
    return before.since, before.most


def _spare(panic: float, ready: int, aim: Aim, settings: KpaSettings) -> int:
    if settings.target_burst_capacity == 0.0:
        return 0
    if settings.target_burst_capacity < 0.0:
        return -1
    return floor(ready * aim.total - settings.target_burst_capacity - panic)
