"""What moves a rollout from one state to another, and what decides where to. Pure.

Each event is a function of a moment that says in a sentence that it happens, or None. None of them looks at what
happened: they look at what is, so that a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from tidegate.analysis.verdict import Outcome
from tidegate.control.rollouts.situation import Moment, Situation
from tidegate.control.rollouts.state import State
from tidegate.resources.rollout_command import Verb


class Event(StrEnum):
    """In few words, as the diagram has them."""

    NEW = "the spec means a new revision"
    RETRY = "retry"
    BEGIN = "at once"
    SUPERSEDED = "the spec means another revision"
    ABORT = "abort"
    BROKEN = "the revision cannot be started"
    HARM = "harm is shown"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE_FULL = "promote --full"
    PROMOTE = "promote"
    PASSED = "passed"
    LATE = "no verdict in time"
    FULL = "all its replicas are ready"
    BACK = "the stable revision has the traffic"


def _new(moment: Moment) -> str | None:
    rollout, now = moment.rollout, moment.situation
    if not _can_begin(now):
        return None
    if rollout is not None and rollout.revision == now.newest and not rollout.left and rollout.state in _FINAL:
        return None
    return f"revision {now.newest} is to take over from revision {now.stable}"


def _can_begin(now: Situation) -> bool:
    """Whether there is a revision to go to, one to come from, and a way."""
    return now.course is not None and not now.undone and now.newest not in (0, now.stable) and now.stable != 0


def _retry(moment: Moment) -> str | None:
    return _asked(Verb.RETRY, "it was asked for again")(moment) if _can_begin(moment.situation) else None


_FINAL = (State.SUCCEEDED, State.ROLLED_BACK, State.FAILED)
"""Of these the same revision does not begin again by itself."""


def _superseded(moment: Moment) -> str | None:
    rollout, now = moment.going, moment.situation
    if now.newest and now.newest != rollout.revision:
        return f"the spec means revision {now.newest} by now"
    if now.stable != rollout.stable:
        return f"revision {now.stable or 'none'} is rolled out by now"
    if now.course is None:
        return "the strategy is immediate by now"
    return None


def _asked(verb: Verb, sentence: str, *, answers: bool = False) -> Callable[[Moment], str | None]:
    """``answers``: only once the new revision can answer; the wish waits for that, where it means something."""

    def happens(moment: Moment) -> str | None:
        command = moment.command
        if command is None or command.verb is not verb:
            return None
        return None if answers and moment.going.revision not in moment.situation.ready else sentence

    return happens


def _broken(moment: Moment) -> str | None:
    return moment.situation.broken or None


def _harm(moment: Moment) -> str | None:
    return moment.harm.sentence if moment.harm else None


def _passed(moment: Moment) -> str | None:
    rollout, now, course = moment.going, moment.situation, moment.course
    if now.newest not in now.ready or moment.harm:
        return None
    if rollout.state is State.WARMING:
        return f"revision {rollout.revision} is ready"
    said = "; ".join(verdict.sentence for verdict in moment.verdicts)
    if rollout.state is State.GOLDEN:
        if course.golden is None:
            return "the spec has no golden requests any more"
        return said if moment.verdicts and _all_pass(moment) else None
    if moment.waited < moment.hold.least:
        return None
    if course.analysis is not None and moment.samples < course.analysis.min_samples:
        return None  # what is not known is no pass
    if len(now.checks) < len(course.checks):
        return None
    if _all_pass(moment):
        return said or "nothing is compared"
    if moment.hold.most is None or moment.waited < moment.hold.most:
        return None
    against = any(verdict.suspect or verdict.outcome is Outcome.NO_DATA for verdict in moment.verdicts)
    return None if against else f"nothing speaks against it: {said}"


def _all_pass(moment: Moment) -> bool:
    return all(verdict.outcome is Outcome.PASS for verdict in moment.verdicts)


def _late(moment: Moment) -> str | None:
    if moment.waited < moment.timeout:
        return None
    missing = [verdict.sentence for verdict in moment.verdicts if verdict.outcome is not Outcome.PASS]
    return f"no verdict within {moment.timeout:g} s" + (f": {'; '.join(missing)}" if missing else "")


def _full(moment: Moment) -> str | None:
    now, rollout = moment.situation, moment.going
    if rollout.revision in now.ready and (now.full or now.stable not in now.ready):
        return f"revision {rollout.revision} has all of the traffic"
    return None


def _back(moment: Moment) -> str | None:
    now, rollout = moment.situation, moment.going
    if now.stable in now.ready or rollout.revision not in now.ready:
        return rollout.message  # why it goes back is what people want to know
    return None  # who answers keeps the traffic until another one can


HAPPENS: Mapping[Event, Callable[[Moment], str | None]] = {
    Event.NEW: _new,
    Event.RETRY: _retry,
    Event.BEGIN: lambda moment: f"replicas of revision {moment.going.revision} are started",
    Event.SUPERSEDED: _superseded,
    Event.ABORT: _asked(Verb.ABORT, "it was aborted by hand"),
    Event.BROKEN: _broken,
    Event.HARM: _harm,
    Event.PAUSE: _asked(Verb.PAUSE, "it was paused by hand"),
    Event.RESUME: _asked(Verb.RESUME, "it was resumed by hand"),
    Event.PROMOTE_FULL: _asked(Verb.PROMOTE_FULL, "it was promoted in full by hand", answers=True),
    Event.PROMOTE: _asked(Verb.PROMOTE, "it was promoted by hand", answers=True),
    Event.PASSED: _passed,
    Event.LATE: _late,
    Event.FULL: _full,
    Event.BACK: _back,
}

BY_HAND = (Event.RETRY, Event.ABORT, Event.PAUSE, Event.RESUME, Event.PROMOTE_FULL, Event.PROMOTE)
