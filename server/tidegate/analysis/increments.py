"""From counts that grow to what came since the last look, so that sums of it are the evidence of a phase.

Failures and outputs are taken at each look. Durations are taken slice by slice: a slice ends at the first look at which
the stable revision has enough of them in it to tell its percentile, and the new one has one. Within a slice chance
alone decides which of the two answers a request, so what slows down both moves the threshold with the durations, and
the share above it stays.

What is above the threshold is counted so that an error is in favour of the new revision: the threshold is the stable
revision's k-th smallest, with k such that a duration of the same kind exceeds it with a probability of at most
1 - percentile / 100 although it is an estimate (``histogram.rank``); and of a class of the histogram it counts the
bound. With classes that are 5 % wide and ``max_ratio`` 1.2, who is up to 1.21 times as slow never counts as slower, and
who is 1.28 times as slow always does.

All of a slice are held against one estimate, and err together. Of c durations against a k-th smallest of m the number
above it is beta-binomial: its variance is 1 + (c - 1) / (m + 2) times that of c independent ones. So they count as c
divided by that: nearly c under a small weight, half under equal ones (of two samples of n each, as everywhere).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import msgspec

from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.histogram import BOUNDS, Counts, above, class_of, difference, fell, rank
from tidegate.analysis.observation import Comparison, Look, Observation
from tidegate.analysis.settings import AnalysisSettings

BEYOND = 5
"""Durations of the stable revision that a slice has above the percentile: 100 in all for the 95th. With fewer the
threshold is known so badly that what is slower by half is hard to tell; with more, few requests a second are
judged late.
"""


class Rest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What whole numbers could not take yet of durations that count for less than one."""

    hits: float = 0.0
    of: float = 0.0


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where has been counted."""

    taken: Look
    """Requests, failures and outputs as they were at the last look, durations at the end of their last slice."""
    slow: Rest = Rest()
    slow_executions: Rest = Rest()


def advance(baseline: Baseline | None, now: Look, settings: AnalysisSettings) -> tuple[Evidence, Baseline]:
    """What came since ``baseline``, and up to where that is. With None counting begins ``now``.

    So it does where a count is smaller than before: its process was started again. What that had counted when it ended
    is lost, and so is what the new one has until this look.
    """
    if baseline is None or _anew(now, baseline.taken):
        return Evidence(), Baseline(taken=now)
    before = baseline.taken
    latency = _slice(_arms(now), _arms(before), settings)
    executions, stable_execution, canary_execution = _executions(now, before, settings)
    slow, slow_rest = _whole(baseline.slow, [latency] if latency else [])
    slow_executions, executions_rest = _whole(baseline.slow_executions, executions)
    durations = _arms(now if latency else before)
    taken = Look(
        Observation(now.stable.requests, now.stable.failures, durations.stable, stable_execution),
        Observation(now.canary.requests, now.canary.failures, durations.canary, canary_execution),
        now.outputs,
    )
    evidence = Evidence(
        stable_errors=_errors(now.stable, before.stable),
        canary_errors=_errors(now.canary, before.canary),
        slow=slow,
        slow_executions=slow_executions,
        outputs=_outputs(now.outputs, before.outputs),
    )
    return evidence, Baseline(taken=taken, slow=slow_rest, slow_executions=executions_rest)


class _Arms(msgspec.Struct, frozen=True):
    """Durations of one kind."""

    stable: Counts
    canary: Counts


def _arms(look: Look, rows: int | None = None) -> _Arms:
    if rows is None:
        return _Arms(look.stable.latency, look.canary.latency)
    return _Arms(look.stable.execution.get(rows, ()), look.canary.execution.get(rows, ()))


def _anew(now: Look, before: Look) -> bool:
    """Whether any count went backwards."""
    return (
        _fell(now.stable, before.stable)
        or _fell(now.canary, before.canary)
        or fell(_counts(now.outputs), _counts(before.outputs))
        or fell(now.outputs.scores, before.outputs.scores)
        or fell(now.outputs.shadow_scores, before.outputs.shadow_scores)
    )


def _fell(now: Observation, before: Observation) -> bool:
    return (
        fell((now.requests, now.failures), (before.requests, before.failures))
        or fell(now.latency, before.latency)
        or any(fell(now.execution.get(rows, ()), counts) for rows, counts in before.execution.items())
    )


def _counts(seen: Comparison) -> tuple[int, ...]:
    return (seen.compared, seen.different, seen.failed, seen.dropped, seen.top1_compared, seen.top1_agreed)


def _errors(now: Observation, before: Observation) -> Share:
    return Share(now.failures - before.failures, now.requests - before.requests)


def _executions(
    now: Look, before: Look, settings: AnalysisSettings
) -> tuple[list[Rest], Mapping[int, Counts], Mapping[int, Counts]]:
    """What slices that ended are worth, and what both arms' durations were at the end of the last of each size."""
    ended: list[Rest] = []
    stable, canary = dict(before.stable.execution), dict(before.canary.execution)
    for rows in now.canary.execution:
        arms = _arms(now, rows)
        slow = _slice(arms, _arms(before, rows), settings)
        if slow is not None:
            ended.append(slow)
            stable[rows], canary[rows] = arms.stable, arms.canary
    return ended, stable, canary


def _slice(now: _Arms, before: _Arms, settings: AnalysisSettings) -> Rest | None:
    """How many of the new revision's were slow, and of how many, if a slice ends here."""
    if settings.percentile is None:
        return None
    share = settings.percentile / 100.0
    of, against = sum(now.canary) - sum(before.canary), sum(now.stable) - sum(before.stable)
    if of == 0 or against < ceil(BEYOND / (1.0 - share)):
        return None
    stable, canary = difference(now.stable, before.stable), difference(now.canary, before.canary)
    threshold = settings.max_ratio * BOUNDS[class_of(stable, rank(against, share)) + 1]
    worth = (against + 2) / (against + of + 1)
    return Rest(above(canary, threshold) * worth, of * worth)


def _whole(rest: Rest, ended: list[Rest]) -> tuple[Share, Rest]:
    hits, of = rest.hits + sum(one.hits for one in ended), rest.of + sum(one.of for one in ended)
    return Share(int(hits), int(of)), Rest(hits - int(hits), of - int(of))


def _outputs(now: Comparison, before: Comparison) -> Comparison:
    return Comparison(
        compared=now.compared - before.compared,
        different=now.different - before.different,
        failed=now.failed - before.failed,
        dropped=now.dropped - before.dropped,
        max_absolute=now.max_absolute,  # of a largest one nobody can tell when it came
        max_relative=now.max_relative,
        top1_compared=now.top1_compared - before.top1_compared,
        top1_agreed=now.top1_agreed - before.top1_agreed,
        scores=difference(now.scores, before.scores),
        shadow_scores=difference(now.shadow_scores, before.shadow_scores),
    )
