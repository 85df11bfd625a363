"""The machine under whatever it is told in whatever order: what can never happen, and what can always."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.settings import AnalysisSettings
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.control.rollouts.course import Course, Hold
from tidegate.control.rollouts.event import BY_HAND
from tidegate.control.rollouts.machine import MOVING, TABLE, TRIED, Row, advance, fitting
from tidegate.control.rollouts.rollout import Rollout, Transition
from tidegate.control.rollouts.situation import Judge, Moment, Situation
from tidegate.control.rollouts.state import ACTIVE, ENDED, State
from tidegate.resources.rollout import Check, Golden
from tidegate.resources.rollout_command import Command, Verb

NEED = 100
COMPARED = AnalysisSettings(min_samples=NEED)
FORWARD = (State.GOLDEN, State.SHADOW, State.STEP, State.PROMOTING)
CHECK = Check(name="sales")
PROMOTES = (Verb.PROMOTE, Verb.PROMOTE_FULL)


def verdict(outcome: Outcome, check: str = "errors") -> Verdict:
    return Verdict(check, outcome, f"{check}: {outcome}")


class Look(msgspec.Struct, frozen=True):
    """What is told at one look, so many seconds after the one before."""

    seconds: float
    situation: Situation
    judged: tuple[Verdict, ...]
    """What the requests that were counted come to."""


def judging(verdicts: Sequence[Verdict]) -> Judge:
    return lambda evidence, settings, shadow: tuple(verdicts)


OUTCOMES = st.sampled_from([Outcome.PASS, Outcome.PASS, Outcome.PASS, Outcome.UNDECIDED, Outcome.NO_DATA, Outcome.FAIL])
HOLDS = st.builds(Hold, least=st.sampled_from([0.0, 10.0]), most=st.none() | st.sampled_from([10.0, 60.0]))


@st.composite
def courses(draw: st.DrawFn) -> Course | None:
    strategy = draw(st.sampled_from(["immediate", "blueGreen", "canary", "canary", "canary", "shadow"]))
    if strategy == "immediate":
        return None
    weights = draw(st.lists(st.integers(1, 99), min_size=1, max_size=3)) if strategy == "canary" else []
    return Course(
        strategy=strategy,
        weights=tuple(sorted(weights)),
        holds=tuple(draw(HOLDS) for _ in weights),
        golden=draw(st.none() | st.just(Golden(uri="golden"))),
        shadow=strategy == "shadow" or draw(st.booleans()),
        analysis=draw(st.none() | st.just(COMPARED) | st.just(COMPARED)),
        checks=draw(st.sampled_from([(), (CHECK,)])),
        timeout=100.0,
        pauses_late=draw(st.booleans()),
        pauses_harm=draw(st.booleans()),
    )


@st.composite
def looks(draw: st.DrawFn, course: Course | None, verbs: Sequence[Verb]) -> Look:
    running = draw(st.sampled_from([(1, 2, 3), (1, 2), (1,), (2,), ()]))
    ready = frozenset(draw(st.sampled_from([running, running, running[1:], running[:1], ()])))
    newest = draw(st.sampled_from([2, 2, 2, 2, 2, 2, 3, 1, 0]))
    command = draw(st.none() | st.builds(Command, st.sampled_from(verbs), st.sampled_from("123")))
    golden = draw(st.none() | OUTCOMES.map(lambda outcome: verdict(outcome, "golden")))
    counted = draw(st.sampled_from([0, 0, 30, 500]))
    return Look(
        draw(st.sampled_from([0.0, 1.0, 10.0, 40.0, 200.0])),
        Situation(
            newest=newest,
            stable=draw(st.sampled_from([1, 1, 1, 1, 1, 1, 1, 2, 0])),
            course=course,
            running=frozenset(running),
            ready=ready,
            full=draw(st.booleans()),
            broken=draw(st.sampled_from([""] * 9 + ["it has no weights"])),
            undone=draw(st.sampled_from([False] * 9 + [True])),
            stopped=draw(st.sampled_from([False] * 9 + [True])),
            command=command,
            counted=Evidence(canary_errors=Share(0, counted)),
            golden=golden,
            checks=tuple(draw(st.lists(OUTCOMES.map(lambda outcome: verdict(outcome, "check/sales")), max_size=1))),
        ),
        tuple(draw(st.lists(OUTCOMES.map(verdict), min_size=1, max_size=2))),
    )


@st.composite
def stories(draw: st.DrawFn, verbs: Sequence[Verb] = tuple(Verb), *, edited: bool = True) -> list[Look]:
    """Looks one after another; ``edited``: the spec may have another course at each."""
    course = draw(courses())
    told = []
    for _ in range(draw(st.integers(1, 10))):
        if edited and draw(st.integers(0, 4)) == 0:
            course = draw(courses())
        told.append(draw(looks(course, verbs)))
    return told


class Seen(msgspec.Struct, frozen=True):
    """What one look came to, and what was new then."""

    look: Look
    at: float
    before: Rollout | None
    after: Rollout | None
    new: tuple[Transition, ...]


def told(story: Sequence[Look], *, restarted: bool = False, begins: float = 1000.0) -> Iterator[Seen]:
    """What each look comes to; ``restarted``: what is remembered is written down and read again before each."""
    rollout: Rollout | None = None
    now = begins
    for look in story:
        now += look.seconds
        before = rollout
        if restarted and before is not None:
            before = msgspec.json.decode(msgspec.json.encode(before), type=Rollout)
        rollout = advance(before, look.situation, now, judging(look.judged))
        yield Seen(look, now, before, rollout, new_of(before, rollout))


def new_of(before: Rollout | None, after: Rollout | None) -> tuple[Transition, ...]:
    if after is None:
        return ()
    known = before.count if before is not None and before.number == after.number else 0
    return tuple(each for each in after.transitions if each.number > known)


def states_with(rollout: Rollout, row: Row) -> Iterator[Rollout]:
    """A rollout in each state that a row begins in; a paused one for each state that it was in before."""
    for source in row.sources:
        if source is State.PAUSED:
            yield from (msgspec.structs.replace(rollout, state=source, paused=state) for state in MOVING)
        elif source is not None:
            yield msgspec.structs.replace(rollout, state=source)


BEGUN = Rollout(number=1, revision=2, stable=1, strategy="canary", began=0.0, since=0.0, weight=10, command="pause 0")
SITUATION = Situation(newest=2, stable=1, course=None, running=frozenset({1, 2}), ready=frozenset({1, 2}))
WAYS = [
    Course(
        strategy="canary", weights=weights, holds=tuple(Hold(10.0) for _ in weights), golden=golden, shadow=shadow,
        analysis=COMPARED, timeout=100.0, pauses_late=pauses, pauses_harm=pauses,
    )
    for weights, golden, shadow, pauses in product(
        [(), (10,), (10, 50)], [None, Golden(uri="golden")], [False, True], [False, True]
    )
]  # fmt: skip


def moments(rollout: Rollout | None) -> Iterator[Moment]:
    """Situations that differ in all that an event looks at."""
    evidence = Evidence(canary_errors=Share(0, NEED))
    for course, newest, waited, verb, outcome in product(
        WAYS, (2, 3), (20.0, 200.0), (None, *Verb), (Outcome.PASS, Outcome.UNDECIDED, Outcome.FAIL)
    ):
        command = Command(verb, "1") if verb else None
        for changed in ({}, {"full": True}, {"broken": "it has no weights"}):
            situation = msgspec.structs.replace(SITUATION, course=course, newest=newest, command=command, **changed)
            held = None if rollout is None else msgspec.structs.replace(rollout, evidence=evidence)
            yield Moment(held, situation, (verdict(outcome),), waited)


def test_each_row_of_the_table_happens_from_each_of_its_states() -> None:
    """There is no row that another one hides, and no state in a row that it never begins in."""
    missing = {(row, source) for row in TABLE for source in row.sources}
    starts = {state: [msgspec.structs.replace(BEGUN, state=state)] for state in State}
    starts[State.PAUSED] = [msgspec.structs.replace(BEGUN, state=State.PAUSED, paused=state) for state in MOVING]
    for source in (None, *State):
        for rollout in [None] if source is None else starts[source]:
            for moment in moments(rollout):
                if (found := fitting(moment)) is not None:
                    missing.discard((found[0], source))
    assert missing == set()


def test_every_state_has_an_exit() -> None:
    """One that is over is left by a new revision; any other one is left without a new spec, too."""
    for state in ACTIVE:
        ways = {row.target for row in TABLE if state in row.sources} - {state, State.SUPERSEDED}
        assert ways, state
    for state in ENDED:
        assert {row.target for row in TABLE if state in row.sources} == {State.PENDING}
    reached: set[State | None] = {None}
    while more := {row.target for row in TABLE if reached & set(row.sources)} - reached:
        reached |= more
    assert reached == {None, *State}


@given(stories(verbs=[Verb.PAUSE, Verb.RESUME, Verb.ABORT, Verb.RETRY]))
@settings(max_examples=120)
def test_nothing_goes_forward_by_itself_but_by_the_rules(story: list[Look]) -> None:
    """Enough requests and every verdict a pass; or the hold is over, with nothing against it and nothing missing."""
    for seen in told(story):
        for index, transition in enumerate(seen.new):
            if transition.source in TRIED and transition.target in FORWARD:
                passed(seen, transition, first=index == 0)
            if transition.target is State.SUCCEEDED:
                assert transition.source is State.PROMOTING
            if transition.target is State.PROMOTING and transition.source not in (State.PAUSED, State.WARMING):
                assert transition.source in TRIED


def passed(seen: Seen, transition: Transition, *, first: bool) -> None:
    """The rules once more, from what was told."""
    situation, before = seen.look.situation, seen.before
    course = situation.course
    assert course is not None
    assert situation.newest in situation.ready
    if transition.source is State.GOLDEN:
        assert course.golden is None or situation.golden == verdict(Outcome.PASS, "golden")
        return
    outcomes = {each.outcome for each in seen.look.judged} if course.analysis is not None else set()
    outcomes |= {each.outcome for each in situation.checks}
    assert len(situation.checks) >= len(course.checks)
    if course.analysis is not None:
        assert first  # what is entered at this look has no requests yet
        assert before is not None
        assert before.evidence.canary_errors.of + situation.counted.canary_errors.of >= NEED
    step = min(before.step, max(len(course.weights) - 1, 0)) if before is not None else 0
    at_step = transition.source is State.STEP and bool(course.holds)
    hold = course.holds[step] if at_step else Hold()
    waited = seen.at - before.since if first and before is not None else 0.0
    assert waited >= hold.least
    if outcomes - {Outcome.PASS}:
        assert outcomes <= {Outcome.PASS, Outcome.UNDECIDED}
        assert hold.most is not None
        assert waited >= hold.most


@given(stories(), st.data())
@settings(max_examples=120)
def test_harm_leads_back_from_wherever_it_is_judged(story: list[Look], data: st.DataObject) -> None:
    """Also while it is paused; unless the spec asks for a pause, and the weight does not grow then."""
    for seen in told(story):
        rollout, course = seen.after, seen.look.situation.course
        if rollout is None or course is None or rollout.ended or rollout.revision != 2 or rollout.stable != 1:
            continue
        bad = msgspec.structs.replace(
            SITUATION, course=course, command=None, golden=verdict(Outcome.FAIL, "golden"),
            checks=(verdict(Outcome.FAIL, "check/sales"),),
        )  # fmt: skip
        after = advance(rollout, bad, seen.at + 1, judging([verdict(Outcome.FAIL)]))
        assert after is not None
        asked = rollout.at in TRIED or (rollout.at is State.PROMOTING and rollout.weight > 0)
        if rollout.at is State.PROMOTING and rollout.weight == 0:
            continue
        if asked and not (rollout.at is State.PROMOTING and course.analysis is None and not course.checks):
            back = (State.PAUSED,) if course.pauses_harm else (State.ROLLED_BACK,)
            assert after.state in back
            assert after.weight <= max(rollout.weight, 0 if not course.weights else max(course.weights))


@given(stories(edited=True), st.booleans())
@settings(max_examples=120)
def test_what_holds_at_every_instant(story: list[Look], backwards: bool) -> None:
    """Who goes back has no weight; who answers nobody has none; nothing is told twice; whatever time does."""
    if backwards:
        story = [msgspec.structs.replace(look, seconds=-look.seconds if n % 3 else 0.0) for n, look in enumerate(story)]
    for seen in told(story):
        after = seen.after
        if after is None:
            continue
        course = seen.look.situation.course
        if after.state in (State.ABORTING, State.ROLLED_BACK, State.FAILED, State.SUPERSEDED):
            assert after.weight == 0
        if after.at in (State.PENDING, State.WARMING, State.GOLDEN, State.SHADOW):
            assert after.weight == 0
        if after.at is State.STEP and course is not None and course.weights and not after.ended:
            assert after.weight == course.weights[after.step]
        assert (after.paused is not None) == (after.state is State.PAUSED)
        assert [each.number for each in after.transitions] == list(range(1, after.count + 1))
        assert after.transitions[-1].target is after.state
        assert all(each.message for each in after.transitions)
        if seen.look.situation.stopped:
            assert not {each.target for each in seen.new} & {State.STEP, State.PROMOTING, State.SUCCEEDED} - {
                each.target for each in seen.new if each.source is State.PAUSED
            }


@given(stories())
@settings(max_examples=120)
def test_a_wish_is_carried_out_once_and_a_restart_changes_nothing(story: list[Look]) -> None:
    """What is remembered is all that there is to know."""
    seen = list(told(story))
    assert [each.after for each in told(story, restarted=True)] == [each.after for each in seen]
    for each in seen:
        command, before = each.look.situation.command, each.before
        if before is None or command is None or str(command) != before.command:
            continue
        without = msgspec.structs.replace(each.look.situation, command=None)
        after = advance(before, without, each.at, judging(each.look.judged))
        if after is not None and each.after is not None and after.number == each.after.number:
            assert after.transitions == each.after.transitions
    by_hand = [
        (each.after.number, each.after.command, each.after.count)
        for each in seen
        if each.after is not None and any(transition.message.endswith("by hand") for transition in each.new)
    ]
    assert len(by_hand) == len(set(by_hand))


@given(stories())
@settings(max_examples=120)
def test_looking_again_changes_nothing(story: list[Look]) -> None:
    """But that what is over makes room, and that a step without a hold may be passed at its next look."""
    for seen in told(story):
        rollout, quiet = seen.after, msgspec.structs.replace(seen.look.situation, counted=Evidence())
        for _ in range(12):
            if rollout is not None and rollout.state is State.SUCCEEDED and not rollout.left:
                quiet = msgspec.structs.replace(quiet, stable=rollout.revision)
            again = advance(rollout, quiet, seen.at, judging(seen.look.judged))
            if again == rollout:
                break
            assert again is not None
            assert rollout is None or rollout.ended or rollout.state is State.STEP
            assert again.count > (rollout.count if rollout and rollout.number == again.number else 0) or again.left
            rollout = again
        else:
            raise AssertionError("it comes to no rest")


def test_a_row_by_hand_needs_a_hand() -> None:
    """No event of a command happens without one."""
    rows = [row for row in TABLE if row.event in BY_HAND]
    assert {row.event for row in rows} == set(BY_HAND)
    for row in rows:
        for rollout in states_with(BEGUN, row):
            for course in WAYS:
                moment = Moment(rollout, msgspec.structs.replace(SITUATION, course=course), (), 20.0)
                found = fitting(moment)
                assert found is None or found[0].event not in BY_HAND
