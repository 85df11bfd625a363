"""The rollout as a table: in which states which event leads where, under which guard and with which effect. Pure.

Of rows that fit, the first counts. docs/rollouts_machine.md has the diagrams that ``diagram.py`` makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from tidegate.analysis.evidence import Evidence, plus
from tidegate.control.rollouts.event import BY_HAND, HAPPENS, Event
from tidegate.control.rollouts.rollout import REMEMBERED, Rollout, Transition
from tidegate.control.rollouts.situation import Judge, Moment, Situation, judged
from tidegate.control.rollouts.state import ACTIVE, ENDED, State
from tidegate.resources.rollout_command import Verb

S = State


class Effect(StrEnum):
    """What changes beside the state."""

    NOTHING = ""
    BEGIN = "a new number"
    ENTER = "evidence begins anew"
    FIRST_STEP = "the weight of the first step; evidence begins anew"
    NEXT_STEP = "the weight of the next step; evidence begins anew"
    REMEMBER = "where it was is remembered"
    GIVE_BACK = "the weight is 0"


class Guard(msgspec.Struct, frozen=True):
    """A condition on the course, by which one event leads to several states."""

    name: str
    holds: Callable[[Moment], bool]


def _before_golden(moment: Moment) -> bool:
    return moment.course.golden is not None and moment.going.at is S.WARMING


def _before_shadow(moment: Moment) -> bool:
    return moment.course.shadow and moment.going.at in (S.WARMING, S.GOLDEN)


def _before_steps(moment: Moment) -> bool:
    return bool(moment.course.weights) and moment.going.at in (S.WARMING, S.GOLDEN, S.SHADOW)


def _between_steps(moment: Moment) -> bool:
    return moment.going.at is S.STEP and moment.going.step + 1 < len(moment.course.weights)


ALWAYS = Guard("", lambda moment: True)
GOLDEN_NEXT = Guard("golden requests", _before_golden)
SHADOW_NEXT = Guard("outputs compared, or strategy shadow", _before_shadow)
STEPS_NEXT = Guard("steps", _before_steps)
ANOTHER_STEP = Guard("another step", _between_steps)
ROLLS_BACK = Guard("onFailure: rollback", lambda moment: not moment.course.pauses_harm)
PAUSES = Guard("onFailure: pause", lambda moment: moment.course.pauses_harm)
LATE_PAUSES = Guard("onTimeout: pause", lambda moment: moment.course.pauses_late)
LATE_ROLLS_BACK = Guard("onTimeout: rollback", lambda moment: not moment.course.pauses_late)


def _was(state: State) -> Guard:
    return Guard(f"it was in {state}", lambda moment: moment.going.paused is state)


class Row(msgspec.Struct, frozen=True):
    """One way from states to a state. None among the sources is before the first rollout of a service."""

    sources: tuple[State | None, ...]
    event: Event
    target: State
    guard: Guard = ALWAYS
    effect: Effect = Effect.NOTHING


TRIED = (S.GOLDEN, S.SHADOW, S.STEP)
"""States in which the new revision is judged before it goes on."""
MOVING = (S.WARMING, *TRIED, S.PROMOTING)
_WHILE_STOPPED = (Event.NEW, Event.RETRY, Event.SUPERSEDED, Event.ABORT, Event.PAUSE, Event.RESUME, Event.BACK)
"""Nothing goes forward while nothing runs."""

TABLE: tuple[Row, ...] = (
    Row((None, *ENDED), Event.NEW, S.PENDING, effect=Effect.BEGIN),
    Row((S.ROLLED_BACK, S.FAILED), Event.RETRY, S.PENDING, effect=Effect.BEGIN),
    Row(ACTIVE, Event.SUPERSEDED, S.SUPERSEDED, effect=Effect.GIVE_BACK),
    Row((S.PENDING, *MOVING, S.PAUSED), Event.ABORT, S.ABORTING, effect=Effect.GIVE_BACK),
    Row((S.WARMING, S.GOLDEN, S.SHADOW), Event.BROKEN, S.FAILED),
    Row((S.STEP, S.PROMOTING, S.PAUSED), Event.BROKEN, S.ABORTING, effect=Effect.GIVE_BACK),
    Row((*TRIED, S.PROMOTING, S.PAUSED), Event.HARM, S.ABORTING, ROLLS_BACK, Effect.GIVE_BACK),
    Row((*TRIED, S.PROMOTING), Event.HARM, S.PAUSED, PAUSES, Effect.REMEMBER),
    Row(MOVING, Event.PAUSE, S.PAUSED, effect=Effect.REMEMBER),
    *(Row((S.PAUSED,), Event.RESUME, state, _was(state), Effect.ENTER) for state in MOVING),
    Row((S.WARMING, *TRIED, S.PAUSED), Event.PROMOTE_FULL, S.PROMOTING),
    Row((S.WARMING,), Event.PASSED, S.GOLDEN, GOLDEN_NEXT, Effect.ENTER),
    Row((S.WARMING, S.GOLDEN), Event.PASSED, S.SHADOW, SHADOW_NEXT, Effect.ENTER),
    Row((S.WARMING, S.GOLDEN, S.SHADOW), Event.PASSED, S.STEP, STEPS_NEXT, Effect.FIRST_STEP),
    Row((S.STEP,), Event.PASSED, S.STEP, ANOTHER_STEP, Effect.NEXT_STEP),
    Row((S.WARMING, *TRIED), Event.PASSED, S.PROMOTING),
    Row((S.PAUSED,), Event.PROMOTE, S.GOLDEN, GOLDEN_NEXT, Effect.ENTER),
    Row((S.GOLDEN, S.PAUSED), Event.PROMOTE, S.SHADOW, SHADOW_NEXT, Effect.ENTER),
    Row((S.GOLDEN, S.SHADOW, S.PAUSED), Event.PROMOTE, S.STEP, STEPS_NEXT, Effect.FIRST_STEP),
    Row((S.STEP, S.PAUSED), Event.PROMOTE, S.STEP, ANOTHER_STEP, Effect.NEXT_STEP),
    Row((*TRIED, S.PAUSED), Event.PROMOTE, S.PROMOTING),
    Row(MOVING, Event.LATE, S.PAUSED, LATE_PAUSES, Effect.REMEMBER),
    Row(MOVING, Event.LATE, S.ABORTING, LATE_ROLLS_BACK, Effect.GIVE_BACK),
    Row((S.PENDING,), Event.BEGIN, S.WARMING, effect=Effect.ENTER),
    Row((S.PROMOTING,), Event.FULL, S.SUCCEEDED),
    Row((S.ABORTING,), Event.BACK, S.ROLLED_BACK),
)


def advance(rollout: Rollout | None, situation: Situation, now: float, judge: Judge) -> Rollout | None:
    """The rollout after this look; ``now`` is in seconds since 1970.

    It goes through as many states as it can at once, and stops where one ends: a rollout that has ended is written down
    before the next begins.
    """
    rollout = _counted(rollout, situation, now)
    for _ in State:  # no more than that: each state on the way forward is met once, and a step at its next look
        moment = _moment(rollout, situation, now, judge)
        found = fitting(moment)
        if found is None:
            break
        rollout = _moved(moment, *found)
        if rollout.ended or rollout.state is S.STEP:
            break
    return _settled(rollout, situation, now, judge)


def fitting(moment: Moment) -> tuple[Row, str] | None:
    """The row that counts, and what happened in a sentence; None where it stays as it is."""
    state = moment.rollout.state if moment.rollout else None
    for row in TABLE:
        if state not in row.sources or (moment.situation.stopped and row.event not in _WHILE_STOPPED):
            continue
        if (said := HAPPENS[row.event](moment)) is not None and row.guard.holds(moment):
            return row, said
    return None


def _moment(rollout: Rollout | None, situation: Situation, now: float, judge: Judge) -> Moment:
    verdicts = () if rollout is None or rollout.ended else judged(rollout, situation, judge)
    return Moment(rollout, situation, verdicts, now)


def _counted(rollout: Rollout | None, situation: Situation, now: float) -> Rollout | None:
    """With what was seen since the last look, the weight that its step has by now, and the time that counts."""
    replace = msgspec.structs.replace
    if rollout is None:
        return None
    if rollout.ended:
        return replace(rollout, left=rollout.left or _left(rollout, situation))
    if rollout.stood_still and not situation.stopped:
        rollout = replace(rollout, since=now)  # no time of its phase has passed in which it could be tried
    rollout, course = replace(rollout, stood_still=situation.stopped), situation.course
    if course is None:
        return rollout
    step = min(rollout.step, max(len(course.weights) - 1, 0))  # steps may have been taken away
    if rollout.at is S.STEP and course.weights and course.weights[step] != rollout.weight:
        # Somebody edits its steps: what was counted was under another weight.
        return replace(rollout, step=step, weight=course.weights[step], evidence=Evidence(), renewed=now)
    return replace(rollout, step=step, evidence=plus(rollout.evidence, situation.counted))


def _left(rollout: Rollout, situation: Situation) -> bool:
    """Whether the spec has left the revision of a rollout that is over, or what it came to was taken back."""
    if situation.newest not in (0, rollout.revision):
        return True
    return rollout.state is S.SUCCEEDED and situation.stable not in (0, rollout.revision)


def _moved(moment: Moment, row: Row, said: str) -> Rollout:
    before = _begun(moment) if row.effect is Effect.BEGIN else moment.going
    after = _affected(before, row, moment)
    count = before.count + 1
    source = None if row.effect is Effect.BEGIN else before.state
    step = after.step + 1 if row.target is S.STEP else 0
    verdicts = moment.verdicts if row.event in (Event.PASSED, Event.HARM, Event.LATE) else ()
    transition = Transition(count, moment.now, source, row.target, said, step, verdicts)
    command = moment.situation.command
    return msgspec.structs.replace(
        after,
        state=row.target,
        since=moment.now,
        command=str(command) if command is not None and row.event in BY_HAND else after.command,
        count=count,
        transitions=(*before.transitions, transition)[-REMEMBERED:],
        verdicts=moment.verdicts,
    )


def _begun(moment: Moment) -> Rollout:
    now, before = moment.situation, moment.rollout
    return Rollout(
        number=before.number + 1 if before else 1,
        revision=now.newest,
        stable=now.stable,
        strategy=moment.course.strategy,
        began=moment.now,
        since=moment.now,
        command=str(now.command) if now.command else "",  # what was asked of the one before is no wish for this one
        stood_still=now.stopped,
    )


def _affected(rollout: Rollout, row: Row, moment: Moment) -> Rollout:
    replace = msgspec.structs.replace
    if row.effect in (Effect.FIRST_STEP, Effect.NEXT_STEP):
        step = 0 if row.effect is Effect.FIRST_STEP else rollout.step + 1
        rollout = replace(rollout, step=step, weight=moment.course.weights[step])
    if row.effect in (Effect.FIRST_STEP, Effect.NEXT_STEP, Effect.ENTER):
        return replace(rollout, evidence=Evidence(), renewed=moment.now, paused=None)
    if row.effect is Effect.REMEMBER:
        return replace(rollout, paused=rollout.state)
    if row.effect is Effect.GIVE_BACK:
        return replace(rollout, weight=0, paused=None)
    return replace(rollout, paused=None)


def _settled(rollout: Rollout | None, situation: Situation, now: float, judge: Judge) -> Rollout | None:
    """With the verdicts of the state that it came to; a wish that means nothing there is passed over."""
    if rollout is None:
        return None
    if not rollout.ended:
        rollout = msgspec.structs.replace(rollout, verdicts=judged(rollout, situation, judge))
    command = situation.command
    if command is None or str(command) == rollout.command or _waits(rollout, command.verb, situation):
        return rollout
    return msgspec.structs.replace(rollout, command=str(command))


def _waits(rollout: Rollout, verb: Verb, situation: Situation) -> bool:
    """Whether a wish waits for the new revision, which cannot answer yet."""
    if rollout.state is S.PENDING:
        return verb is not Verb.RETRY
    sources = {Verb.PROMOTE: (*TRIED, S.PAUSED), Verb.PROMOTE_FULL: (S.WARMING, *TRIED, S.PAUSED)}
    return rollout.state in sources.get(verb, ()) and rollout.revision not in situation.ready
