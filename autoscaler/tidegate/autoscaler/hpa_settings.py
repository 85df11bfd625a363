"""What Kubernetes' Horizontal Pod Autoscaler and KEDA can be told, with their defaults."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegate.autoscaler.checks import above, from_


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How far it may go within a period (HPAScalingPolicy)."""

    kind: Literal["Pods", "Percent"]
    value: int
    """Replicas, or per cent of what there was when the period began."""
    period: float
    """Seconds."""

    def __post_init__(self) -> None:
        above(0.0, self, "value", "period")


class Behavior(msgspec.Struct, frozen=True, kw_only=True):
    """How it goes in one direction (HPAScalingRules)."""

    window: float
    """Seconds of recommendations of which the most cautious one is taken."""
    select: Literal["Max", "Min", "Disabled"] = "Max"
    """Which rule holds: that of the largest change, of the smallest, or none, and it does not go."""
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        from_(0.0, self, "window")


class KedaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes the last replica and brings the first one; only where ``least`` is 0. Times are seconds."""

    polling: float = 30.0
    """Between two looks at whether it is active."""
    cooldown: float = 300.0
    """Without activity until the replicas go."""
    initial_cooldown: float = 0.0
    """After the beginning, for which they do not go."""
    activation_threshold: float = 0.0
    """Of the metric of all replicas together; above it is active."""
    push: bool = False
    """Whether it is told of activity at once (a trigger of type external-push)."""

    def __post_init__(self) -> None:
        above(0.0, self, "polling")
        from_(0.0, self, "cooldown", "initial_cooldown", "activation_threshold")


class HpaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds."""

    sync: float = 15.0
    """Between two decisions."""
    tolerance: float = 0.1
    """Part by which the metric may miss the target without a change."""
    window: float = 15.0
    """Over which the metric is averaged: metrics-server's resolution."""
    up: Behavior = Behavior(
        window=0.0,
        rules=(Rule(kind="Pods", value=4, period=15.0), Rule(kind="Percent", value=100, period=15.0)),
    )
    """How the number grows."""
    down: Behavior = Behavior(window=300.0, rules=(Rule(kind="Percent", value=100, period=15.0),))
    """How it shrinks."""
    concurrency_target_default: float = 100.0
    """Requests at a time in one replica, where nobody says it."""
    rps_target_default: float = 200.0
    """Requests per second of one replica, where nobody says it."""
    cpu_target_default: float = 80.0
    """Per cent, where nobody says it."""
    keda: KedaSettings = KedaSettings()
    """Of and to zero."""

    def __post_init__(self) -> None:
        above(0.0, self, "sync", "concurrency_target_default", "rps_target_default", "cpu_target_default")
        from_(0.0, self, "tolerance")
        from_(1.0, self, "window")
