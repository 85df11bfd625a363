"""The port of what is simulated: a service whose replicas execute requests, driven from second to second."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tidegate.autoscaler.simulator.fleet import Fleet
from tidegate.autoscaler.simulator.workload import Floats


class Counters(NamedTuple):
    """What a service's statistics say at one instant; the first four only grow."""

    arrivals: int
    completions: int
    busy_seconds: float
    batches: int
    waiting: int
    """Requests that are not executed yet."""
    in_flight: int
    """Requests that are being executed."""


class Plant(Protocol):
    """Time only passes in ``advance``; the other calls are of the instant that it came to."""

    fleet: Fleet

    def advance(self, until: float) -> None:
        """Let happen what happens before ``until``, or then."""
        ...

    def scale(self, wanted: int) -> None:
        """Order replicas, or take some away: first those that start, the youngest first, then those with the least."""
        ...

    def look(self) -> Counters:
        """The statistics now."""
        ...

    def finish(self) -> Floats:
        """Let everything end that can without further orders: when each request was answered; infinity for never."""
        ...
