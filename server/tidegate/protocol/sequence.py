"""Triton's sequence extension: which sequence a request is a step of, and whether it is the first or the last one."""

from __future__ import annotations

import msgspec

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.parameters import flag
from tidegate.protocol.tensors import Parameters

ID = "sequence_id"
START = "sequence_start"
END = "sequence_end"
NAMES = frozenset((ID, START, END))


class Step(msgspec.Struct, frozen=True):
    """One request of a sequence. 7 and "7" are two sequences."""

    sequence: int | str
    start: bool = False
    end: bool = False


def step_of(parameters: Parameters) -> Step | None:
    """The step that a request is; None where it names no sequence, or 0 or "", which are none.

    Raises:
        InvalidRequest: the id is no whole number from 0 on and no text, or another one of the three is no boolean.
    """
    sequence = parameters.get(ID, 0)
    if isinstance(sequence, bool | float) or (isinstance(sequence, int) and sequence < 0):
        raise InvalidRequest(f"parameters: '{ID}' is {shown(sequence)}, expected a whole number >= 0 or a string")
    start, end = flag("", parameters, START), flag("", parameters, END)
    return Step(sequence, bool(start), bool(end)) if sequence else None


def without_step(parameters: Parameters) -> Parameters:
    """The parameters that say nothing of a sequence."""
    return {name: value for name, value in parameters.items() if name not in NAMES}
