"""What an analysis comes to: a value with its numbers, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """Missing data is neither a pass nor a failure."""

    PASS = "pass"
    """Harm is excluded."""
    FAIL = "fail"
    """Harm is shown."""
    UNDECIDED = "undecided"
    """There are enough samples, and they show neither."""
    NO_DATA = "no-data"
    """There are too few samples, or whoever was asked gave no answer."""


class Verdict(msgspec.Struct, frozen=True):
    """Of one check at one instant."""

    check: str
    """``errors``, ``latency``, ``execution``, ``outputs``, ``golden``, or ``check/NAME`` for a user's own."""
    outcome: Outcome
    sentence: str
    """``errors 5.1 % vs 0.2 %, n = 412: more than 1 % above the stable revision``."""
    numbers: Mapping[str, float] = {}
    """What the sentence is made of, by name: for events, metrics and programs."""
    suspect: bool = False
    """Whether what was seen is beyond what is allowed, be it by chance: too little for a failure, and no reason to go
    on without a pass."""


def percent(share: float) -> str:
    """``0.21 %``."""
    if 0.0 < share < 0.0001:
        return "< 0.01 %"
    shown = f"{100.0 * share:.2f}" if share < 0.1 else f"{100.0 * share:.1f}"
    return f"{shown.rstrip('0').rstrip('.')} %"
