"""When a phase can pass, when it must, when it is late, and when to look again. Pure."""

from __future__ import annotations

import msgspec

from tidegate.control.rollouts.course import Course, Hold
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.state import State

_TIMED = (State.WARMING, State.GOLDEN, State.SHADOW, State.STEP, State.PROMOTING)


class Times(msgspec.Struct, frozen=True):
    """Of the phase that a rollout is in, in seconds since 1970; None where there is no such time."""

    pass_after: float | None = None
    pass_by: float | None = None
    timeout_at: float | None = None


def hold_of(rollout: Rollout, course: Course) -> Hold:
    """How long the phase lasts that it is in."""
    return course.holds[rollout.step] if rollout.at is State.STEP and rollout.step < len(course.holds) else Hold()


def timeout_of(rollout: Rollout, course: Course) -> float:
    """Seconds from the phase's beginning after which it is late."""
    hold = hold_of(rollout, course)
    return max(course.timeout, hold.least, hold.most or 0.0)


def times_of(rollout: Rollout, course: Course | None) -> Times:
    """Nothing is timed while it is paused, on the way back, or over."""
    if course is None or rollout.state not in _TIMED:
        return Times()
    hold = hold_of(rollout, course)
    return Times(
        rollout.since + hold.least if hold.least else None,
        None if hold.most is None else rollout.since + hold.most,
        rollout.since + timeout_of(rollout, course),
    )


def observes(rollout: Rollout, course: Course | None) -> bool:
    """Whether requests of both revisions are counted for it."""
    if rollout.ended or course is None or course.analysis is None:
        return False
    return rollout.at in (State.SHADOW, State.STEP) or (rollout.at is State.PROMOTING and rollout.weight > 0)


def next_look(rollout: Rollout | None, course: Course | None, now: float, interval: float) -> float | None:
    """When to look again though nothing happens; None for never."""
    if rollout is None or rollout.ended:
        return None
    if observes(rollout, course) or rollout.state in (State.PENDING, State.STEP, State.ABORTING):
        return now + interval
    times = times_of(rollout, course)
    due = [at for at in (times.pass_after, times.pass_by, times.timeout_at) if at is not None and at > now]
    return min(due, default=None)
