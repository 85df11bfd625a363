"""What ``qda`` does with a service, as a whole."""

from __future__ import annotations

from itertools import pairwise

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


@pytest.mark.parametrize(("rate", "start", "changes"), [(20.0, 30.0, 12), (40.0, 100.0, 12), (40.0, 5.0, 24)])
def test_steady_traffic_is_left_alone(rate: float, start: float, changes: int) -> None:
    """Few changes in 20 minutes of Poisson arrivals, fewer where starts are dear; and nobody waits at the end."""
    service = FluidService(replicas=12, start=start)
    config = msgspec.structs.replace(CONFIG, first_start=1.3 * start)
    made = play(POLICY, config, service, poisson(rate, 1200))
    numbers = [decision.replicas for decision in made]
    assert sum(before != after for before, after in pairwise(numbers)) <= changes
    assert numbers[-1] > rate * 0.18
    assert service.waiting < rate


def test_a_burst_is_answered_at_once_and_kept_while_it_may_come_back() -> None:
    """Ten times the traffic; each burst finds more replicas than the one before it did."""
    service = FluidService(replicas=2, start=10.0)
    arrivals = (poisson(2.0, 200) + poisson(60.0, 60)) * 5
    made = play(POLICY, CONFIG, service, arrivals)
    assert max(decision.replicas for decision in made[200:206]) > 8
    before = [made[burst * 260 + 198].replicas for burst in range(5)]
    assert before[0] <= 3
    assert before[-1] > 8


def test_fresh_it_holds_what_runs() -> None:
    """Without traffic 30 s, then as far as the rule keeps, which without data and with short starts is not at all."""
    state = POLICY.begin(0.0, 12, CONFIG)
    for second in range(1, 30):
        decision = POLICY.decide(float(second), quiet(12), state, CONFIG)
        state = decision.state
        assert decision.replicas == 12
    assert POLICY.decide(30.0, quiet(12), state, CONFIG).replicas == 1


def test_the_first_arrival_wakes_it() -> None:
    """Also where it waits in the queue before any counter is known, and where counters began anew."""
    config = msgspec.structs.replace(CONFIG, least=0)
    asleep = look(POLICY.begin(0.0, 0, config), 1.0, config, ready=0, provisioned=0, arrivals=500)
    assert asleep.replicas == 0
    for arrivals, waiting in ((501, 0), (501, 1), (500, 1), (1, 1)):
        woken = look(asleep, 400.0, config, ready=0, provisioned=0, arrivals=arrivals, waiting=waiting)
        assert woken.replicas >= 1
    fresh = look(POLICY.begin(0.0, 0, config), 0.0, config, ready=0, provisioned=0, waiting=1)
    assert fresh.replicas >= 1


def test_a_service_sleeps_by_the_keep_rule() -> None:
    """After its last request and half a minute, later where waking is dear; never while something is answered."""

    def seconds_awake(start: float, in_flight: int = 0) -> int:
        config = msgspec.structs.replace(CONFIG, least=0, first_start=start)
        state = look(look(POLICY.begin(0.0, 1, config), 1.0, config), 2.0, config, arrivals=1, completions=1)
        for second in range(3, 1500):
            state = look(state, float(second), config, arrivals=1, completions=1, in_flight=in_flight)
            if state.replicas == 0:
                return second
        return 1500

    assert seconds_awake(0.2) == pytest.approx(2 + 60 + 30, abs=2)
    assert seconds_awake(30.0) > 400
    assert seconds_awake(0.2, in_flight=1) == 1500


def test_an_idle_service_is_left_alone() -> None:
    """The next look is when something ends; then it is for ever."""
    config = msgspec.structs.replace(CONFIG, least=0)
    state, now, looks = POLICY.begin(0.0, 6, config), 0.0, 0
    decision = POLICY.decide(now, quiet(6), state, config)
    while decision.next_at is not None:
        assert decision.next_at >= now + 1.0
        now, looks = decision.next_at, looks + 1
        decision = POLICY.decide(now, quiet(decision.replicas), decision.state, config)
    assert decision.replicas == 0
    assert looks < 40


def test_idle_looks_change_nothing() -> None:
    """A service that is looked at only when it says so decides as one that is looked at each second."""
    config = msgspec.structs.replace(CONFIG, least=0)
    service = FluidService(replicas=1, start=4.0)
    pattern = (poisson(30.0, 60) + [0] * 150) * 7
    state = play(POLICY, config, service, pattern)[-1].state
    counted, often, seldom = service.seen, state, state
    due: float | None = service.now + 1.0
    for second in range(1, 2000):
        now = service.now + second
        told = {"waiting": 0, "warming": (), "started": ()}
        each = msgspec.structs.replace(counted, **told, ready=often.replicas, provisioned=often.replicas)
        often = POLICY.decide(now, each, often, config).state
        if due is not None and now >= due:
            each = msgspec.structs.replace(counted, **told, ready=seldom.replicas, provisioned=seldom.replicas)
            decision = POLICY.decide(now, each, seldom, config)
            seldom, due = decision.state, decision.next_at
        assert often.replicas == seldom.replicas, second


