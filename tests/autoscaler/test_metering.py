"""What a second's value is, and what becomes of seconds that nobody looked at."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tidegate.autoscaler.metering import Series, mean, record
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Metric

NOTHING = Observation(arrivals=0, completions=0, busy_seconds=0.0, batches=0, waiting=0, ready=2, provisioned=2)


def seen(metric: Metric, *looks: tuple[float, Observation], keep: float = 60.0) -> Series:
    series = Series()
    for now, look in looks:
        series = record(series, now, look, metric, keep)
    return series


def test_concurrency_is_what_waits_and_what_is_executed() -> None:
    """Of all replicas together, at the instant."""
    series = seen("concurrency", (1.0, replace(NOTHING, waiting=3, in_flight=4)), (2.0, replace(NOTHING, waiting=1)))
    assert series.values == (7.0, 1.0)


def test_a_rate_makes_up_for_missed_looks() -> None:
    """40 in 4 s are 10 in each."""
    series = seen("rps", (1.0, NOTHING), (5.0, replace(NOTHING, arrivals=40)))
    assert (series.seconds, series.values) == ((2, 3, 4, 5), (10.0,) * 4)


def test_a_level_between_two_looks_is_not_known() -> None:
    """It does not count, neither as 0 nor as what was before."""
    series = seen("concurrency", (1.0, replace(NOTHING, waiting=4)), (5.0, replace(NOTHING, waiting=8)))
    assert mean(series, 5.0, 60.0) == 6.0


def test_busy_is_how_many_were_executing() -> None:
    """3 s of execution in 2 s are one and a half replicas."""
    series = seen("cpu", (1.0, NOTHING), (3.0, replace(NOTHING, busy_seconds=3.0)))
    assert mean(series, 3.0, 60.0) == 1.5


@pytest.mark.parametrize("counted", [(0.0, 0.0, 0.0, 4.0), (1.0, 2.0, 3.0, 4.0)])
def test_an_execution_that_outlasts_looks_is_busy_for_as_long(counted: tuple[float, ...]) -> None:
    """One replica in four seconds, whether its time is counted when it is over or while it lasts."""
    looks = ((now, replace(NOTHING, busy_seconds=busy)) for now, busy in enumerate((0.0, *counted), 1))
    series = seen("cpu", *((float(now), look) for now, look in looks))
    assert mean(series, 5.0, 60.0) == 1.0


@pytest.mark.parametrize("metric", ["rps", "cpu"])
def test_a_counter_that_begins_anew_is_no_negative_rate(metric: Metric) -> None:
    """What it has counted since then has come."""
    before = replace(NOTHING, arrivals=1000, busy_seconds=1000.0)
    series = seen(metric, (1.0, before), (2.0, replace(NOTHING, arrivals=5, busy_seconds=5.0)))
    assert series.values == (5.0,)


@pytest.mark.parametrize(("metric", "expected"), [("concurrency", (3.0,)), ("rps", ())])
def test_a_second_look_in_one_second(metric: Metric, expected: tuple[float, ...]) -> None:
    """The last level counts; a rate waits for the next second, and nothing of it is lost."""
    series = seen(metric, (1.1, NOTHING), (1.6, replace(NOTHING, waiting=3, arrivals=3)))
    assert series.values == expected
    if metric == "rps":
        series = record(series, 2.1, replace(NOTHING, arrivals=4), metric, 60.0)
        assert sum(series.values) == pytest.approx(4.0)


def test_it_keeps_as_much_as_it_is_told() -> None:
    """However long nobody looked."""
    series = seen("rps", *((float(now), replace(NOTHING, arrivals=now)) for now in range(200)), keep=10.0)
    assert series.seconds == tuple(range(190, 200))
    series = record(series, 1e6, replace(NOTHING, arrivals=500), "rps", 10.0)
    assert len(series.values) == 10


@pytest.mark.parametrize("metric", ["concurrency", "rps", "cpu"])
def test_what_was_silent_counts_as_empty(metric: Metric) -> None:
    """All that comes is of the last second."""
    series = replace(seen(metric, (1.0, NOTHING), (2.0, NOTHING)), silent=True)
    after = replace(NOTHING, waiting=6, arrivals=6, busy_seconds=6.0)
    series = record(series, 100.0, after, metric, 60.0)
    assert series.values[-1] == 6.0
    assert mean(series, 100.0, 60.0) == 0.1
    assert not series.silent
