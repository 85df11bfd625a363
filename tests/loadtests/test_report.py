"""The arithmetic of a report on latencies that are known."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.loadtests.load import Sample
from tidegate.loadtests.report import Report, percentile, rate, summarize, table

SAMPLES = [Sample(n / 10, n / 10, n / 10 + (n + 1) / 1000, "200" if n else "503", lag=0.002) for n in range(100)]
"""One each tenth of a second, taking 1 to 100 ms; the first fails."""


def known(interrupted: bool = False) -> Report:
    return summarize(SAMPLES, 10.0, 0.0, open_loop=True, interrupted=interrupted)


def test_the_numbers_are_those_of_the_samples() -> None:
    """Percentiles are latencies that occurred, a throughput counts successes only."""
    report = known()
    assert report.latency is not None
    assert msgspec.structs.astuple(report.latency) == pytest.approx((0.05, 0.09, 0.095, 0.099, 0.1))
    assert (report.requests, report.succeeded, report.failed) == (100, 99, 1)
    assert report.statuses == {"200": 99, "503": 1}
    assert report.throughput == pytest.approx(9.9)
    assert report.intended_rate == pytest.approx(10)


def test_latency_counts_from_the_intended_start() -> None:
    """A request that was sent late by a second has waited that second."""
    report = summarize([Sample(1.0, 2.0, 2.5, "OK")], 3.0, 0.0, open_loop=True, interrupted=False)
    assert report.latency is not None
    assert report.latency.max == 1.5


def test_a_late_client_is_warned_of() -> None:
    """Five milliseconds of its own at p99 are more than timers explain."""
    late = summarize([Sample(0, 0.02, 0.03, "OK", lag=0.02)], 1.0, 0.0, open_loop=True, interrupted=False)
    assert "warning: the client itself was late" in table(late)
    assert "warning" not in table(known())


def test_the_table_tells_all() -> None:
    """It is read by people, one fact per line."""
    assert table(known(interrupted=True)).splitlines() == [
        "requests     100 in 10.00 s, 99 succeeded",
        "statuses     200: 99, 503: 1",
        "throughput   9.9 successes/s",
        "rate         10.0/s sent, 10.0/s intended",
        "latency ms   p50 50.00  p90 90.00  p95 95.00  p99 99.00  max 100.00",
        "client lag   p99 2.00 ms",
        "interrupted: this is the report so far",
    ]


def test_nothing_measured_is_a_report_too() -> None:
    """An interrupt within the warm-up leaves no latency, and no division by zero."""
    empty = summarize([], 1.0, 5.0, open_loop=False, interrupted=True)
    assert (empty.latency, empty.throughput, empty.achieved_rate, empty.intended_rate) == (None, 0.0, 0.0, None)
    assert msgspec.json.decode(msgspec.json.encode(empty), type=Report) == empty


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_divides(values: list[float], percent: int) -> None:
    """At least so many per cent do not exceed it, and fewer do not exceed anything smaller."""
    values.sort()
    found = percentile(values, percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_the_rate_of_too_few_is_none() -> None:
    """One event has no rate."""
    assert (rate([]), rate([1.0]), rate([1.0, 1.0]), rate([0, 1, 2])) == (0, 0, 0, 1)
