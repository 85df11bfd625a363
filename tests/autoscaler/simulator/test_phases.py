"""One run, with the looks of the policy at other times in their second."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tidegate.autoscaler.policies import policy_of
from tidegate.autoscaler.policy import ScalingConfig
from tidegate.autoscaler.simulator import generators
from tidegate.autoscaler.simulator.conditions import Conditions
from tidegate.autoscaler.simulator.phases import play
from tidegate.autoscaler.simulator.run import simulate
from tidegate.autoscaler.simulator.workload import Service, Workload

RATE = generators.steps([(4.0, 60.0), (30.0, 60.0)])
WORKLOAD = Workload(
    name="step",
    arrivals=generators.poisson(RATE, np.random.default_rng(1)),
    duration=RATE.duration,
    service=Service(),
    most=20,
    begin=3,
)
CONFIG = ScalingConfig(least=1, most=20, slo=0.72)
CONDITIONS = Conditions(late=0, dropped=0.0)


def test_the_first_play_is_the_run_itself() -> None:
    """The others are of the same requests, and each has looked as often, or once more."""
    first, *others = play(WORKLOAD, policy_of("qda"), CONFIG, CONDITIONS, phases=4)
    assert first.outcome == simulate(WORKLOAD, policy_of("qda"), CONFIG, CONDITIONS, plant="product")
    assert {each.outcome.requests for each in others} == {first.outcome.requests}
    assert [each.looks[0].at for each in (first, *others)] == [1.0, 0.75, 0.5, 0.25]
    assert {len(each.looks) for each in (first, *others)} == {120, 121}


def test_what_is_before_the_beginning_is_not_paid_for() -> None:
    """Replicas of a fixed number cost the same in every play."""
    config = msgspec.structs.replace(CONFIG, least=3, most=3)
    found = play(WORKLOAD, policy_of("fixed"), config, CONDITIONS, phases=5)
    assert [each.outcome.replica_seconds for each in found] == pytest.approx([3 * 120.0] * 5)


def test_looks_are_what_was_seen_and_decided() -> None:
    """It begins with the replicas that there are, and ends with what the load needs."""
    [played] = play(WORKLOAD, policy_of("qda"), CONFIG, CONDITIONS, phases=1)
    assert played.looks[0].ready == 3
    assert played.looks[-1].desired > 5
