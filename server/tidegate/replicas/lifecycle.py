"""The states of a replica and what leads from one to the next: a table, and the rules of when to try again.

Everything that affects a replica's state is in this file, and nothing in it knows processes, sockets or clocks. A
pair of state and event that is not in the table is a fault of the caller and raises. ::

    stopped ──start──▶ starting ──connected──▶ loading ──loaded──▶ ready
                         ▲  │                   │   │                │
                       retry└─────────lost──────┴───┼─────lost───────┤
                         │  ▼                       │refused       stop
                       backing off ◀────loadable── failed            ▼
                         └────────stop──▶ stopped ◀─┘            draining ──lost──▶ stopped

``stop`` leads from starting and loading to draining, too: there is a process to end. ``lost`` is the end of the
process for whatever reason; ``refused`` is the model's own answer that it cannot be loaded, where it never was, so that
trying again would change nothing; ``loadable`` is that another replica has loaded it after all. Where it was loaded
before, the answer is no other end of the process than any: what was there then is missing now, and may come back.
"""

from __future__ import annotations

from enum import StrEnum

from tidegate.replicas.settings import ReplicaSettings


class State(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    BACKING_OFF = "backing off"
    FAILED = "failed"


class Event(StrEnum):
    START = "start"
    CONNECTED = "connected"
    LOADED = "loaded"
    REFUSED = "refused"
    LOADABLE = "loadable"
    LOST = "lost"
    RETRY = "retry"
    STOP = "stop"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.STOPPED, Event.START): State.STARTING,
    (State.STARTING, Event.CONNECTED): State.LOADING,
    (State.STARTING, Event.LOST): State.BACKING_OFF,
    (State.STARTING, Event.STOP): State.DRAINING,
    (State.LOADING, Event.LOADED): State.READY,
    (State.LOADING, Event.REFUSED): State.FAILED,
    (State.LOADING, Event.LOST): State.BACKING_OFF,
    (State.LOADING, Event.STOP): State.DRAINING,
    (State.READY, Event.LOST): State.BACKING_OFF,
    (State.READY, Event.STOP): State.DRAINING,
    (State.DRAINING, Event.LOST): State.STOPPED,
    (State.BACKING_OFF, Event.RETRY): State.STARTING,
    (State.BACKING_OFF, Event.STOP): State.STOPPED,
    (State.FAILED, Event.LOADABLE): State.BACKING_OFF,
    (State.FAILED, Event.STOP): State.STOPPED,
}


def after(state: State, event: Event) -> State:
    """The next state.

    Raises:
        RuntimeError: the event cannot happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise RuntimeError(f"a replica that is {state} cannot take the event {event}") from None


def failures_in_row(before: int, settings: ReplicaSettings, *, ready_for: float, answered: int) -> int:
    """The row of failures once a replica is lost that was ready for so many seconds and answered so many requests."""
    stable = answered > 0 or ready_for >= settings.stable_after
    return 1 if stable else before + 1


def crash_looping(failures: int, settings: ReplicaSettings) -> bool:
    """Whether so many failures in a row are no accident any more."""
    return failures >= settings.crash_loop_failures


def backoff(failures: int, settings: ReplicaSettings) -> float:
    """Seconds to wait before the next start, after so many failures in a row."""
    doublings = min(max(failures, 1) - 1, 62)  # a float holds no more, and nobody waits that long
    return min(settings.backoff_max, settings.backoff_initial * 2.0**doublings)


def verdict(
    settings: ReplicaSettings,
    now: float,
    executing_since: float | None,
    unanswered_since: float | None,
    leaving_since: float | None,
) -> str | None:
    """Why a worker has to be replaced, None while all is well.

    ``executing_since`` is when its present execution began, ``unanswered_since`` when the oldest ping without a pong
    was sent, ``leaving_since`` when it had nothing to do any more but to end; None where there is none.
    """
    if unanswered_since is not None and now - unanswered_since >= settings.hang_timeout:
        return "hang"
    if executing_since is not None and now - executing_since >= settings.execution_timeout:
        return "execution_timeout"
    if leaving_since is not None and now - leaving_since >= settings.stop_timeout:
        return "leave"
    return None
