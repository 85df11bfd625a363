"""A comparison of policies in numbers: one row for each policy and cold start, over all seeds and days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tidegate.autoscaler.simulator.comparison import Mean, mean
from tidegate.autoscaler.simulator.outcome import Outcome


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Means, and the half width of their 95 % intervals: None where there was one run only."""

    cold_start: float
    policy: str
    runs: int
    violations: float
    """Share of requests."""
    violations_half: float | None
    replica_seconds: float
    replica_seconds_half: float | None
    bound: float
    """Replica-seconds of the clairvoyant bound, on average of the same runs."""
    changes: float
    p99: float | None
    """Seconds; None where more than 1 % of a run were never answered."""
    efficient: bool
    """Whether no other policy with this cold start has fewer violations at no more cost, or costs less at no more."""


def rows(outcomes: Iterable[Outcome], bounds: Mapping[tuple[str, float, int], float]) -> list[Row]:
    """In the order in which policies come. ``bounds`` are by workload, cold start and seed."""
    groups: dict[tuple[float, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.cold_start, outcome.policy].append(outcome)
    found = [
        _row(cold_start, policy, runs, bounds) for (cold_start, policy), runs in sorted(groups.items(), key=_by_start)
    ]
    return [msgspec.structs.replace(row, efficient=_efficient(row, found)) for row in found]


def _by_start(item: tuple[tuple[float, str], list[Outcome]]) -> float:
    return item[0][0]


def _row(
    cold_start: float, policy: str, runs: Sequence[Outcome], bounds: Mapping[tuple[str, float, int], float]
) -> Row:
    violations = mean([run.violations for run in runs])
    cost = mean([run.replica_seconds for run in runs])
    p99s = [run.p99 for run in runs]
    return Row(
        cold_start=cold_start,
        policy=policy,
        runs=len(runs),
        violations=violations.value,
        violations_half=_half(violations),
        replica_seconds=cost.value,
        replica_seconds_half=_half(cost),
        bound=mean([bounds[run.workload, run.cold_start, run.seed] for run in runs]).value,
        changes=mean([float(run.changes) for run in runs]).value,
        p99=None if None in p99s else mean([each for each in p99s if each is not None]).value,
        efficient=False,
    )


def _half(found: Mean) -> float | None:
    return found.half if found.runs > 1 else None


def _efficient(row: Row, others: Sequence[Row]) -> bool:
    return not any(
        other.cold_start == row.cold_start
        and other.violations <= row.violations
        and other.replica_seconds <= row.replica_seconds
        and (other.violations < row.violations or other.replica_seconds < row.replica_seconds)
        for other in others
    )
