"""What was counted since a phase of a rollout began: what verdicts are made of, and all that a restart must keep."""

from __future__ import annotations

import msgspec

from tidegate.analysis.observation import Comparison


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """So many of so many."""

    hits: int = 0
    of: int = 0


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Sums of one phase, in which the weights did not change."""

    stable_errors: Share = Share()
    """Failures of the stable revision's requests."""
    canary_errors: Share = Share()
    """Failures of the new revision's."""
    slow: Share = Share()
    """Requests to the new one that took longer than ``max_ratio`` times the stable one's percentile of that time."""
    slow_executions: Share = Share()
    """The same of executions, each held against the stable revision's with as many rows."""
    outputs: Comparison = Comparison()
