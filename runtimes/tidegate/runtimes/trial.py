"""Trial runs over zeros: what they tell of a model whose file leaves sizes open.

A file says which sizes are open, but not what they count: an open first axis may be the batch, or the boxes that a
detector found. So a model is run with one and with three rows, and what comes back tells. The first run of a model is
also its slowest, and this way no caller waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import TensorSpec

Array = npt.NDArray[Any]
Run = Callable[[dict[str, Array]], Mapping[str, Any]]

OPEN_ROWS = (1, 3)
"""Two counts, so that an output of a fixed size cannot match both by chance."""
FIXED_ROWS = (0,)
_ELEMENTS = 1 << 24
"""Largest input that a trial run makes up: 64 MiB of float32."""


class Trial(msgspec.Struct, frozen=True):
    """What one run gave: the outputs by name, for inputs of ``rows`` rows (0: the model fixes them)."""

    rows: int
    answers: Mapping[str, Any]


class Trials(msgspec.Struct, frozen=True):
    """All the runs, or none of them and why: zeros need not be valid input, and the model may still be good."""

    runs: tuple[Trial, ...] = ()
    failure: Exception | None = None

    def keep_rows(self) -> bool:
        """Whether each run gave as many rows in every output as it was given."""
        return all(_count(answer) == trial.rows for trial in self.runs for answer in trial.answers.values())


def trial_runs(run: Run, inputs: Sequence[TensorSpec], counts: Sequence[int], text: str | bytes = b"") -> Trials:
    """One run per count, over zeros and empty texts, with size 1 for every other open axis.

    ``text`` is the framework's empty text. The arrays are read-only, as those of a request are.
    """
    runs = []
    for rows in counts:
        shapes = {spec.name: _shape(spec, rows) for spec in inputs}
        if any(prod(shape) > _ELEMENTS for shape in shapes.values()):
            return Trials(failure=ValueError(f"an input of more than {_ELEMENTS} elements is not made up"))
        try:
            answers = run({spec.name: _zeros(spec.datatype, shapes[spec.name], text) for spec in inputs})
        except Exception as error:  # whatever the framework raises for input that is none
            return Trials(failure=error)
        runs.append(Trial(rows, answers))
    return Trials(tuple(runs))


def _shape(spec: TensorSpec, rows: int) -> list[int]:
    shape = [1 if size == -1 else size for size in spec.shape]
    if rows:
        shape[0] = rows
    return shape


def _zeros(datatype: Datatype, shape: list[int], text: str | bytes) -> Array:
    if datatype is Datatype.BYTES:
        return np.full(shape, text, dtype=object)
    array: Array = np.zeros(shape, np.float32 if datatype is Datatype.BF16 else datatype.stored)
    array.flags.writeable = False
    return array


def _count(answer: Any) -> int:
    if isinstance(answer, list):
        return len(answer)
    return int(answer.shape[0]) if answer.ndim else 0
