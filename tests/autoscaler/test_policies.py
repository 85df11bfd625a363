"""What holds of every policy, whatever it sees: bounds, purity, states as JSON, and nothing down on silence."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tidegate.autoscaler.hpa_settings import HpaSettings, KedaSettings
from tidegate.autoscaler.kpa_settings import KpaSettings
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policies import policy_of, state_of
from tidegate.autoscaler.policy import Decision, Policy, ScalingConfig, within
from tidegate.autoscaler.ray import RaySettings
from tidegate.protocol.errors import InvalidRequest

BASELINES = ("fixed", "kpa", "hpa", "ray")
SPRY: dict[str, msgspec.Struct | None] = {
    "fixed": None,
    "kpa": KpaSettings(
        stable_window=6.0, scale_down_delay=4.0, scale_to_zero_grace=2.0, averaging="weightedExponential"
    ),
    "hpa": HpaSettings(sync=2.0, window=3.0, keda=KedaSettings(polling=3.0, cooldown=6.0)),
    "ray": RaySettings(upscale_delay=1.0, downscale_delay=3.0, look_back_period=4.0, push_interval=2.0),
}
"""With short times, so that a few looks lead to something."""

counts = st.integers(0, 500)
looks = st.one_of(
    st.none(),
    st.builds(
        Observation,
        arrivals=counts,
        completions=counts,
        busy_seconds=st.floats(0.0, 500.0),
        batches=counts,
        waiting=st.one_of(st.just(0), counts),
        in_flight=st.one_of(st.just(0), counts),
        ready=st.integers(0, 40),
        provisioned=st.integers(0, 40),
        fresh=st.sampled_from([True, True, True, False]),
    ),
)
histories = st.lists(st.tuples(st.sampled_from([1.0, 1.0, 1.0, 0.4, 7.0, 400.0, -30.0]), looks), max_size=25)
"""Seconds since the look before, and the look. Counters begin anew, and clocks are set back."""
configs = st.builds(
    lambda least, more, target, metric: ScalingConfig(least=least, most=least + more, target=target, metric=metric),
    st.integers(0, 6),
    st.integers(0, 30),
    st.sampled_from([None, 0.7, 5.0, 40.0]),
    st.sampled_from([None, "concurrency", "rps", "cpu"]),
)
spryness = st.booleans()


def named(name: str, spry: bool) -> Policy[Any]:
    return policy_of(name, SPRY[name] if spry else None)


def of_now(look: Observation | None, decision: Decision[Any]) -> Observation | None:
    """The look, with as many replicas as were asked for, half of the time."""
    if look is None or look.arrivals % 2:
        return look
    return replace(look, provisioned=decision.replicas, ready=min(look.ready, decision.replicas))


def played(
    policy: Policy[Any], config: ScalingConfig, provisioned: int, history: list[tuple[float, Observation | None]]
) -> list[tuple[float, Observation | None, Any, Decision[Any]]]:
    """When, what was seen, with which state, and what was decided."""
    now, told = 1000.0, []
    state = policy.begin(now, provisioned, config)
    decision: Decision[Any] | None = None
    for passed, look in history:
        now += passed
        seen = look if decision is None else of_now(look, decision)
        decision = policy.decide(now, seen, state, config)
        told.append((now, seen, state, decision))
        state = decision.state
    return told


@pytest.mark.parametrize("name", BASELINES)
@given(config=configs, provisioned=st.integers(0, 40), history=histories, spry=spryness)
@settings(max_examples=60, deadline=None)
def test_what_is_decided(
    name: str, config: ScalingConfig, provisioned: int, history: list[tuple[float, Observation | None]], spry: bool
) -> None:
    """Within the bounds, in a sentence, of numbers that are none below 0, and with a time that is to come."""
    for now, _, _, decision in played(named(name, spry), config, provisioned, history):
        assert config.least <= decision.replicas <= config.most
        assert re.match(rf"\d+ -> {decision.replicas}: \S", decision.reason), decision.reason
        assert decision.next_at is None or decision.next_at > now
        terms = {term: value for term, value in decision.terms.items() if term != "spare"}
        assert all(value >= 0.0 and isfinite(value) for value in terms.values()), decision.terms


@pytest.mark.parametrize("name", BASELINES)
@given(config=configs, provisioned=st.integers(0, 40), history=histories, spry=spryness)
@settings(max_examples=60, deadline=None)
def test_it_is_pure_and_its_state_is_a_value(
    name: str, config: ScalingConfig, provisioned: int, history: list[tuple[float, Observation | None]], spry: bool
) -> None:
    """From the state as JSON, with another instance, the same comes out, and nothing that was given has changed."""
    for now, seen, state, decision in played(named(name, spry), config, provisioned, history):
        document = msgspec.json.encode(state)
        kept = state_of(name, msgspec.json.decode(document))
        assert kept == state
        assert named(name, spry).decide(now, seen, kept, config) == decision
        assert msgspec.json.encode(state) == document


@pytest.mark.parametrize("name", BASELINES)
@given(config=configs, provisioned=st.integers(0, 40), history=histories, spry=spryness)
@settings(max_examples=60, deadline=None)
def test_silence_never_lowers(
    name: str, config: ScalingConfig, provisioned: int, history: list[tuple[float, Observation | None]], spry: bool
) -> None:
    """Neither without a look, nor with one whose counters are old."""
    before = within(provisioned, config) if name != "fixed" else config.least
    for _, seen, _, decision in played(named(name, spry), config, provisioned, history):
        if seen is None or not seen.fresh:
            assert decision.replicas >= before
        before = decision.replicas


@pytest.mark.parametrize("name", BASELINES)
@given(config=configs, provisioned=st.integers(0, 40), history=histories, spry=spryness)
@settings(max_examples=60, deadline=None)
def test_who_is_not_to_be_asked_again_has_nothing_new_to_say(
    name: str, config: ScalingConfig, provisioned: int, history: list[tuple[float, Observation | None]], spry: bool
) -> None:
    """Where the next time is never, the same look gives the same number at any time."""
    policy = named(name, spry)
    for now, seen, _, decision in played(policy, config, provisioned, history):
        if decision.next_at is None and seen is not None:
            state = decision.state
            for later in (1.0, 16.0, 61.0, 700.0):
                again = policy.decide(now + later, seen, state, config)
                assert again.replicas == decision.replicas
                state = again.state


def test_names() -> None:
    """A name that is none is said, with those that there are."""
    with pytest.raises(InvalidRequest, match=r"the policy is 'best', expected one of qda, kpa, hpa, ray, fixed"):
        policy_of("best")
    assert [policy_of(name).name for name in BASELINES] == list(BASELINES)


def test_what_is_no_state() -> None:
    """Of another policy, or of another version."""
    with pytest.raises(InvalidRequest, match=r"what was kept of the policy 'kpa' is not its state: .*panic"):
        state_of("kpa", {"desired": 3, "asked": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KpaSettings(stable_window=0.0), "KpaSettings: 'stable_window' is 0, expected 1 or more"),
        (lambda: KpaSettings(max_scale_down_rate=1.0), "KpaSettings: 'max_scale_down_rate' is 1, expected more than 1"),
        (lambda: HpaSettings(sync=-2.5), "HpaSettings: 'sync' is -2.5, expected more than 0"),
        (lambda: KedaSettings(polling=float("nan")), "KedaSettings: 'polling' is nan, expected more than 0"),
        (lambda: RaySettings(upscaling_factor=0.0), "RaySettings: 'upscaling_factor' is 0, expected more than 0"),
    ],
)
def test_settings_that_nothing_can_be_computed_with(make: Callable[[], object], message: str) -> None:
    """They are refused where they are made."""
    with pytest.raises(InvalidRequest, match=message):
        make()
