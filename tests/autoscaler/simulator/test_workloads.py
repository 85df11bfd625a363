"""Workloads are made of a name and a seed, and are what their name says."""

from __future__ import annotations

import numpy as np
import pytest

from tidegate.autoscaler.simulator import catalogue, generators, traces
from tidegate.autoscaler.simulator.catalogue import make


@pytest.mark.parametrize("name", catalogue.names())
def test_arrivals_ascend_and_lie_within(name: str) -> None:
    """From 0 to below the duration, and there are as many replicas at first as half more than the mean load."""
    found = make(name, 3)
    assert np.all(np.diff(found.arrivals) >= 0)
    assert found.arrivals[0] >= 0
    assert found.arrivals[-1] < found.duration
    assert found.initial == max(1, np.ceil(1.5 * found.rate / found.service.capacity))


@pytest.mark.parametrize("name", ["mmpp", "heavy", "az_d0bc"])
def test_a_seed_gives_the_same_again(name: str) -> None:
    """And another one something else."""
    assert make(name, 1).arrivals.tobytes() == make(name, 1).arrivals.tobytes()
    assert make(name, 1).arrivals.tobytes() != make(name, 2).arrivals.tobytes()


def test_the_design_is_kept_to() -> None:
    """Seventeen workloads, with the durations and mean rates that follow from their descriptions."""
    assert len(catalogue.WORKLOADS) == 17
    expected = {
        "llm_code": (3437, 8819 / 3437),
        "step": (2400, (20 * 1680 + 200 * 720) / 2400),
        "ramp": (4200, (10 * 900 + 150 * 300 + 80 * 3000) / 4200),
        "diurnal": (10800, 40),
        "flat": (5400, 40),
        "az_d0bc": (18000, None),
        "az_9c61": (14400, None),
        "az_01f1": (18000, None),
        "az_bd33": (10800, None),
        "onoff_900": (14400, None),
        "mmpp_b8": (3600, None),
    }
    for name, (duration, rate) in expected.items():
        found = make(name, 0)
        assert found.duration == duration
        assert rate is None or found.rate == pytest.approx(rate, rel=0.02)


def test_an_unknown_name() -> None:
    """It is refused with those that there are."""
    with pytest.raises(ValueError, match="workload is 'nix', expected one of llm_code, az_d0bc"):
        make("nix", 0)


def test_poisson_arrivals_have_the_mean_and_the_spread() -> None:
    """Counts of windows have their mean for a variance, within 10 %, and the rate of each piece."""
    found = generators.poisson(generators.steps([(50.0, 500.0), (5.0, 500.0)]), np.random.default_rng(1))
    counts = np.histogram(found, np.arange(0.0, 501.0))[0]
    assert counts.mean() == pytest.approx(50, rel=0.03)
    assert counts.var() == pytest.approx(50, rel=0.15)
    assert np.count_nonzero(found >= 500) == pytest.approx(2500, rel=0.06)


def test_minutes_keep_their_counts() -> None:
    """Calls are spread within their minute, and none is lost."""
    found = traces.spread([3, 0, 5], 2.0, np.random.default_rng(1))
    assert np.histogram(found, [0, 60, 120, 180])[0].tolist() == [6, 0, 10]


def test_the_first_seconds() -> None:
    """Only what comes in them is left."""
    found = make("step", 0).first(100.0)
    assert found.duration == 100.0
    assert found.arrivals[-1] < 100.0


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["3.5", "1.0"], [0.0, 2.5]),
        (["TIMESTAMP,A,B", "2023-11-16 18:17:03.9799600,1,1", "2023-11-16 18:17:05.9799600,1,1"], [0.0, 2.0]),
    ],
)
def test_stamps(lines: list[str], expected: list[float]) -> None:
    """Seconds, or times of day as Azure writes them; sorted, from 0 on."""
    assert traces.read_stamps(lines) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "the trace holds no arrival"),
        (["1", "x"], "line 2 of the trace has 'x'; expected a number of seconds"),
        (["TIMESTAMP,A", "12"], "line 2 of the trace has '12'; expected a time as"),
        (["nan"], "line 1 of the trace has 'nan'; expected a number"),
    ],
)
def test_what_is_no_trace(lines: list[str], told: str) -> None:
    """One sentence that names the line."""
    with pytest.raises(ValueError, match=told):
        traces.read_stamps(lines)


def test_rows_of_the_functions_trace() -> None:
    """A row has 1440 counts; one with others is refused with its line."""
    head = "hash_function,day,1"
    assert next(traces.read_days([head, f"abc,8{',2' * 1440}"])) == ("abc", 8, (2,) * 1440)
    with pytest.raises(ValueError, match="line 2 of the trace has 3 counts, expected 1440"):
        list(traces.read_days([head, "abc,8,1,2,3"]))
    with pytest.raises(ValueError, match="line 2 of the trace has something that is no number"):
        list(traces.read_days([head, f"abc,8{',x' * 1440}"]))
