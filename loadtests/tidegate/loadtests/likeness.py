"""A run that was measured beside what was simulated of it: figures, what they differ by, and the time-line. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.loadtests.census import Count, at
from tidegate.loadtests.comparison import columns
from tidegate.loadtests.load import Sample
from tidegate.loadtests.report import SUCCESSES

POINTS, PART = 3.0, 0.2
"""What measured and simulated may differ by: points of violations, and the part of replica-seconds."""


class Figures(msgspec.Struct, frozen=True):
    """What is compared."""

    violations: float
    """Per cent of the requests that were late, refused, failed or never answered."""
    replica_seconds: float
    changes: float
    p99: float
    """Seconds; infinity where more than 1 % were never answered."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run; a line of a file of results."""

    schedule: str
    policy: str
    options: dict[str, Any]
    statuses: dict[str, int]
    measured: Figures
    simulated: list[Figures]
    """Of each play."""
    starts: list[float]
    """Seconds from order to ready, as they were measured."""
    called_off: list[float]
    """Seconds since the order, of those that were never ready."""
    start: float
    """Mean of all of them, as the simulator gets it."""
    lag: float
    """By how many seconds the client itself was late, at p99."""
    processor: dict[str, float]
    """Share of one core that gateway, replicas and client took."""
    load_average: tuple[float, float]
    """Of the machine, when it began and when it ended."""
    history: list[dict[str, Any]]
    """The last changes and their reasons, as ``status.scaling`` has them."""
    samples: list[Sample]
    counts: list[Count]
    looks: list[Count]
    """Of the first play."""


class Difference(msgspec.Struct, frozen=True):
    """Of what was measured from the mean of what was simulated."""

    points: float
    """Of violations."""
    part: float
    """Of replica-seconds; 0 is none."""

    @property
    def within(self) -> bool:
        return abs(self.points) <= POINTS and abs(self.part) <= PART


def mean(values: Sequence[Figures]) -> Figures:
    """Of several plays, at least one."""
    return Figures(*(sum(getattr(one, name) for one in values) / len(values) for name in Figures.__struct_fields__))


def difference(result: Result) -> Difference:
    """What is to be explained where it is not within."""
    simulated = mean(result.simulated)
    points = result.measured.violations - simulated.violations
    return Difference(points, result.measured.replica_seconds / simulated.replica_seconds - 1)


def late(sample: Sample, slo: float) -> bool:
    """Late, refused, failed or never answered. The time counts from when it was meant to be sent."""
    return sample.status not in SUCCESSES or sample.ended - sample.intended > slo


def table(results: Sequence[Result]) -> str:
    """A line for each run."""
    head = ("", "late", "simulated", "points", "replica-s", "simulated", "part", "changes", "p99, s", "within")
    return columns(head, [_line(each) for each in results])


def _line(result: Result) -> tuple[str, ...]:
    ours, plays, simulated = result.measured, result.simulated, mean(result.simulated)
    differs = difference(result)
    return (
        f"{result.schedule} {result.policy}",
        f"{ours.violations:.2f} %",
        f"{simulated.violations:.2f} % {_range([one.violations for one in plays], '.1f')}",
        f"{differs.points:+.2f}",
        f"{ours.replica_seconds:,.0f}",
        f"{simulated.replica_seconds:,.0f} {_range([one.replica_seconds for one in plays], ',.0f')}",
        f"{100 * differs.part:+.1f} %",
        f"{ours.changes:.0f} : {simulated.changes:.0f}",
        f"{ours.p99:.2f} : {simulated.p99:.2f}",
        "yes" if differs.within else "no",
    )


def _range(values: Sequence[float], form: str) -> str:
    return f"[{min(values):{form}}..{max(values):{form}}]"


def timeline(result: Result, slo: float, duration: float, width: float) -> str:
    """What was asked, and replicas side by side, a column for every ``width`` seconds."""
    ends = [width * (k + 1) for k in range(math.ceil(duration / width))]
    bins: list[list[Sample]] = [[] for _ in ends]
    for sample in result.samples:
        bins[min(int(sample.intended / width), len(bins) - 1)].append(sample)
    rows: dict[str, list[float]] = {
        "requests/s": [len(each) / width for each in bins],
        "late, %": [100 * sum(late(sample, slo) for sample in each) / max(len(each), 1) for each in bins],
        "desired": [at(result.counts, end).desired for end in ends],
        "  simulated": [at(result.looks, end).desired for end in ends],
        "ready": [at(result.counts, end).ready for end in ends],
        "  simulated ": [at(result.looks, end).ready for end in ends],
    }
    cells = [(name, *(f"{value:.0f}" for value in values)) for name, values in rows.items()]
    return columns(("until second", *(f"{end:.0f}" for end in ends)), cells)


def shown(result: Result) -> str:
    """What a run was like, in a few lines."""
    statuses = ", ".join(f"{status}: {number:,}" for status, number in sorted(result.statuses.items()))
    cores = ", ".join(f"{name} {100 * part:.0f} %" for name, part in result.processor.items())
    began, ended = result.load_average
    return (
        f"{result.schedule}, {result.policy}: {len(result.samples):,} requests ({statuses})\n"
        f"{len(result.starts)} starts, {len(result.called_off)} called off, mean {result.start:.2f} s; of one core: "
        f"{cores}; load average of the machine {began:.1f} to {ended:.1f}; client late by {result.lag * 1e3:.1f} ms "
        "at p99"
    )
