"""What ``qda`` buys for requests that wait, or will, and what it counts on meanwhile."""

from __future__ import annotations

from math import ceil

import msgspec
import pytest

from tidegate.autoscaler.policy import ScalingConfig
from tidegate.autoscaler.qda import Qda
from tidegate.autoscaler.qda_state import QdaState
from tidegate.testing.scaled import QUIET, FluidService, play, poisson, quiet

POLICY = Qda()
CONFIG = ScalingConfig(least=1, most=40, slo=0.72, first_per_row=0.23, first_start=6.0)


def look(state: QdaState, now: float, config: ScalingConfig = CONFIG, **changes: object) -> QdaState:
    """The state after a quiet look with these changes."""
    return POLICY.decide(now, msgspec.structs.replace(QUIET, **changes), state, config).state


def test_a_late_backlog_is_bought_for_and_never_dropped() -> None:
    """120 wait: enough to answer them within the SLO are ordered, and none goes while they wait."""
    state = look(look(POLICY.begin(0.0, 2, CONFIG), 1.0, ready=2, provisioned=2), 2.0, ready=2, provisioned=2)
    waiting = msgspec.structs.replace(quiet(2), waiting=120)
    decision = POLICY.decide(3.0, waiting, state, CONFIG)
    assert decision.replicas > 10
    assert "120 waiting" in decision.reason
    state = decision.state
    for second in range(4, 50):
        later = POLICY.decide(float(second), msgspec.structs.replace(quiet(2), waiting=20), state, CONFIG)
        assert later.replicas >= decision.replicas
        state = later.state


def test_a_start_that_hangs_is_bought_for() -> None:
    """Four are on their way and enough; a minute later they are overdue, and the queue is what two replicas leave."""
    service = FluidService(replicas=2, start=6.0)
    state = play(POLICY, CONFIG, service, poisson(20.0, 120))[-1].state
    now = service.now + 1.0
    seen = msgspec.structs.replace(service.pass_second(20), waiting=5, ready=2, provisioned=6, warming=(now - 3.0,) * 4)
    hanging = msgspec.structs.replace(seen, warming=(now - 60.0,) * 4)
    in_time, overdue = (POLICY.decide(now, each, state, CONFIG) for each in (seen, hanging))
    assert (in_time.terms["overdue"], in_time.terms["N_drain"]) == (0, 0)
    assert (overdue.terms["overdue"], overdue.terms["backlog"] > in_time.terms["backlog"]) == (4, True)
    assert overdue.replicas > in_time.replicas
    assert "when what was ordered is ready without the 4 overdue" in overdue.reason


def test_what_is_overdue_has_no_share_in_a_backlog_either() -> None:
    """A few more will wait than two replicas may leave, and fewer than six might."""
    service = FluidService(replicas=2, start=6.0)
    state = play(POLICY, CONFIG, service, [13] * 120)[-1].state
    now = service.now + 1.0
    seen = msgspec.structs.replace(
        service.pass_second(13), waiting=0, ready=2, provisioned=6, warming=(now - 60.0,) * 4
    )
    terms = POLICY.decide(now, seen, state, CONFIG).terms
    assert 2 < terms["backlog"] / (terms["W"] / 2 * terms["mu"]) < 6
    assert terms["N_drain"] > 0


@pytest.mark.parametrize("slo", [None, 0.5, 2.0])
def test_a_backlog_is_to_be_answered_within_the_slo(slo: float | None) -> None:
    """Whoever said it."""
    config = msgspec.structs.replace(CONFIG, slo=slo)
    terms = POLICY.decide(1.0, msgspec.structs.replace(QUIET, waiting=90), POLICY.begin(0.0, 1, config), config).terms
    assert terms["SLO"] == pytest.approx(slo or 0.92)
    assert terms["N_drain"] == ceil((terms["fast"] + terms["backlog"] / terms["SLO"]) / terms["mu"]) > 1
