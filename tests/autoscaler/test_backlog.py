"""What will wait, and time that counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.backlog import drain, expected, is_late
from tidegate.autoscaler.looks import LATE, Clock, advance, increase


def test_a_queue_grows_by_what_is_not_answered() -> None:
    """Ten a second come, two replicas answer three each, for ten seconds."""
    assert expected(5, 10.0, 3.0, 2, [], 10.0) == pytest.approx(45.0)


def test_what_was_ordered_is_credited() -> None:
    """Two more after four seconds."""
    assert expected(5, 10.0, 3.0, 2, [4.0, 4.0], 10.0) == pytest.approx(5 + 16 - 12)


def test_nobody_answers_in_advance() -> None:
    """A queue that is empty before a replica comes is empty, and not less."""
    assert expected(2, 5.0, 3.0, 2, [4.0], 10.0) == 0.0


@given(
    st.integers(0, 1000),
    st.floats(0.0, 100.0),
    st.floats(0.1, 20.0),
    st.integers(0, 20),
    st.lists(st.floats(0.0, 10.0), max_size=10),
    st.floats(0.0, 10.0),
)
def test_one_more_that_was_ordered_never_makes_it_longer(
    waiting: int, rate: float, mu: float, ready: int, arriving: list[float], one: float
) -> None:
    """Whenever it is there."""
    without = expected(waiting, rate, mu, ready, arriving, 10.0)
    assert expected(waiting, rate, mu, ready, [*arriving, one], 10.0) <= without + 1e-9 * (1 + without)


def test_late_is_more_than_half_the_slack() -> None:
    """Of the work that replicas do in it; anything is late for none."""
    assert not is_late(10.0, 5.0, 4, 1.0)
    assert is_late(10.1, 5.0, 4, 1.0)
    assert is_late(1.0, 5.0, 0, 1.0)
    assert drain(20.0, 10.0, 5.0, 2.0) == 4


@pytest.mark.parametrize(
    ("before", "after", "came"), [(10, 15, 5), (10, 10, 0), (1000, 3, 3), (1000, 990, 0), (3, 0, 0), (0, 7, 7)]
)
def test_a_counter_that_falls_began_anew_or_was_read_late(before: int, after: int, came: int) -> None:
    """And never counts backwards."""
    assert increase(before, after) == came


def test_a_clock_that_is_set_back_goes_on() -> None:
    """By a second, and then from there; two looks that crossed are at once."""
    clock = advance(Clock(100.0, 0.0, 101.0), 40.0)
    assert clock.at == 101.0
    assert advance(clock, 41.0).at == 102.0
    assert advance(Clock(100.0, 0.0, 101.0), 99.9).at == 100.0


def test_a_clock_that_is_set_forward_is_a_late_look() -> None:
    """What nobody saw does not count."""
    clock = advance(Clock(100.0, 0.0, 101.0), 3700.0)
    assert clock.at == 101.0 + LATE
    assert advance(Clock(clock.at, clock.shift, clock.at + 1.0), 3701.0).at == pytest.approx(102.0 + LATE)


def test_a_look_that_was_not_due_is_in_time() -> None:
    """An idle service is looked at after an hour, or when somebody asks."""
    assert advance(Clock(100.0, 0.0, 3700.0), 3700.0).at == 3700.0
    assert advance(Clock(100.0, 0.0, 3700.0), 200.0).at == 200.0
    assert advance(Clock(100.0, 0.0, None), 9e6).at == 9e6
