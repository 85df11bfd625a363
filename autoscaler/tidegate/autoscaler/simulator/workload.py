"""What a service is asked in a simulation, and what it can do: arrivals, service times, and what it promises."""

from __future__ import annotations

from math import ceil
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How long executions take, and what callers are promised. Seconds."""

    base: float = 0.0
    """Of an execution, whatever its rows."""
    per_row: float = 0.18
    """Of each of its rows."""
    slo: float = 0.72
    """Within which a request is to be answered."""
    max_batch: int = 1
    """Requests that are executed at once at most."""

    @property
    def full(self) -> float:
        """Seconds of an execution of ``max_batch`` requests, on average."""
        return self.base + self.per_row * self.max_batch

    @property
    def capacity(self) -> float:
        """Requests that one replica gets done in a second at most."""
        return self.max_batch / self.full


class Workload(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Requests from second 0 to ``duration``."""

    name: str
    arrivals: Floats
    """Ascending, from 0 to below ``duration``."""
    duration: float
    service: Service
    least: int = 1
    """Replicas that there are at least."""
    most: int = 400
    """At most."""
    begin: int | None = None
    """Replicas that run at the beginning, where somebody knows."""

    @property
    def rate(self) -> float:
        """Requests per second, on average."""
        return self.arrivals.size / self.duration

    @property
    def initial(self) -> int:
        """Replicas that run at the beginning: ``begin``, or half more than the mean load keeps busy, in the bounds."""
        if self.begin is not None:
            return self.begin
        return min(max(self.least, ceil(1.5 * self.rate / self.service.capacity)), self.most)

    def first(self, seconds: float) -> Workload:
        """What comes within the first seconds of it."""
        kept = self.arrivals[: int(np.searchsorted(self.arrivals, seconds))]
        return msgspec.structs.replace(self, arrivals=kept, duration=min(seconds, self.duration))
