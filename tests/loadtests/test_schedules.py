"""What a service is asked while it is measured: the same every time, after a quiet lead."""

from __future__ import annotations

import numpy as np
import pytest

from tidegate.autoscaler.simulator.workload import Service, Workload
from tidegate.loadtests.schedules import HIGH, LOW, QUIET, SCHEDULES, schedule

LEAD, SECONDS = 60.0, 300.0


def made(name: str, times: float = 1.0) -> Workload:
    return schedule(name, SECONDS, LEAD, Service(), 1, times)


@pytest.mark.parametrize("name", SCHEDULES)
def test_requests_come_in_order_and_within_the_time(name: str) -> None:
    """The same arguments give the same requests, ascending, and none after the end."""
    found = made(name)
    assert found.duration == LEAD + SECONDS
    assert np.array_equal(found.arrivals, made(name).arrivals)
    assert np.all(np.diff(found.arrivals) >= 0)
    assert found.arrivals[-1] < found.duration


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_lead_is_quiet_whatever_comes_after_it(name: str) -> None:
    """What is to be measured begins after it."""
    lead = made(name, times=2.0).arrivals
    assert np.count_nonzero(lead < LEAD) == pytest.approx(QUIET * LEAD, rel=0.2)


def test_a_step_is_ten_times_as_high() -> None:
    """In the middle third, and as low as before after it."""
    arrivals = made("step").arrivals - LEAD
    thirds = np.histogram(arrivals[arrivals >= 0], bins=3, range=(0, SECONDS))[0] / 100
    assert thirds == pytest.approx([LOW, HIGH, LOW], rel=0.2)
    assert HIGH == 10 * LOW


def test_bursts_come_and_go() -> None:
    """Some tens of seconds are loud, the others nearly silent."""
    counts = np.histogram(made("on_off").arrivals, bins=30, range=(LEAD, LEAD + SECONDS))[0] / 10
    assert np.count_nonzero(counts > 30) >= 6
    assert np.count_nonzero(counts < 5) >= 6