def test_what_is_pre_warmed_stays_until_it_is_needed() -> None:
    """Gaps of 25 minutes, longer than anything is kept: started once before each ends, and not again and again."""
    config = msgspec.structs.replace(CONFIG, least=0, first_start=60.0)
    service = FluidService(replicas=1, start=60.0)
    made = play(POLICY, config, service, ([30] * 60 + [0] * 1500) * 9)
    gap = made[-1400:]
    slept = next(second for second, decision in enumerate(gap) if decision.replicas == 0)
    started = next(second for second in range(slept, 1400) if gap[second].replicas > 0)
    assert "pre-warmed" in gap[started].reason
    assert all(after.replicas >= before.replicas for before, after in pairwise(gap[started:]))


def test_silence_holds() -> None:
    """Without metrics nothing goes down, and the next good look is complete."""
    service = FluidService(replicas=10)
    state = play(POLICY, CONFIG, service, poisson(30.0, 300))[-1].state
    held = state.replicas
    for second in range(1, 61):
        seen = service.pass_second(30)
        stale = msgspec.structs.replace(seen, fresh=False) if second % 2 else None
        decision = POLICY.decide(service.now, stale, state, CONFIG)
        state = decision.state
        assert decision.replicas >= held
        assert f"metrics missing for {second} s" in decision.reason
    terms = POLICY.decide(service.now + 1, service.pass_second(30), state, CONFIG).terms
    assert terms["forecast"] == pytest.approx(30.0, rel=0.1)


def test_a_blackout_is_no_gap_of_demand() -> None:
    """100 s without a look at a level that was there before and is there after."""
    service = FluidService(replicas=10)
    before = state = play(POLICY, CONFIG, service, [30] * 100)[-1].state
    for _ in range(100):
        service.pass_second(30)
        state = POLICY.decide(service.now, None, state, CONFIG).state
    after = POLICY.decide(service.now + 1.0, service.pass_second(30), state, CONFIG)
    assert after.state.level >= before.level > 1
    assert after.state.gaps == before.gaps


def test_counters_that_begin_anew_are_no_traffic_and_no_silence() -> None:
    """The gateway was restarted and the state was kept: no negative rate, no drop, no burst."""
    service = FluidService(replicas=10)
    made = play(POLICY, CONFIG, service, poisson(30.0, 300))
    state, before = made[-1].state, made[-1]
    anew = msgspec.structs.replace(service.pass_second(30), arrivals=4, completions=3, busy_seconds=0.5, batches=3)
    decision = POLICY.decide(service.now, anew, state, CONFIG)
    assert decision.replicas >= before.replicas
    assert 0.8 * before.terms["forecast"] <= decision.terms["forecast"] <= before.terms["forecast"] + 1.0
    assert decision.terms["mu"] == before.terms["mu"]


@pytest.mark.parametrize("jump", [-86_400.0, -30.0, 45.0, 3600.0, 1e7])
def test_a_clock_that_jumps_takes_nothing_away(jump: float) -> None:
    """Steady traffic has no fewer replicas after it than it wanted before, nor a burst of them."""
    service = FluidService(replicas=10)
    made = play(POLICY, CONFIG, service, poisson(30.0, 300))
    usual = {decision.replicas for decision in made[200:]}
    state = made[-1].state
    for came in poisson(30.0, 120, seed=2):
        seen = service.pass_second(came)
        decision = POLICY.decide(service.now + jump, seen, state, CONFIG)
        state = decision.state
        service.scale(decision.replicas)
        assert min(usual) <= decision.replicas <= max(usual) + 3


def test_the_state_is_a_value_of_bounded_size() -> None:
    """It survives as JSON, in some kilobytes, and decides the same afterwards."""
    service = FluidService(replicas=3)
    made = play(POLICY, CONFIG, service, (poisson(60.0, 40) + poisson(5.0, 60)) * 20)
    stored = msgspec.json.encode(made[-1].state)
    assert len(stored) < 32_000
    again = msgspec.json.decode(stored, type=QdaState)
    assert again == made[-1].state
    seen = service.pass_second(20)
    assert POLICY.decide(service.now, seen, again, CONFIG) == POLICY.decide(service.now, seen, made[-1].state, CONFIG)
