"""What a policy is told of a service at one instant. Counters only grow, so a look that is missed costs nothing."""

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
