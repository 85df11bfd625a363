"""Who won: outcomes of two policies side by side, cell by cell, and what the seeds say of how sure a mean is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum
from math import exp, log, sqrt
from typing import NamedTuple

from tidegate.autoscaler.simulator.outcome import Outcome

TOLERATED_VIOLATIONS = 0.0005
"""Share of all requests (0.05 points) by which violations may be higher without being worse."""
TOLERATED_COST = 0.005
"""Part by which replica-seconds may be higher without being worse."""

_STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Two-sided 95 % quantiles of Student's t, by degrees of freedom from 1 on; beyond, 2.13 to 1.96 is taken as 2.1."""


class Mean(NamedTuple):
    """Of some numbers, with the half width of its 95 % interval; 0 where there is one number only."""

    value: float
    half: float
    runs: int


class Summary(NamedTuple):
    """Of one policy in one cell, over seeds."""

    violations: Mean
    """Share of requests."""
    cost: Mean
    """Replica-seconds."""
    changes: Mean


class Cell(NamedTuple):
    """What is compared: one workload with one cold start."""

    workload: str
    cold_start: float


class Verdict(StrEnum):
    """Of one policy beside another in one cell."""

    WON = "won"
    """No worse on violations, and no worse on cost."""
    LATER = "more violations"
    """And no dearer."""
    DEARER = "dearer"
    """And no more violations."""
    LOST = "lost"
    """On both."""


class Duel(NamedTuple):
    """Two policies in one cell."""

    ours: Summary
    theirs: Summary
    verdict: Verdict


def mean(values: Sequence[float]) -> Mean:
    """With the interval of Student's t.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("there are no values, expected one at least")
    count = len(values)
    middle = sum(values) / count
    if count == 1:
        return Mean(middle, 0.0, 1)
    variance = sum((value - middle) ** 2 for value in values) / (count - 1)
    quantile = _STUDENT[count - 2] if count - 2 < len(_STUDENT) else 2.1
    return Mean(middle, quantile * sqrt(variance / count), count)


def summarise(outcomes: Iterable[Outcome]) -> dict[Cell, Summary]:
    """Of one policy: a summary of each cell, in the order in which they come."""
    found: dict[Cell, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        found[Cell(outcome.workload, outcome.cold_start)].append(outcome)
    return {
        cell: Summary(
            mean([each.violations for each in runs]),
            mean([each.replica_seconds for each in runs]),
            mean([float(each.changes) for each in runs]),
        )
        for cell, runs in found.items()
    }


def judge(ours: Summary, theirs: Summary) -> Verdict:
    """Means are compared, within what is tolerated."""
    later = ours.violations.value > theirs.violations.value + TOLERATED_VIOLATIONS
    dearer = ours.cost.value > theirs.cost.value * (1 + TOLERATED_COST)
    if later:
        return Verdict.LOST if dearer else Verdict.LATER
    return Verdict.DEARER if dearer else Verdict.WON


def compare(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> dict[Cell, Duel]:
    """Of two policies in one plant: in every cell that both were run in, over the seeds that both were run with."""
    common = {_run(each) for each in ours} & {_run(each) for each in theirs}
    mine = summarise(each for each in ours if _run(each) in common)
    other = summarise(each for each in theirs if _run(each) in common)
    return {cell: Duel(mine[cell], other[cell], judge(mine[cell], other[cell])) for cell in mine}


def _run(outcome: Outcome) -> tuple[str, float, int]:
    return outcome.workload, outcome.cold_start, outcome.seed


def geometric(values: Iterable[float]) -> float:
    """The geometric mean of positive numbers, so that a cell with many replicas does not decide alone."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs))
