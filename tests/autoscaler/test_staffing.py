"""How many replicas a rate is worth."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidegate.autoscaler.staffing import late, staff

RATES = st.floats(0.01, 500.0)
MUS = st.floats(0.2, 50.0)
SLACKS = st.floats(0.01, 10.0)
PRICES = st.floats(2.0, 280.0)
FACTORS = st.floats(1.0, 10.0)
MOST = 5000


@pytest.mark.parametrize(
    ("count", "load", "expected"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (10, 8.0, 0.409), (3, 2.0, 0.444)]
)
def test_without_slack_it_is_erlang_s_c(count: int, load: float, expected: float) -> None:
    """Values of the tables."""
    assert late(count, load, 1.0, 0.0) == pytest.approx(expected, abs=5e-4)


def test_too_few_are_always_late() -> None:
    """A queue that only grows."""
    assert late(2, 2.0, 1.0, 5.0) == 1.0


def test_nothing_needs_nothing() -> None:
    """And something needs one."""
    assert staff(0.0, 5.0, 1.0, 24.0, 10) == 0
    assert staff(1 / 60, 5.0, 1.0, 24.0, 10) == 1
    assert staff(1 / 60, 5.0, 1.0, 24.0, 0) == 0


def test_it_stops_where_one_more_costs_more() -> None:
    """The definition, at a slack that is large enough for it."""
    rate, mu, slack, price = 40.0, 5.0, 0.6, 24.0
    count = staff(rate, mu, slack, price, 100)

    def worth(replicas: int) -> float:
        return price * rate / mu * (late(replicas, rate, mu, slack) - late(replicas + 1, rate, mu, slack))

    assert worth(count) <= 1.0 < worth(count - 1)


@pytest.mark.parametrize(("slack", "count"), [(0.001, 2), (0.3366, 2), (0.7, 1)])
def test_a_slack_that_is_too_short_for_anybody_is_not_reckoned_with(slack: float, count: int) -> None:
    """What a second replica saves is the most that it would at that slack or a longer one: here that of 0.3366 s.

    At 0.001 s it would save 0.96 of what it costs, for most are late with it, too; at 0.3366 s it saves 1.03 of it.
    """

    def worth(longer: float) -> float:
        return 2.0 * 0.825 * (late(1, 0.825, 1.0, longer) - late(2, 0.825, 1.0, longer))

    assert (worth(0.001) <= 1.0, worth(0.3366) > 1.0, worth(0.7) <= 1.0) == (True, True, True)
    assert staff(0.825, 1.0, slack, 2.0, 10) == count


@given(RATES, MUS, SLACKS, PRICES)
def test_it_can_serve_what_it_is_for(rate: float, mu: float, slack: float, price: float) -> None:
    """More replicas than the load, unless there may not be."""
    assert staff(rate, mu, slack, price, MOST) > rate / mu
    assert staff(rate, mu, slack, price, 3) <= 3


@given(RATES, MUS, SLACKS, PRICES, FACTORS)
def test_a_looser_slo_never_asks_for_more(rate: float, mu: float, slack: float, price: float, factor: float) -> None:
    """Also where an SLO is so tight that replicas hardly help."""
    assert staff(rate, mu, slack * factor, price, MOST) <= staff(rate, mu, slack, price, MOST)


@given(RATES, MUS, SLACKS, PRICES, FACTORS)
def test_a_higher_price_never_asks_for_fewer(rate: float, mu: float, slack: float, price: float, factor: float) -> None:
    """Whoever prefers fast has no fewer replicas."""
    assert staff(rate, mu, slack, price * factor, MOST) >= staff(rate, mu, slack, price, MOST)


@given(RATES, MUS, SLACKS, PRICES, FACTORS)
def test_more_traffic_never_asks_for_fewer(rate: float, mu: float, slack: float, price: float, factor: float) -> None:
    """In rate."""
    assert staff(rate * factor, mu, slack, price, MOST) >= staff(rate, mu, slack, price, MOST)


@given(RATES, MUS, SLACKS, PRICES, FACTORS)
def test_a_faster_model_never_asks_for_more(rate: float, mu: float, slack: float, price: float, factor: float) -> None:
    """In mu."""
    assert staff(rate, mu * factor, slack, price, MOST) <= staff(rate, mu, slack, price, MOST)


@given(RATES, MUS, SLACKS, PRICES, st.integers(-6, 6))
def test_time_has_no_unit(rate: float, mu: float, slack: float, price: float, doublings: int) -> None:
    """In milliseconds it is the same number of replicas (powers of two, for which floating point is exact)."""
    unit = 2.0**doublings
    assume(rate / mu < MOST)
    assert staff(rate * unit, mu * unit, slack / unit, price, MOST) == staff(rate, mu, slack, price, MOST)


def test_thousands_are_not_weighed() -> None:
    """Who may have any number has as many as the load, at once."""
    assert staff(3e6, 1.0, 1.0, 24.0, 2**31 - 1) == 3_000_001
    assert 9_900 < staff(9_900.0, 1.0, 1.0, 24.0, 2**31 - 1) <= 10_000
