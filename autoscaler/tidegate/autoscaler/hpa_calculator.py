"""From a metric to a number of replicas: Kubernetes' ``pkg/controller/podautoscaler/replica_calculator.go``.

Within the tolerance of the target nothing changes. Replicas of which nothing is known count against a change: with the
target where it would go down, with 0 where it would go up, and those that are not ready with 0 where it would go up. If
that turns the change round, or brings it into the tolerance, nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tidegate.autoscaler.hpa_settings import HpaSettings
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Metric, ScalingConfig

_DIGITS = 9
"""That a quotient is rounded to before it is rounded up: 3 * (15 / 45) is 1."""


def target_of(config: ScalingConfig, metric: Metric, settings: HpaSettings) -> float:
    """That of the service, or the metric's default."""
    default = {
        "cpu": settings.cpu_target_default,
        "concurrency": settings.concurrency_target_default,
        "rps": settings.rps_target_default,
    }
    return config.target or default[metric]


def proposed(
    seen: Observation, current: int, metric: Metric, value: float | None, target: float, tolerance: float
) -> tuple[int, float] | None:
    """Replicas by the metric's mean, and the metric per replica. None where nothing is known of a ready one."""
    if value is None:
        return None
    if metric != "cpu":
        there = max(1, seen.provisioned or current)
        return by_total_per_replica(value, target, there, tolerance=tolerance), value / there
    used = 100.0 * value / max(1, seen.ready)
    unready = max(0, seen.provisioned - seen.ready)
    replicas = by_replica([used] * seen.ready, target, current, unready=unready, tolerance=tolerance)
    return None if replicas is None else (replicas, used)


def by_replica(
    values: Sequence[float], target: float, current: int, *, unready: int = 0, missing: int = 0, tolerance: float = 0.1
) -> int | None:
    """For a metric that each replica has (types Utilization, and AverageValue of pods), ``values`` of those that are
    ready. None without any: then the metric is at fault."""
    if not values:
        return None
    ratio = sum(values) / len(values) / target
    if not (unready and ratio > 1.0) and not missing:
        return current if abs(1.0 - ratio) <= tolerance else _up(ratio * len(values))
    known = [*values]
    if missing and ratio < 1.0:
        known += [target] * missing
    elif missing:
        known += [0.0] * missing
    if unready and ratio > 1.0:
        known += [0.0] * unready
    corrected = sum(known) / len(known) / target
    if abs(1.0 - corrected) <= tolerance or (ratio - 1.0) * (corrected - 1.0) < 0.0:
        return current
    replicas = _up(corrected * len(known))
    turns = (corrected < 1.0 and replicas > current) or (corrected > 1.0 and replicas < current)
    return current if turns else replicas


def by_total_per_replica(total: float, target: float, current: int, *, tolerance: float = 0.1) -> int:
    """For a metric of the service that is divided by its replicas (type AverageValue of an external metric)."""
    if current > 0 and abs(1.0 - total / (target * current)) <= tolerance:
        return current
    return _up(total / target)


def by_total(total: float, target: float, current: int, ready: int, *, tolerance: float = 0.1) -> int:
    """For a metric of the service that is held at a value (type Value of an object or an external metric)."""
    ratio = total / target
    if current == 0:
        return _up(ratio)
    return current if abs(1.0 - ratio) <= tolerance else _up(ratio * ready)


def _up(value: float) -> int:
    return ceil(round(value, _DIGITS))
