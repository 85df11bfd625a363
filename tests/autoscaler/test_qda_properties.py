"""What holds for ``qda`` whatever happened to a service: bounds, purity, and which way each number moves a decision.

A history is a list of seconds: how many came, and what of it the policy was told. Properties are of one more look at
the state that it left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, ScalingConfig
from tidegate.autoscaler.qda import Qda
from tidegate.autoscaler.qda_state import QdaState
from tidegate.testing.scaled import FluidService

POLICY = Qda()
TOLD = ("fresh", "fresh", "fresh", "stale", "missing", "repeated")


class Past(NamedTuple):
    """A service after some seconds, not looked at in the last of them."""

    now: float
    seen: Observation
    state: QdaState
    config: ScalingConfig


CONFIGS = st.builds(
    lambda least, more, slo, preference, batch, start: ScalingConfig(
        least=least,
        most=least + more,
        slo=slo,
        preference=preference,
        max_batch=batch,
        first_base=0.05,
        first_per_row=0.1,
        first_start=start,
    ),
    st.integers(0, 3),
    st.integers(1, 60),
    st.sampled_from([None, 0.15, 0.3, 0.72, 2.0, 6.0]),
    st.floats(0.0, 1.0),
    st.sampled_from([1, 8, 64]),
    st.sampled_from([0.5, 5.0, 30.0, 100.0]),
)


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """Phases of traffic at one rate each, with what is missing among them."""
    config = draw(CONFIGS)
    service = FluidService(single=0.1, start=draw(st.sampled_from([0.5, 5.0, 30.0])), replicas=draw(st.integers(0, 8)))
    state = POLICY.begin(0.0, service.ready, config)
    phases = draw(st.lists(st.tuples(st.integers(0, 120), st.integers(1, 45), st.sampled_from(TOLD)), max_size=14))
    for came, seconds, told in phases:
        for second in range(seconds):
            before = service.seen
            seen = service.pass_second(came)
            if second % 3 == 2:
                seen = before if told == "repeated" else msgspec.structs.replace(seen, fresh=told != "stale")
            missing = told == "missing" and second % 3 == 2
            decision = POLICY.decide(service.now, None if missing else seen, state, config)
            state = decision.state
            service.scale(decision.replicas)
    return Past(service.now + 1.0, service.pass_second(draw(st.integers(0, 120))), state, config)


def decide(past: Past) -> Decision[QdaState]:
    return POLICY.decide(past.now, past.seen, past.state, past.config)


def with_config(past: Past, change: Callable[[ScalingConfig], ScalingConfig]) -> Past:
    return past._replace(config=change(past.config))


@settings(max_examples=60)
@given(pasts())
def test_it_is_pure_and_within_bounds(past: Past) -> None:
    """The same for the same, from JSON as well; nothing given is changed; the sentence has both numbers."""
    before = msgspec.json.encode(past.state)
    decision = decide(past)
    assert msgspec.json.encode(past.state) == before
    stored = past._replace(state=msgspec.json.decode(before, type=QdaState))
    assert decide(stored) == decision
    assert past.config.least <= decision.replicas <= past.config.most
    assert decision.reason.startswith(f"{past.seen.provisioned} -> {decision.replicas}: ")
    assert decision.next_at is None or decision.next_at > past.now
    assert all(value >= 0.0 for value in decision.terms.values())


@settings(max_examples=60)
@given(pasts(), st.floats(1.0, 10.0))
def test_a_looser_slo_never_asks_for_more(past: Past, factor: float) -> None:
    """From the same state; of a service that has none, than the one it got."""
    looser = with_config(past, lambda config: msgspec.structs.replace(config, slo=decide(past).terms["SLO"] * factor))
    assert decide(looser).replicas <= decide(past).replicas


@settings(max_examples=60)
@given(pasts(), st.sampled_from([None, (0.0, 1e-4), (0.02, 0.001), (0.3, 0.1)]))
def test_an_slo_that_is_learned_is_one_like_others(past: Past, curve: tuple[float, float] | None) -> None:
    """Four times a request, at least 50 ms; who says the same gets the same, in all that follows from it."""
    past = past._replace(seen=msgspec.structs.replace(past.seen, curve=curve))
    learned = decide(with_config(past, lambda config: msgspec.structs.replace(config, slo=None)))
    slo = learned.terms["SLO"]
    assert slo == max(4.0 * learned.terms["single"], 0.05)
    assert decide(with_config(past, lambda config: msgspec.structs.replace(config, slo=slo))) == learned


@settings(max_examples=60)
@given(pasts(), st.integers(1, 5), st.one_of(st.floats(0.0, 60.0), st.floats(0.0, 1e4)))
def test_what_was_ordered_never_raises_the_wish(past: Past, count: int, ago: float) -> None:
    """A replica that is warming is capacity to come, or nothing where it is overdue, whenever it was ordered."""
    warming = tuple(sorted((*past.seen.warming, *(past.now - ago,) * count)))
    more = msgspec.structs.replace(past.seen, warming=warming, provisioned=past.seen.provisioned + count)
    assert decide(past._replace(seen=more)).replicas <= decide(past).replicas


@settings(max_examples=60)
@given(pasts(), st.integers(1, 5), st.integers(0, 500))
def test_what_is_overdue_is_as_if_it_were_not(past: Past, count: int, waiting: int) -> None:
    """It is told of, and is no capacity."""
    past = past._replace(seen=msgspec.structs.replace(past.seen, waiting=waiting))
    without = decide(past)
    ordered = past.now - without.terms["L_overdue"] - 1.0
    warming = (*(ordered,) * count, *past.seen.warming)
    with_it = decide(past._replace(seen=msgspec.structs.replace(past.seen, warming=warming)))
    assert with_it.replicas == without.replicas
    assert with_it.terms == without.terms | {"overdue": without.terms["overdue"] + count}


@settings(max_examples=60)
@given(pasts(), st.booleans(), st.floats(0.0, 500.0))
def test_missing_metrics_never_lower_it(past: Past, nothing: bool, later: float) -> None:
    """Whether nothing is known or only the replicas are, and however late the look is."""
    stale = msgspec.structs.replace(past.seen, fresh=False)
    decision = POLICY.decide(past.now + later, None if nothing else stale, past.state, past.config)
    assert decision.replicas >= min(past.state.replicas, past.config.most)
    assert decision.next_at is not None


@settings(max_examples=60)
@given(pasts())
def test_a_late_backlog_is_never_left_alone(past: Past) -> None:
    """While more waits than half the slack's work of those that are ready, nothing goes."""
    late = decide(past._replace(seen=msgspec.structs.replace(past.seen, waiting=100_000)))
    assert late.replicas >= min(past.state.replicas, past.config.most)


