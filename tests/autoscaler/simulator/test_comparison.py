"""The rule by which a comparison is won, what seeds say of a mean, and the bound of who knows the future."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.simulator.clairvoyant import bound
from tidegate.autoscaler.simulator.comparison import (
    Cell,
    Mean,
    Summary,
    Verdict,
    compare,
    geometric,
    judge,
    mean,
    summarise,
)
from tidegate.autoscaler.simulator.outcome import Outcome
from tidegate.autoscaler.simulator.table import rows
from tidegate.autoscaler.simulator.workload import Service, Workload


def summary(violations: float, cost: float) -> Summary:
    return Summary(Mean(violations, 0.0, 1), Mean(cost, 0.0, 1), Mean(0.0, 0.0, 1))


def outcome(policy: str, late: int, cost: float, seed: int = 0, cold_start: float = 5.0) -> Outcome:
    return Outcome(
        workload="step",
        policy=policy,
        cold_start=cold_start,
        seed=seed,
        plant="own",
        requests=1000,
        late=late,
        replica_seconds=cost,
        changes=3,
        p99=0.5,
    )


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ((0.0104, 1004.0), Verdict.WON),
        ((0.0106, 1004.0), Verdict.LATER),
        ((0.0104, 1006.0), Verdict.DEARER),
        ((0.0106, 1006.0), Verdict.LOST),
        ((0.0, 1.0), Verdict.WON),
    ],
)
def test_the_rule(ours: tuple[float, float], verdict: Verdict) -> None:
    """A win is no worse on violations, within 0.05 points, and on cost, within 0.5 %."""
    assert judge(summary(*ours), summary(0.01, 1000.0)) is verdict


def test_only_what_both_were_run_in_is_compared() -> None:
    """Cell by cell and seed by seed, so that a comparison that was interrupted says nothing of what it has not run."""
    ours = [outcome("a", 1, 9.0), outcome("a", 99, 99.0, seed=1), outcome("a", 1, 9.0, cold_start=30.0)]
    theirs = [outcome("b", 2, 10.0), outcome("b", 2, 10.0, seed=2)]
    found = compare(ours, theirs)
    assert {cell: duel.verdict for cell, duel in found.items()} == {Cell("step", 5.0): Verdict.WON}
    assert found[Cell("step", 5.0)].ours == summarise(ours[:1])[Cell("step", 5.0)]


def test_an_interval_is_students() -> None:
    """Of 1, 2, 3 the mean is 2 and the half width 4.303 / sqrt(3)."""
    found = mean([1.0, 2.0, 3.0])
    assert (found.value, found.half, found.runs) == pytest.approx((2.0, 4.303 / 3**0.5, 3))
    assert mean([5.0]) == (5.0, 0.0, 1)
    with pytest.raises(ValueError, match="one at least"):
        mean([])


def test_geometric_mean() -> None:
    """Of 2 and 8 it is 4."""
    assert geometric([2.0, 8.0]) == pytest.approx(4.0)


def test_rows_mark_those_that_nobody_beats_on_both() -> None:
    """And stand in the order of their cold starts, with means over seeds."""
    runs = [outcome("a", 10, 100.0), outcome("a", 20, 200.0, seed=1), outcome("b", 30, 90.0), outcome("c", 40, 95.0)]
    found = rows(runs, {("step", 5.0, 0): 50.0, ("step", 5.0, 1): 70.0})
    assert [(row.policy, row.efficient) for row in found] == [("a", True), ("b", True), ("c", False)]
    assert (found[0].violations, found[0].replica_seconds, found[0].bound) == pytest.approx((0.015, 150.0, 60.0))
    assert found[1].violations_half is None


def workload(arrivals: list[float], duration: float, service: Service, least: int = 1) -> Workload:
    return Workload(name="t", arrivals=np.array(arrivals), duration=duration, service=service, least=least)


def test_the_bound_of_an_idle_service_is_the_least_that_may_run() -> None:
    """Without requests it is ``least`` replicas all the time."""
    assert bound(workload([], 100.0, Service(), least=2), 30.0) == 200.0


def test_the_bound_counts_a_start_for_each_burst_or_what_lies_between() -> None:
    """Two bursts that need 10 replicas each: the 9 more are started twice, or kept where that is cheaper."""
    service = Service(per_row=1.0, slo=1.0)
    burst = [k / 20 for k in range(380)]  # 20 requests a second for 19 of 20 s
    arrivals = [*(100 + at for at in burst), *(300 + at for at in burst)]
    short, long = (bound(workload(arrivals, 400.0, service), start) for start in (10.0, 1000.0))
    least, most = 2 * 380 + 360 - 40, 2 * 400 + 360
    assert least + 2 * 15 * 10 <= short <= most + 2 * 20 * 10
    assert long > short + 15 * 150  # 15 of them at least, kept for most of the 180 s between


@given(
    arrivals=st.lists(st.floats(0.0, 99.0), max_size=200).map(sorted),
    starts=st.lists(st.floats(0.0, 200.0), min_size=2, max_size=4).map(sorted),
)
def test_the_bound_grows_with_the_cold_start(arrivals: list[float], starts: list[float]) -> None:
    """And is never below the work, nor below the least replicas."""
    load = workload(arrivals, 100.0, Service(per_row=0.5, slo=1.0))
    found = [bound(load, start) for start in starts]
    assert all(one <= other + 1e-6 for one, other in pairwise(found))
    assert found[0] >= max(100.0, 0.5 * len(arrivals)) - 1e-6
