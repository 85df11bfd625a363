"""What became of one run, as a value that is written down."""

from __future__ import annotations

import msgspec


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a file of results."""

    workload: str
    policy: str
    """With its knob and settings, as ``contestants`` writes it."""
    cold_start: float
    seed: int
    plant: str
    requests: int
    late: int
    """Requests that were answered after the SLO, or never."""
    replica_seconds: float
    """From order until gone, of all replicas, within the workload's duration."""
    changes: int
    """Replicas ordered, and replicas taken away."""
    p99: float | None
    """Seconds from arrival to answer, of 99 % of the requests; None where more than 1 % were never answered."""

    @property
    def violations(self) -> float:
        """Share of requests that were late; 0 where there was none."""
        return self.late / self.requests if self.requests else 0.0
