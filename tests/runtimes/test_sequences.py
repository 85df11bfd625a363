"""The states of sequences: what a step is, who remembers it, for how long and how many."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tidegate.protocol.errors import InvalidRequest, ModelLoadFailed
from tidegate.protocol.tensors import Parameter
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.sequences import Sequences, Step, read_sequences, read_step

MOST = 3
IDLE = 10.0


def test_a_step_is_read_from_the_parameters() -> None:
    """In Triton's words; what is not said is no."""
    assert read_step({"sequence_id": 7}) == Step(7)
    assert read_step({"sequence_id": "a", "sequence_start": True, "other": 1}) == Step("a", start=True)
    assert read_step({"sequence_id": 7, "sequence_end": True}) == Step(7, end=True)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({}, "'sequence_id' is missing; the model keeps a state per sequence", id="none"),
        pytest.param({"sequence_id": 0}, "'sequence_id' is 0, expected an integer other than 0", id="zero"),
        pytest.param({"sequence_id": ""}, "'sequence_id' is '', expected an integer other than 0", id="no text"),
        pytest.param({"sequence_id": True}, "'sequence_id' is True, expected an integer", id="truth"),
        pytest.param({"sequence_id": 1.5}, "'sequence_id' is 1.5, expected an integer", id="fraction"),
        pytest.param({"sequence_id": "x" * 129}, "or up to 128 characters of text", id="long"),
        pytest.param(
            {"sequence_id": 1, "sequence_start": 1}, "'sequence_start' is 1, expected true or false", id="start"
        ),
        pytest.param({"sequence_id": 1, "sequence_end": "no"}, "'sequence_end' is 'no', expected true", id="end"),
    ],
)
def test_a_step_that_is_none_is_refused(parameters: dict[str, Parameter], problem: str) -> None:
    """With the parameter, its value and what was expected."""
    with pytest.raises(InvalidRequest, match=f"^parameters: {problem}|{problem}"):
        read_step(parameters)


@given(st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.text(), st.booleans(), st.floats())))
def test_whatever_the_parameters_are_they_make_a_step_or_a_refusal(parameters: dict[str, Parameter]) -> None:
    """No value raises anything else."""
    for value in parameters.values():
        try:
            step = read_step({**parameters, "sequence_id": value})
        except InvalidRequest:
            continue
        assert step.id == value
        assert type(step.id) in (int, str)


def test_an_unknown_sequence_is_named() -> None:
    """With what may have become of it, and what to do."""
    with pytest.raises(InvalidRequest) as caught:
        Sequences[int](idle_seconds=60).take(Step(5), 0.0)
    assert caught.value.message == (
        "parameters: sequence 5 is not known; it has not begun here, has ended, or was without a request for 60 s; "
        "begin it with 'sequence_start'"
    )


def test_one_too_many_takes_the_place_of_the_least_recently_used() -> None:
    """Which the gateway has given up long ago, and which is told so should it come back."""
    sequences = Sequences[int](most=2, idle_seconds=IDLE)
    for id in (1, 2):
        sequences.keep(Step(id, start=True), id, 100.0)
    sequences.keep(Step(1), 1, 101.0)
    assert sequences.take(Step(3, start=True), 104.0) is None
    sequences.keep(Step(3, start=True), 3, 104.0)
    assert sequences.take(Step(1), 104.0) == 1
    with pytest.raises(InvalidRequest, match="sequence 2 is not known"):
        sequences.take(Step(2), 104.0)


def test_a_number_and_its_text_are_two_sequences() -> None:
    """1 and "1" do not meet."""
    sequences = Sequences[str]()
    sequences.keep(Step(1), "number", 0.0)
    sequences.keep(Step("1"), "text", 0.0)
    assert (sequences.take(Step(1), 0.0), sequences.take(Step("1"), 0.0)) == ("number", "text")


def test_the_bounds_are_options() -> None:
    """A whole number each."""
    sequences = read_sequences(Artifact("m", "1", Path("m"), options={"max_sequences": "1"}))
    for id in (1, 2):
        sequences.keep(Step(id), None, 0.0)
    assert len(sequences) == 1
    with pytest.raises(ModelLoadFailed, match="option 'sequence_idle_seconds' is 'x', expected a whole number"):
        read_sequences(Artifact("m", "1", Path("m"), options={"sequence_idle_seconds": "x"}))


class AgainstAList(RuleBasedStateMachine):
    """Random steps of a few sequences, beside the plainest thing that could be right."""

    def __init__(self) -> None:
        super().__init__()
        self.sequences = Sequences[int](MOST, IDLE)
        self.model: dict[int | str, tuple[int, float]] = {}
        self.now = 0.0
        self.count = 0

    @rule(
        id=st.sampled_from([1, 2, 3, 4, "1"]),
        start=st.booleans(),
        end=st.booleans(),
        fails=st.booleans(),
        passed=st.sampled_from([0.0, 1.0, 4.0, IDLE]),
    )
    def step(self, id: int | str, start: bool, end: bool, fails: bool, passed: float) -> None:
        self.now += passed
        self.model = {key: kept for key, kept in self.model.items() if self.now - kept[1] < IDLE}
        step = Step(id, start, end)
        if start:
            self.model.pop(id, None)
        try:
            state = self.sequences.take(step, self.now)
        except InvalidRequest:
            assert not start
            assert id not in self.model
            return
        assert state == (None if start else self.model[id][0])
        if fails:
            return
        self.count += 1
        self.sequences.keep(step, self.count, self.now)
        self.model.pop(id, None)
        if not end:
            self.model[id] = (self.count, self.now)
            if len(self.model) > MOST:
                del self.model[min(self.model, key=lambda key: self.model[key][0])]

    @invariant()
    def it_is_bounded(self) -> None:
        assert len(self.sequences) <= MOST


TestAgainstAList = AgainstAList.TestCase
