"""What callers meet at one revision, counted where all of its requests are answered: for the rollout that judges it."""

from __future__ import annotations

from tidegate.analysis.histogram import Histogram
from tidegate.gateway.fault import is_fault
from tidegate.protocol.errors import TidegateError


class Observed:
    """Counts that only grow. A stream is one request, answered with its last response."""

    __slots__ = ("failures", "latency", "requests")

    def __init__(self) -> None:
        self.requests = 0
        """Answered with a result, or failed by the revision's own fault: no others tell anything of it."""
        self.failures = 0
        self.latency = Histogram()
        """Of results: seconds from arrival to the encoded answer."""

    def __repr__(self) -> str:
        return f"<Observed {self.failures} of {self.requests} requests failed>"

    def answered(self, error: TidegateError | None, seconds: float) -> None:
        """Count one request, which arrived so many seconds ago; None for a result."""
        if error is None:
            self.requests += 1
            self.latency.add(seconds)
        elif is_fault(error):
            self.requests += 1
            self.failures += 1
