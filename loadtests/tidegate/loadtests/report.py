"""What a run says: rates, latencies from the intended start, statuses, and whether the client itself kept up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from tidegate.loadtests.load import Sample

SUCCESSES = ("200", "OK")
LATE = 0.005
"""Seconds of client lag at p99 from which a report warns: timers of an event loop alone are late by about 0.001."""


class Latency(msgspec.Struct, frozen=True):
    """Seconds from the intended start to the end of the answer, failures included, as they make a user wait as well."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Report(msgspec.Struct, frozen=True):
    """The stable form of ``-o json``: fields are added, never renamed. Times in seconds, rates per second."""

    requests: int
    succeeded: int
    failed: int
    statuses: dict[str, int]
    duration: float
    """Of the measured part, warm-up left out, up to the last answer."""
    throughput: float
    """Successes per second of ``duration``."""
    intended_rate: float | None
    """Requests due per second of the time from the first to the last; None for a closed loop."""
    achieved_rate: float
    """Requests sent per second of the time from the first sent to the last."""
    latency: Latency | None
    """None where nothing was measured."""
    client_lag_p99: float
    """How late the client itself was, at p99."""
    interrupted: bool = False

    @property
    def client_was_late(self) -> bool:
        return self.client_lag_p99 > LATE


def summarize(samples: Iterable[Sample], took: float, warmup: float, *, open_loop: bool, interrupted: bool) -> Report:
    """The report on the samples meant to start at ``warmup`` or later, of a run that took so many seconds."""
    counted = sorted((s for s in samples if s.intended >= warmup), key=lambda s: s.intended)
    statuses = Counter(sample.status for sample in counted)
    succeeded = sum(statuses[status] for status in SUCCESSES)
    duration = max(0.0, took - warmup)
    taken = sorted(sample.ended - sample.intended for sample in counted)
    return Report(
        requests=len(counted),
        succeeded=succeeded,
        failed=len(counted) - succeeded,
        statuses=dict(sorted(statuses.items())),
        duration=duration,
        throughput=succeeded / duration if duration else 0.0,
        intended_rate=rate([sample.intended for sample in counted]) if open_loop else None,
        achieved_rate=rate(sorted(s.sent for s in counted if s.status != "unsent")),
        latency=Latency(*(percentile(taken, p) for p in (50, 90, 95, 99, 100))) if taken else None,
        client_lag_p99=percentile(sorted(sample.lag for sample in counted), 99) if counted else 0.0,
        interrupted=interrupted,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of ``ordered`` (ascending, not empty) that at least ``percent`` per cent do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def rate(times: Sequence[float]) -> float:
    """Events per second between the first and the last of ascending times; 0 for fewer than two."""
    span = times[-1] - times[0] if times else 0.0
    return (len(times) - 1) / span if span else 0.0


def table(report: Report) -> str:
    """The report for a person: one fact per line, latencies in milliseconds."""
    lines = [
        f"requests     {report.requests} in {report.duration:.2f} s, {report.succeeded} succeeded",
        "statuses     " + (", ".join(f"{status}: {n}" for status, n in report.statuses.items()) or "none"),
        f"throughput   {report.throughput:.1f} successes/s",
    ]
    if report.intended_rate is not None:
        lines.append(f"rate         {report.achieved_rate:.1f}/s sent, {report.intended_rate:.1f}/s intended")
    if report.latency is not None:
        shown = (f"{name} {seconds * 1000:.2f}" for name, seconds in msgspec.structs.asdict(report.latency).items())
        lines.append("latency ms   " + "  ".join(shown))
    lines.append(f"client lag   p99 {report.client_lag_p99 * 1000:.2f} ms")
    if report.client_was_late:
        lines.append("warning: the client itself was late; its latencies are not the server's alone")
    if report.interrupted:
        lines.append("interrupted: this is the report so far")
    return "\n".join(lines)
