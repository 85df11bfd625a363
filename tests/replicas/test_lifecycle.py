"""The table of a replica's states, and the rules of when to try again."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.replicas.lifecycle import (
    TRANSITIONS,
    Event,
    State,
    after,
    backoff,
    crash_looping,
    failures_in_row,
    verdict,
)
from tidegate.replicas.settings import ReplicaSettings

SETTINGS = ReplicaSettings(backoff_initial=0.5, backoff_max=8.0, crash_loop_failures=3, stable_after=10.0)


def test_a_life() -> None:
    """Start, crash, start again, stop."""
    state = State.STOPPED
    for event in ["start", "connected", "loaded", "lost", "retry", "connected", "loaded", "stop", "lost"]:
        state = after(state, Event(event))
    assert state is State.STOPPED


@pytest.mark.parametrize(
    ("state", "event"),
    [
        pytest.param(state, event, id=f"{state} {event}")
        for state, event in itertools.product(State, Event)
        if (state, event) not in TRANSITIONS
    ],
)
def test_what_cannot_happen_raises(state: State, event: Event) -> None:
    """A pair that is not in the table is never ignored."""
    with pytest.raises(RuntimeError, match=rf"^a replica that is {state} cannot take the event {event}$"):
        after(state, event)


def test_every_state_can_be_stopped_and_reached() -> None:
    """From every state there is a way to stopped, and every state is the end of some transition."""
    reached = set(TRANSITIONS.values())
    assert reached == set(State)
    for state in State:
        ways, seen = {state}, set[State]()
        while ways - seen:
            seen |= ways
            ways |= {to for (origin, event), to in TRANSITIONS.items() if origin in ways and event is not Event.START}
        assert State.STOPPED in ways


@pytest.mark.parametrize(
    ("before", "ready_for", "answered", "expected"),
    [
        pytest.param(0, 0.0, 0, 1, id="the first"),
        pytest.param(2, 9.9, 0, 3, id="one more, ready but not for long"),
        pytest.param(2, 10.0, 0, 1, id="after a stable time"),
        pytest.param(2, 0.1, 1, 1, id="after an answer"),
    ],
)
def test_failures_in_row(before: int, ready_for: float, answered: int, expected: int) -> None:
    """A row of failures ends with a life that was of use."""
    assert failures_in_row(before, SETTINGS, ready_for=ready_for, answered=answered) == expected


def test_backoff() -> None:
    """The wait doubles from its initial value to its bound."""
    assert [backoff(n, SETTINGS) for n in (1, 2, 3, 4, 5, 6, 1000)] == [0.5, 1, 2, 4, 8, 8, 8]


@given(st.integers(0, 10**6), st.floats(0.001, 10), st.floats(10, 1000))
def test_backoff_is_bounded(failures: int, initial: float, longest: float) -> None:
    """Whatever the settings and the history, the wait lies between the two bounds."""
    wait = backoff(failures, ReplicaSettings(backoff_initial=initial, backoff_max=longest))
    assert initial <= wait <= longest


def test_crash_loop() -> None:
    """So many failures in a row are a loop, fewer are not."""
    assert [crash_looping(n, SETTINGS) for n in (0, 2, 3, 4)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("executing_since", "unanswered_since", "leaving_since", "expected"),
    [
        pytest.param(None, None, None, None, id="idle"),
        pytest.param(701.0, 971.0, 991.0, None, id="just in time"),
        pytest.param(999.0, 970.0, None, "hang", id="no pong"),
        pytest.param(700.0, None, None, "execution_timeout", id="too long"),
        pytest.param(None, None, 990.0, "leave", id="does not end"),
        pytest.param(0.0, 0.0, 0.0, "hang", id="all"),
    ],
)
def test_verdict(
    executing_since: float | None, unanswered_since: float | None, leaving_since: float | None, expected: str | None
) -> None:
    """A worker is replaced after 30 s without a sign of life, 300 s of one execution, or 10 s of not ending."""
    assert verdict(ReplicaSettings(), 1000.0, executing_since, unanswered_since, leaving_since) == expected
