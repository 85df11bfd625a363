"""What is learned of a service: how long it takes, how wrong forecasts are."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.headroom import ENOUGH, EVERY, FIRST, MOST, REMEMBERED, Headroom, add_forecast
from tidegate.autoscaler.service_curve import ServiceCurve, add_service, service_of, usual_slo


def test_a_wrong_first_guess_is_forgotten_in_seconds() -> None:
    """30 % too much: within 2 % after 400 requests, ten seconds of a busy service."""
    known = ServiceCurve()
    assert service_of(known, 0.0, 0.13, 1) == (0.0, 0.13)
    for _ in range(10):
        known = add_service(known, 40, 40, 4.0)
    assert service_of(known, 0.0, 0.13, 1)[1] == pytest.approx(0.1, rel=0.02)


def test_a_model_that_gets_slower_is_followed() -> None:
    """What is old loses its weight."""
    known = ServiceCurve()
    for busy in [1.0] * 2000 + [2.0] * 2000:
        known = add_service(known, 10, 10, busy)
    assert service_of(known, 0.0, 0.1, 1)[1] == pytest.approx(0.2, rel=0.03)


def test_base_and_rows_are_told_apart() -> None:
    """From batches of different sizes, whose sums alone are known."""
    known, random = ServiceCurve(), Random(1)
    for _ in range(600):
        batches, size = random.randint(1, 20), random.randint(1, 8)
        rows = batches * size
        known = add_service(known, batches, rows, 0.06 * batches + 0.02 * rows)
    base, per_row = service_of(known, 0.078, 0.026, 8)
    assert base == pytest.approx(0.06, rel=0.02)
    assert per_row == pytest.approx(0.02, rel=0.02)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 400), st.floats(1e-6, 100.0)), max_size=20),
    st.floats(0.0, 2.0),
    st.floats(1e-4, 2.0),
    st.sampled_from([1, 8, 64]),
)
def test_time_is_never_negative(seen: list[tuple[int, int, float]], base: float, per_row: float, batch: int) -> None:
    """Whatever was seen, a batch takes time and neither part of it is negative."""
    known = ServiceCurve()
    for batches, more, busy in seen:
        known = add_service(known, batches, batches + more, busy)
    learned = service_of(known, base, per_row, batch)
    assert min(learned) >= 0.0
    assert sum(learned) > 0.0


def test_a_service_without_an_slo_gets_one() -> None:
    """Four times a single request, at least 50 ms."""
    assert usual_slo(0.2) == pytest.approx(0.8)
    assert usual_slo(0.001) == 0.05


def headroom_after(errors: list[float], price: float) -> float:
    """With forecasts of nothing, of which each was wrong by so much."""
    known = Headroom()
    for came in errors:
        known = add_forecast(known, 0.0, came, 1, 0.0, price)
    return known.value


def test_headroom_waits_for_evidence() -> None:
    """A first guess until there are 60 errors."""
    assert headroom_after([0.5] * ENOUGH, 24.0) == FIRST
    assert headroom_after([0.5] * (ENOUGH + 1), 24.0) == 0.5


def test_headroom_is_the_price_s_quantile() -> None:
    """Of 100 errors evenly between 0 and 1 a price of 9 takes the ninth of ten."""
    assert headroom_after([0.0] + [place / 100 for place in range(100)], 9.0) == pytest.approx(0.9, abs=0.011)
    assert headroom_after([5.0] * 200, 24.0) == MOST
    assert headroom_after([-1.0] * 0 + [0.0] * 200, 24.0) == 0.0


def test_headroom_is_taken_anew_now_and_then() -> None:
    """Every 20 errors, not with each."""
    known = Headroom()
    values = []
    for look in range(ENOUGH + 1 + 2 * EVERY):
        known = add_forecast(known, 0.0, look / 100, 1, 0.0, 1e9)
        values.append(known.value)
    assert len(set(values)) == 4


def test_idle_seconds_without_a_look_count_as_looks() -> None:
    """Nothing was forecast and nothing came in each of them; they weigh as much as if somebody had looked."""
    busy = Headroom()
    for came in range(30):
        busy = add_forecast(busy, 5.0, float(came), 1, 5.0, 24.0)
    each = busy
    for _ in range(200):
        each = add_forecast(each, 0.0, 0.0, 1, 5.0, 24.0)
    once = busy
    for seconds in (1,) * 10 + (190,):
        once = add_forecast(once, 0.0, 0.0, seconds, 5.0, 24.0)
    assert once.errors == each.errors
    assert once.forecasts == each.forecasts


@pytest.mark.parametrize(("rate", "came"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_other_seconds_without_a_look_count_once(rate: float, came: float) -> None:
    """Of what came in them one value is known; the forecast that held in them is the last one."""
    known = Headroom(0.5, (0.0,) * 12)
    known = add_forecast(known, rate, came, 30, 5.0, 24.0)
    assert known.errors == (came,)
    assert add_forecast(Headroom(0.5, (5.0,)), 9.0, 0.0, 4, 5.0, 24.0).forecasts == (5.0, 5.0, 5.0, 5.0, 9.0)


@given(st.lists(st.tuples(st.floats(0.0, 1e4), st.floats(0.0, 1e4), st.integers(1, 100_000)), max_size=40))
def test_headroom_is_bounded(looks: list[tuple[float, float, int]]) -> None:
    """In value and in memory, also after days without a look."""
    known = Headroom()
    for rate, came, seconds in looks:
        known = add_forecast(known, rate, came, seconds, 5.0, 24.0)
        assert 0.0 <= known.value <= MOST
        assert len(known.errors) <= REMEMBERED
        assert len(known.forecasts) <= 12