@settings(max_examples=60)
@given(pasts())
def test_a_look_that_is_repeated_changes_nothing(past: Past) -> None:
    """At the same time, whatever it says: the same number, and the same state but for what is counted by looks."""
    first = decide(past)
    again = decide(past._replace(state=first.state))
    assert again.replicas == first.replicas
    assert again.state.arrivals == first.state.arrivals
    assert again.state.service == first.state.service
    assert again.state.start == first.state.start
    assert again.state.headroom == first.state.headroom


@settings(max_examples=60)
@given(CONFIGS, st.integers(0, 100), st.integers(1, 29))
def test_a_restart_holds_what_runs(config: ScalingConfig, running: int, after: int) -> None:
    """For half a minute, when the state is lost and nothing comes."""
    quiet = Observation(
        arrivals=7, completions=7, busy_seconds=1.0, batches=7, waiting=0, ready=running, provisioned=running
    )
    state = POLICY.begin(1000.0, running, config)
    for second in range(after + 1):
        decision = POLICY.decide(1000.0 + second, quiet, state, config)
        state = decision.state
        assert decision.replicas == min(max(running, config.least), config.most)


@settings(max_examples=60)
@given(pasts(), st.floats(-1e6, 1e6))
def test_a_clock_that_jumps_is_a_look_among_others(past: Past, jump: float) -> None:
    """It is decided, within the bounds, and the next looks are a second apart again."""
    jumped = decide(past._replace(now=past.now + jump))
    later = decide(past._replace(now=past.now + jump + 1.0, state=jumped.state))
    assert past.config.least <= jumped.replicas <= past.config.most
    assert 0.0 <= jumped.state.clock.at - past.state.clock.at <= 1e6
    assert abs(later.state.clock.at - jumped.state.clock.at - 1.0) < 1e-6


@settings(max_examples=60)
@given(pasts(), st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0.0, 1e6))
def test_counters_may_say_anything(past: Past, arrivals: int, completions: int, busy: float) -> None:
    """No rate is negative, and no time; a service that is told nonsense is still within its bounds."""
    odd = msgspec.structs.replace(
        past.seen, arrivals=arrivals, completions=completions, batches=completions // 2, busy_seconds=busy
    )
    decision = decide(past._replace(seen=odd))
    assert past.config.least <= decision.replicas <= past.config.most
    assert decision.terms["forecast"] >= 0.0
    assert decision.terms["mu"] > 0.0
