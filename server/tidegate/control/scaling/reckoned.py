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


def slo_of(terms: Mapping[str, float], config: ScalingConfig) -> Slo | None:
    """The SLO that a decision was made for, by its terms; None where they have none."""
    if "SLO" not in terms:
        return None
    return Slo(round(terms["SLO"], _DIGITS), config.slo is not None)
