"""Sequences: where each lives, until when, and who is told what. The last test does whatever can be done."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidegate.batching.sequences import Sequences, Visit
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import InvalidRequest, Overloaded, SequenceLost, TidegateError
from tidegate.protocol.sequence import Step, step_of, without_step


class Scene:
    """A table whose steps are executed at once."""

    def __init__(self, **settings: Any) -> None:
        self.table: Sequences[str] = Sequences("m", BatchSettings(**settings))
        self.now = 0.0

    def arrive(self, identity: int | str = 7, nbytes: int = 10, **flags: bool) -> Visit[str]:
        return self.table.arrive(Step(identity, **flags), nbytes, self.now)

    def finish(self, visit: Visit[str], place: str = "a", done: bool = True) -> None:
        try:
            self.table.turn(visit)
            self.table.place(visit.sequence, visit.sequence.place or place)
            visit.done = done
        finally:
            self.table.leave(visit, self.now)

    def step(self, identity: int | str = 7, place: str = "a", done: bool = True, **flags: bool) -> str | None:
        visit = self.arrive(identity, **flags)
        self.finish(visit, place, done)
        return visit.sequence.place

    @property
    def figures(self) -> tuple[int, ...]:
        told = self.table.statistics(self.now)
        return told.open, told.started, told.ended, told.expired, told.lost


def test_a_sequence_stays_where_it_began() -> None:
    """Until its end; then its place keeps it no more."""
    scene = Scene()
    assert [scene.step(start=True), scene.step(place="b"), scene.step()] == ["a"] * 3
    assert scene.table.at("a") == 1
    assert scene.step(end=True) is None
    assert scene.table.at("a") == 0
    assert scene.figures == (0, 1, 1, 0, 0)


def test_one_step_may_be_all() -> None:
    """First and last in one."""
    scene = Scene()
    scene.step(start=True, end=True)
    assert scene.figures == (0, 1, 1, 0, 0)


@pytest.mark.parametrize("before", ["nothing", "end", "failed start"])
def test_a_step_without_a_start_is_refused(before: str) -> None:
    """Where there is no state: never was, or not any more."""
    scene = Scene()
    if before == "end":
        scene.step(start=True)
        scene.step(end=True)
    if before == "failed start":
        scene.step(done=False, start=True)
    with pytest.raises(InvalidRequest, match="is not open: it was not started, has ended, or was idle for 60 s"):
        scene.step()


def test_a_failed_step_leaves_the_sequence_open() -> None:
    """Also one that would have ended it."""
    scene = Scene()
    scene.step(start=True)
    scene.step(done=False)
    scene.step(done=False, end=True)
    assert scene.step() == "a"


def test_steps_that_wait_are_judged_at_their_turn() -> None:
    """Behind an end there is no sequence; behind a start after it there is one."""
    scene = Scene()
    visits = [
        scene.arrive(start=True),
        scene.arrive(end=True),
        scene.arrive(),
        scene.arrive(start=True),
        scene.arrive(),
    ]
    scene.finish(visits[0])
    scene.finish(visits[1])
    with pytest.raises(InvalidRequest):
        scene.finish(visits[2])
    scene.finish(visits[3], "b")
    scene.finish(visits[4])
    assert visits[4].sequence.place == "b"
    assert repr(visits[4].sequence) == "<Sequence 7 begun, 0 steps>"


def test_a_start_begins_an_open_sequence_anew() -> None:
    """At the place where it is: there the old state is dropped."""
    scene = Scene()
    scene.step(start=True)
    assert scene.step(place="b", start=True) == "a"
    assert scene.table.at("a") == 1


def test_idle_sequences_end() -> None:
    """Those that nobody visits, at the instant, and not before."""
    scene = Scene(sequence_idle=10.0)
    scene.step(1, start=True)
    scene.step(2, start=True)
    visit = scene.arrive(2)
    scene.now = 9.9
    scene.step(1)
    scene.now = 19.8
    assert scene.figures == (2, 2, 0, 0, 0)
    scene.finish(visit)
    scene.now = 19.9
    assert scene.figures == (1, 2, 0, 1, 0)
    assert scene.step(2) == "a"


def test_a_place_that_is_gone_takes_its_sequences() -> None:
    """Each is told once it asks, whether it was idle, executing or waiting; those elsewhere go on."""
    scene = Scene()
    scene.step(1, "a", start=True)
    scene.step(2, "b", start=True)
    scene.step(3, "a", start=True)
    executing, waiting, again = scene.arrive(3), scene.arrive(3), scene.arrive(3, start=True)
    scene.table.turn(executing)
    scene.table.lose("a", scene.now)
    scene.table.leave(executing, scene.now)
    with pytest.raises(SequenceLost, match="start it again with sequence_start"):
        scene.finish(waiting)
    scene.finish(again, "b")
    with pytest.raises(SequenceLost, match="sequence '1' of model 'm' is lost"):
        scene.step(1)
    assert scene.step(2) == scene.step(3) == "b"
    assert scene.step(1, "b", start=True) == scene.step(1) == "b"
    assert scene.figures == (3, 5, 0, 0, 2)


def test_a_loss_is_remembered_for_as_long_as_a_sequence_may_be_idle() -> None:
    """And for no more sequences than may be open."""
    scene = Scene(sequence_idle=10.0, max_sequences=2)
    for identity in (1, 2, 3):
        scene.step(identity, start=True)
        scene.table.lose("a", scene.now)
    with pytest.raises(InvalidRequest):
        scene.step(1)
    with pytest.raises(SequenceLost):
        scene.step(2)
    scene.now = 10.0
    with pytest.raises(InvalidRequest):
        scene.step(2)


def test_there_are_bounds() -> None:
    """On sequences, and on steps that wait and their bytes; one step may always wait."""
    scene = Scene(max_sequences=1, max_queue=2, max_queue_bytes=25)
    executing = scene.arrive(start=True)
    with pytest.raises(Overloaded, match="has 1 sequences open"):
        scene.step(8, start=True)
    waiting = scene.arrive(nbytes=1000)
    with pytest.raises(Overloaded, match="1 steps of sequences that wait"):
        scene.arrive()
    scene.finish(executing)
    scene.finish(waiting)
    scene.step(end=True)
    visits = [scene.arrive(8, start=True), scene.arrive(8), scene.arrive(8)]
    with pytest.raises(Overloaded):
        scene.arrive(8)
    for visit in visits:
        scene.finish(visit)
    assert repr(scene.table) == "<Sequences 1 open, 1 of them idle>"


@pytest.mark.parametrize(
    ("parameters", "step"),
    [
        ({}, None),
        ({"sequence_id": 0, "sequence_start": True}, None),
        ({"sequence_id": ""}, None),
        ({"sequence_id": 7}, Step(7)),
        ({"sequence_id": (1 << 64) - 1, "sequence_start": True}, Step((1 << 64) - 1, start=True)),
        ({"sequence_id": "a", "sequence_end": True, "sequence_start": False}, Step("a", end=True)),
    ],
)
def test_parameters_tell_a_step(parameters: dict[str, Any], step: Step | None) -> None:
    """0 and "" are no sequence, as Triton has it."""
    assert step_of(parameters) == step


@pytest.mark.parametrize(
    "wrong", [{"sequence_id": True}, {"sequence_id": 1.5}, {"sequence_id": -1}, {"sequence_id": 1, "sequence_end": 1}]
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    """With the name of the one at fault."""
    with pytest.raises(InvalidRequest, match="parameters: 'sequence_"):
        step_of(wrong)


def test_the_rest_of_the_parameters() -> None:
    """Is what tells batches apart."""
    assert without_step({"sequence_id": 1, "sequence_start": True, "sequence_end": False, "a": 2}) == {"a": 2}


IDS, PLACES = st.integers(1, 3), st.sampled_from(["a", "b"])


class SequenceMachine(RuleBasedStateMachine):
    """Against a model of what each place remembers: a step is never executed where its state is not."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Sequences[str] = Sequences("m", BatchSettings(max_sequences=2, sequence_idle=5.0, max_queue=3))
        self.now = 0.0
        self.waiting: dict[int, list[Visit[str]]] = {1: [], 2: [], 3: []}
        self.running: dict[int, Visit[str] | None] = dict.fromkeys((1, 2, 3))
        self.states: dict[int, str] = {}
        """Where the state of each sequence is that has one."""

    @rule(identity=IDS, start=st.booleans(), end=st.booleans())
    def arrive(self, identity: int, start: bool, end: bool) -> None:
        try:
            visit = self.table.arrive(Step(identity, start, end), 1, self.now)
        except TidegateError:
            return
        self.waiting[identity].append(visit)

    @rule(identity=IDS, place=PLACES)
    def begin(self, identity: int, place: str) -> None:
        if self.running[identity] is not None or not self.waiting[identity]:
            return
        visit = self.waiting[identity].pop(0)
        try:
            self.table.turn(visit)
        except TidegateError:
            self.table.leave(visit, self.now)
            return
        if not visit.step.start:
            assert visit.sequence.place == self.states[identity]
        self.table.place(visit.sequence, visit.sequence.place or place)
        self.running[identity] = visit

    @rule(identity=IDS, done=st.booleans())
    def end(self, identity: int, done: bool) -> None:
        visit = self.running[identity]
        if visit is None:
            return
        place = visit.sequence.place
        visit.done = done and place is not None  # a place that is gone does nothing any more
        self.table.leave(visit, self.now)
        self.running[identity] = None
        if visit.done and not visit.step.end:
            assert place is not None
            self.states[identity] = place
        elif visit.done or visit.step.start:
            self.states.pop(identity, None)

    @rule(identity=IDS)
    @precondition(lambda self: any(self.waiting.values()))
    def give_up(self, identity: int) -> None:
        if self.waiting[identity]:
            self.table.leave(self.waiting[identity].pop(), self.now)

    @rule(place=PLACES)
    def lose(self, place: str) -> None:
        self.table.lose(place, self.now)
        self.states = {identity: at for identity, at in self.states.items() if at != place}

    @rule(seconds=st.sampled_from([1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def bounds_hold(self) -> None:
        told = self.table.statistics(self.now)
        assert told.open <= 2
        assert told.started >= told.ended
        assert self.table.at("a") + self.table.at("b") <= told.open
        assert sum(map(len, self.waiting.values())) <= 3 + 2  # besides those at the head of their sequences

    def teardown(self) -> None:
        for identity, visits in self.waiting.items():
            self.end(identity, True)
            for visit in visits:
                self.table.leave(visit, self.now)
        self.now += 5.0
        assert self.table.statistics(self.now).open == 0
        assert self.table.at("a") == self.table.at("b") == 0


TestSequenceMachine = SequenceMachine.TestCase
