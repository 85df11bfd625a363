"""The states that sequences of requests have between two steps: bounded in number, forgotten when idle.

It is the gateway that keeps count of the sequences and refuses one too many. It does not tell a replica of those that
it has given up, so here the one that was used least recently makes room: as long as this bound is not below the
gateway's, that one is always one that was given up.

A request tells its place by three parameters, in Triton's words: ``sequence_id`` (a number that is not 0, or text),
``sequence_start`` on the first and ``sequence_end`` on the last. Pure: the time is an argument, and nothing runs
between steps; what has been idle for too long goes when somebody asks.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

import msgspec

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.options import read_count
from tidegate.runtimes.runtime import Artifact

ID = "sequence_id"
START = "sequence_start"
END = "sequence_end"

MAX_SEQUENCES = 1024
"""Sequences at a time, where the option ``max_sequences`` does not say otherwise: what bounds the memory."""
IDLE_SECONDS = 600
"""Seconds, where the option ``sequence_idle_seconds`` does not say otherwise: about the patience of a person."""
OPTIONS = ("max_sequences", "sequence_idle_seconds")
LONGEST_ID = 128
"""Characters; ids are kept."""

State = TypeVar("State")


class Step(msgspec.Struct, frozen=True):
    """A request's place in its sequence."""

    id: int | str
    start: bool = False
    end: bool = False


def read_step(parameters: Parameters) -> Step:
    """The step that a request's parameters tell.

    Raises:
        InvalidRequest: no sequence is named, or a parameter is of another kind.
    """
    value = parameters.get(ID)
    if value is None:
        raise InvalidRequest(
            f"parameters: '{ID}' is missing; the model keeps a state per sequence, so each request names its own"
        )
    if isinstance(value, (bool, float)) or not value or len(str(value)) > LONGEST_ID:
        raise InvalidRequest(
            f"parameters: '{ID}' is {shown(repr(value))}, expected an integer other than 0 or up to {LONGEST_ID} "
            f"characters of text"
        )
    return Step(value, _flag(parameters, START), _flag(parameters, END))


def _flag(parameters: Parameters, name: str) -> bool:
    value = parameters.get(name, False)
    if isinstance(value, bool):
        return value
    raise InvalidRequest(f"parameters: '{name}' is {shown(repr(value))}, expected true or false")


class Sequences(Generic[State]):
    """The states of those sequences that have begun and not ended. Times are seconds of any one clock that only rises.

    A step is ``take``, the model's work, ``keep``. What fails in between leaves the former state in place, so that the
    step can be sent again.
    """

    def __init__(self, most: int = MAX_SEQUENCES, idle_seconds: float = IDLE_SECONDS) -> None:
        self._most = most
        self._idle = idle_seconds
        self._states: OrderedDict[int | str, tuple[State, float]] = OrderedDict()  # by last use, oldest first

    def __len__(self) -> int:
        return len(self._states)

    def take(self, step: Step, now: float) -> State | None:
        """The state that a step begins with; None at a start, which also forgets a former sequence of the same id.

        Raises:
            InvalidRequest: no such sequence has begun, or it has ended, was idle for too long or made room for others.
        """
        self._expire(now)
        if step.start:
            self._states.pop(step.id, None)
            return None
        kept = self._states.get(step.id)
        if kept is None:
            raise InvalidRequest(
                f"parameters: sequence {shown(repr(step.id))} is not known; it has not begun here, has ended, or was "
                f"without a request for {self._idle:g} s; begin it with '{START}'"
            )
        return kept[0]

    def keep(self, step: Step, state: State, now: float) -> None:
        """The state that a step has led to; after the last one it is forgotten."""
        if step.end:
            self._states.pop(step.id, None)
            return
        self._states[step.id] = (state, now)
        self._states.move_to_end(step.id)
        while len(self._states) > self._most:
            self._states.popitem(last=False)

    def _expire(self, now: float) -> None:
        while self._states:
            oldest, (_, used) = next(iter(self._states.items()))
            if now - used < self._idle:
                return
            del self._states[oldest]


def read_sequences(artifact: Artifact) -> Sequences[Any]:
    """No sequences yet, within the bounds that the artifact's options set.

    Raises:
        ModelLoadFailed: a bound is no whole number.
    """
    return Sequences(
        read_count(artifact, "max_sequences", MAX_SEQUENCES),
        read_count(artifact, "sequence_idle_seconds", IDLE_SECONDS),
    )
