"""What a policy is told of a service at one instant. Counters only grow: a look that is missed costs nothing."""

from __future__ import annotations

import msgspec


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One look. Requests are rows where the service batches. Times are seconds of the clock that ``now`` is of."""

    arrivals: int
    """Requests that have come, since counting began."""
    completions: int
    """Requests that were answered."""
    busy_seconds: float
    """Seconds that replicas were executing, of all replicas together."""
    batches: int
    """Executions that were completed."""
    waiting: int
    """Requests in the queue now."""
    in_flight: int = 0
    """Requests at replicas now."""
    ready: int
    """Replicas that take requests."""
    provisioned: int
    """Replicas that there are, ready, starting, or ordered; those that are draining are not among them."""
    warming: tuple[float, ...] = ()
    """When each of those that are not ready was ordered."""
    started: tuple[float, ...] = ()
    """Seconds from order to ready, of each replica that became ready since the look before."""
    fresh: bool = True
    """Whether counters and queue are of now. Where not, they are of an earlier look, and only what is said of replicas
    is of now."""
    curve: tuple[float, float] | None = None
    """Seconds of an execution without its rows, and of each row, where somebody knows better (the batcher)."""
