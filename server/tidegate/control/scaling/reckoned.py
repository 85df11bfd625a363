"""What people are told of that a policy reckoned with, beside its number. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.autoscaler.policy import ScalingConfig

_DIGITS = 3
"""Milliseconds: what is told to people need not change with each look."""


class Slo(msgspec.Struct, frozen=True):
    """Within which time a request is to be answered."""

    seconds: float
    given: bool
    """Whether the service says it; else it follows the learned time of a request."""


class Starts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long replicas take from their order until they are ready, in seconds."""

    usual: float
    """What is reckoned with: the mean, which forgets, and first a guess."""
    p50: float | None = None
    """Within which half of the last starts were over; None before there was one."""
    p95: float | None = None
    """Within which 95 % were."""


def starts_of(terms: Mapping[str, float]) -> Starts | None:
    """The starts that a decision reckoned with, by its terms; None where they have none."""
    usual, p50, p95 = (terms.get(name) for name in ("L", "L_p50", "L_p95"))
    if usual is None:
        return None
    return Starts(round(usual, _DIGITS), p50, p95)


def slo_of(terms: Mapping[str, float], config: ScalingConfig) -> Slo | None:
    """The SLO that a decision was made for, by its terms; None where they have none."""
    if "SLO" not in terms:
        return None
    return Slo(round(terms["SLO"], _DIGITS), config.slo is not None)
