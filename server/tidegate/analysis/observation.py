"""What can be seen of a revision at one instant: counts that only grow, so that two looks tell what was in between."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.analysis.histogram import Counts


class Observation(msgspec.Struct, frozen=True):
    """One revision's requests since its counting began."""

    requests: int = 0
    """Those that got a result by now, or failed by the revision's own fault. What a caller did wrong, and what was
    refused for want of room, tells nothing of a revision, and is none of them."""
    failures: int = 0
    """Of those: failed by the revision's own fault (5xx, timeouts, invalid outputs)."""
    latency: Counts = ()
    """Seconds from arrival to answer, of those that got a result."""
    execution: Mapping[int, Counts] = {}
    """Seconds of the model's own work, by the number of rows that were executed at once."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Copies of requests that a shadow has answered, held against the answers that the callers got."""

    compared: int = 0
    """Copies that brought outputs."""
    different: int = 0
    """Of those: beyond the tolerance, or of another form."""
    failed: int = 0
    """Copies that brought an error although the caller got a result."""
    dropped: int = 0
    """Requests that were not copied, or whose copy was given up, for want of room or time. They count for nothing."""
    max_absolute: float = 0.0
    """Largest difference of two numbers."""
    max_relative: float = 0.0
    """Largest of those differences, each divided by the caller's number."""
    top1_compared: int = 0
    """Rows of scores in which a largest one can be told."""
    top1_agreed: int = 0
    """Of those: the same place has the largest."""
    scores: tuple[int, ...] = ()
    """How many numbers of the stable revision's outputs fell into each class of ``analysis.outputs.SCORES``."""
    shadow_scores: tuple[int, ...] = ()
    """The same of the shadow's."""


class Look(msgspec.Struct, frozen=True):
    """Both arms at one instant. Of a shadow the canary's requests are the copies."""

    stable: Observation = Observation()
    canary: Observation = Observation()
    outputs: Comparison = Comparison()
