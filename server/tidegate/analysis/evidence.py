"""What was counted since a phase of a rollout began: what verdicts are made of, and all that a restart must keep."""

from __future__ import annotations

from itertools import zip_longest

import msgspec

from tidegate.analysis.observation import Comparison


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """So many of so many."""

    hits: int = 0
    of: int = 0

    @property
    def rate(self) -> float:
        """From 0 to 1; 0 of none."""
        return self.hits / self.of if self.of else 0.0

    def __add__(self, other: Share) -> Share:
        return Share(self.hits + other.hits, self.of + other.of)


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Sums of one phase, in which the weights did not change."""

    stable_errors: Share = Share()
    """Failures of the stable revision's requests."""
    canary_errors: Share = Share()
    """Failures of the new revision's."""
    slow: Share = Share()
    """Requests to the new one that took longer than ``max_ratio`` times the stable one's percentile of that time.

    Where both have about as many requests they count for fewer (``analysis.increments``): for as many as would tell as
    much if the percentile were known instead of estimated.
    """
    slow_executions: Share = Share()
    """The same of executions, each held against the stable revision's with as many rows."""
    outputs: Comparison = Comparison()


def plus(a: Evidence, b: Evidence) -> Evidence:
    """Of both together."""
    return Evidence(
        stable_errors=a.stable_errors + b.stable_errors,
        canary_errors=a.canary_errors + b.canary_errors,
        slow=a.slow + b.slow,
        slow_executions=a.slow_executions + b.slow_executions,
        outputs=add(a.outputs, b.outputs),
    )


def add(a: Comparison, b: Comparison) -> Comparison:
    """Of both together: sums, the larger of two largest differences, classes one by one."""
    return Comparison(
        compared=a.compared + b.compared,
        different=a.different + b.different,
        failed=a.failed + b.failed,
        dropped=a.dropped + b.dropped,
        max_absolute=max(a.max_absolute, b.max_absolute),
        max_relative=max(a.max_relative, b.max_relative),
        top1_compared=a.top1_compared + b.top1_compared,
        top1_agreed=a.top1_agreed + b.top1_agreed,
        scores=_sums(a.scores, b.scores),
        shadow_scores=_sums(a.shadow_scores, b.shadow_scores),
    )


def _sums(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip_longest(a, b, fillvalue=0))
