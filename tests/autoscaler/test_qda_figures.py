"""What ``qda`` reckons with: the price, the SLO, and what it learned of a service."""

from __future__ import annotations

import msgspec
import pytest

from tidegate.autoscaler.policy import ScalingConfig
from tidegate.autoscaler.qda import Qda
from tidegate.autoscaler.qda_figures import price_of
from tidegate.autoscaler.qda_state import QdaState
from tidegate.testing.scaled import QUIET, FluidService, play, poisson

POLICY = Qda()
CONFIG = ScalingConfig(least=1, most=40, slo=0.72, first_per_row=0.23, first_start=6.0)


def look(state: QdaState, now: float, config: ScalingConfig = CONFIG, **changes: object) -> QdaState:
    """The state after a quiet look with these changes."""
    return POLICY.decide(now, msgspec.structs.replace(QUIET, **changes), state, config).state


def test_preference_is_a_price() -> None:
    """From 2 to 280 replica-seconds, 24 in the middle."""
    assert [price_of(preference) for preference in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 23.66, 280.0], rel=1e-3)


def test_it_learns_what_it_was_told_wrong() -> None:
    """mu within 2 % and L within 4 s after a few minutes, though the guesses are 30 % too high."""
    config = msgspec.structs.replace(CONFIG, first_per_row=0.234, first_start=26.0)
    service = FluidService(single=0.18, start=20.0)
    terms = play(POLICY, config, service, poisson(5.0, 120) + poisson(60.0, 240))[-1].terms
    assert terms["mu"] == pytest.approx(1 / 0.18, rel=0.02)
    assert terms["L"] == pytest.approx(20.0, abs=4.0)


def test_an_execution_that_outlasts_looks_took_all_of_its_time() -> None:
    """Seconds that were counted before anything was finished are of what is finished then."""
    state = look(POLICY.begin(0.0, 1, CONFIG), 1.0)
    for second in (2.0, 3.0):
        state = look(state, second, arrivals=1, busy_seconds=second - 1.0, in_flight=1)
    done = msgspec.structs.replace(QUIET, arrivals=1, completions=1, batches=1, busy_seconds=3.0)
    terms = POLICY.decide(4.0, done, state, CONFIG).terms
    assert terms["single"] == pytest.approx((20 * 0.23 + 3.0) / 21)


@pytest.mark.parametrize(("came", "anew"), [(0, True), (20, False)])
def test_prices_are_taken_anew_while_nothing_comes(came: int, anew: bool) -> None:
    """An idle service is looked at rarely, so what it keeps goes by what is known now; else they hold for a minute."""
    service = FluidService(replicas=4)
    state = play(POLICY, CONFIG, service, [came] * 100)[-1].state
    assert state.prices is not None
    dearer = msgspec.structs.replace(service.pass_second(came), started=(40.0,) * 5)
    decision = POLICY.decide(service.now, dearer, state, CONFIG)
    assert service.now - state.prices.at < 60.0
    assert (decision.terms["C"] > state.prices.rebuy) == anew


def test_the_batcher_s_curve_goes_before_what_counters_say() -> None:
    """It knows each execution."""
    config = msgspec.structs.replace(CONFIG, max_batch=8)
    told = msgspec.structs.replace(QUIET, curve=(0.1, 0.0125))
    assert POLICY.decide(1.0, told, POLICY.begin(0.0, 1, config), config).terms["mu"] == pytest.approx(8 / 0.2)


def test_a_batch_that_would_be_late_is_none() -> None:
    """Of up to 64 rows those count that leave something of the SLO."""
    config = msgspec.structs.replace(CONFIG, slo=0.5, max_batch=64, first_base=0.05, first_per_row=0.025)
    terms = POLICY.decide(1.0, QUIET, POLICY.begin(0.0, 1, config), config).terms
    assert terms["mu"] == pytest.approx(10 / 0.3)
    assert terms["W"] == pytest.approx(0.05)


@pytest.mark.parametrize("batch", [1, 32])
def test_without_a_guess_it_goes_by_the_slo(batch: int) -> None:
    """A request takes a quarter of it."""
    config = ScalingConfig(slo=0.4, max_batch=batch)
    assert POLICY.decide(1.0, QUIET, POLICY.begin(0.0, 1, config), config).terms["single"] == pytest.approx(0.1)


def test_without_an_slo_it_goes_by_what_a_request_takes() -> None:
    """First by the guess, then by what was seen; and everything else as for a service that says the same."""
    config = msgspec.structs.replace(CONFIG, slo=None, first_per_row=0.23)
    service = FluidService(single=0.1, replicas=3)
    made = play(POLICY, config, service, [0, *poisson(15.0, 200)])
    assert made[0].terms["SLO"] == pytest.approx(0.92)
    assert made[-1].terms["SLO"] == pytest.approx(0.4, rel=0.02)
    assert all(decision.terms["SLO"] == 4 * decision.terms["single"] for decision in made)


@pytest.mark.parametrize("batch", [1, 32])
def test_without_an_slo_and_a_guess_a_request_takes_50_ms(batch: int) -> None:
    """Four of them are the SLO."""
    config = ScalingConfig(max_batch=batch)
    terms = POLICY.decide(1.0, QUIET, POLICY.begin(0.0, 1, config), config).terms
    assert (terms["single"], terms["SLO"]) == (0.05, 0.2)
