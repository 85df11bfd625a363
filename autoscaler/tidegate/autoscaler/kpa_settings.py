"""What Knative's autoscaler can be told, with the defaults of its ConfigMap ``config-autoscaler``."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegate.autoscaler.checks import above, from_
from tidegate.autoscaler.policy import ScalingConfig

_LEAST_TARGET = 0.01


class KpaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds."""

    stable_window: float = 60.0
    """Over which the load is averaged."""
    panic_window_percentage: float = 10.0
    """Per cent of the stable window, over which a burst is."""
    panic_threshold_percentage: float = 200.0
    """Per cent of what the ready replicas are to have, from which on it is a burst."""
    max_scale_up_rate: float = 1000.0
    """Times as many replicas as are ready, at once."""
    max_scale_down_rate: float = 2.0
    """Part of those that are ready which is left, at once."""
    target_utilisation: float = 0.7
    """Share of the target that is aimed at (container-concurrency-target-percentage)."""
    concurrency_target_default: float = 100.0
    """Requests at a time in one replica, where nobody says it."""
    rps_target_default: float = 200.0
    """Requests per second of one replica, where nobody says it."""
    target_burst_capacity: float = 211.0
    """Requests that are to find room without being buffered; 0 buffers only at zero replicas, -1 always."""
    activator_capacity: float = 100.0
    """Requests that one activator takes."""
    activation_scale: int = 1
    """Replicas that it has at least once it has any."""
    scale_down_delay: float = 0.0
    """For which a smaller number has to hold."""
    scale_to_zero: bool = True
    """Whether the last replica may go, if ``least`` allows it."""
    scale_to_zero_grace: float = 30.0
    """For which requests went through the activator before the last replica goes."""
    pod_retention: float = 0.0
    """For which the last replica stays at least once nothing needs it."""
    activation_timeout: float = 630.0
    """After which a replica that does not become ready is given up: the progress deadline of 600 s and 30 s more."""
    averaging: Literal["linear", "weightedExponential"] = "linear"
    """How a window is averaged."""
    tick: float = 2.0
    """Between two decisions."""
    reachable: bool = True
    """Whether a route leads here; where none does, it goes down at any rate."""

    def __post_init__(self) -> None:
        above(0.0, self, "panic_window_percentage", "panic_threshold_percentage", "target_utilisation")
        above(0.0, self, "concurrency_target_default", "rps_target_default", "activator_capacity", "tick")
        above(1.0, self, "max_scale_up_rate", "max_scale_down_rate")
        from_(1.0, self, "stable_window", "activation_scale")
        from_(0.0, self, "scale_down_delay", "scale_to_zero_grace", "pod_retention", "activation_timeout")
        from_(-1.0, self, "target_burst_capacity")

    @property
    def panic_window(self) -> float:
        """Seconds, and one at least."""
        return max(1.0, self.stable_window * self.panic_window_percentage / 100.0)

    @property
    def panic_threshold(self) -> float:
        """Times what is ready."""
        return self.panic_threshold_percentage / 100.0


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica is to have, and can have, in the metric's unit."""

    target: float
    total: float


def aim_of(config: ScalingConfig, settings: KpaSettings) -> Aim:
    """``total`` is the target of the service or the default, and not more than the container takes at a time; of it
    ``target_utilisation`` is aimed at (Knative's ``ResolveMetricTarget``)."""
    if config.metric == "rps":
        total = config.target or settings.rps_target_default
    elif config.concurrency > 0:
        total = min(config.target or config.concurrency, float(config.concurrency))
    else:
        total = config.target or settings.concurrency_target_default
    return Aim(target=max(_LEAST_TARGET, total * settings.target_utilisation), total=total)
