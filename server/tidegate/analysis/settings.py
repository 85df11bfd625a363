"""What an analysis holds a revision against. Frozen values, which the rollout's manifest decides."""

from __future__ import annotations

import msgspec

SEQUENCES = 4
"""Confidence sequences that share an error probability: the two arms' errors, and two latencies."""


class AnalysisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A measure that is None is not compared."""

    max_increase: float | None = 0.01
    """Share of requests that may fail beyond that of the stable revision."""
    percentile: float | None = 95.0
    """Per cent; which percentile of the latency is compared."""
    max_ratio: float = 1.2
    """Multiple of the stable revision's that it may reach."""
    max_different: float | None = None
    """Share of copies whose outputs may differ."""
    min_samples: int = 200
    """Requests to the new revision before it can pass. It gates no failure."""
    alpha: float = 0.01
    """Probability of a false alarm over all looks that are made with these settings: that of the whole rollout, divided
    by the number of its phases with an analysis of their own."""
