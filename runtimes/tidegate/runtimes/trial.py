"""Trial runs over zeros: they tell what a model's file does not, and warm the model up.

Rows are batched only where as many come back as went in, so one run has one row and another has three: an output of
a fixed size cannot match both by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import msgspec
import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Arrays

ROWS = (1, 3)
ELEMENTS = 1 << 24
"""Largest input that a trial run makes up: 64 MiB of float32."""


class Trial(msgspec.Struct, frozen=True):
    """What one run gave for inputs of ``rows`` rows; 0 where the shapes fix them."""

    rows: int
    answers: Arrays

    def keeps_rows(self) -> bool:
        """Whether every output has as many rows as the inputs."""
        return all(array.ndim > 0 and len(array) == self.rows for array in self.answers.values())


class Trials(msgspec.Struct, frozen=True):
    """All the runs, or none of them and why: zeros need not be valid input, and the model may still be good."""

    runs: tuple[Trial, ...] = ()
    failure: str = ""


def run_trials(
    run: Callable[[Arrays], Arrays], inputs: Sequence[TensorSpec], explain: Callable[[Exception], str]
) -> Trials:
    """Run zeros and empty texts, with 1 for every open axis but the first; with ``ROWS`` where all have that open."""
    open_rows = bool(inputs) and all(spec.shape[:1] == (-1,) for spec in inputs)
    runs: list[Trial] = []
    for rows in ROWS if open_rows else (0,):
        shapes = {spec.name: trial_shape(spec, rows) for spec in inputs}
        if any(prod(shape) > ELEMENTS for shape in shapes.values()):
            return Trials(failure=f"an input of more than {ELEMENTS} elements is not made up")
        zeros = {spec.name: _zeros(spec.datatype, shapes[spec.name]) for spec in inputs}
        try:
            runs.append(Trial(rows, run(zeros)))
        except Exception as error:  # whatever the framework raises for input that is none
            return Trials(failure=explain(error))
    return Trials(tuple(runs))


def trial_shape(spec: TensorSpec, rows: int) -> list[int]:
    """The shape with every open axis closed: the first by ``rows`` (unless 0), the others by 1."""
    shape = [1 if size == -1 else size for size in spec.shape]
    if rows:
        shape[0] = rows
    return shape


def _zeros(datatype: Datatype, shape: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if datatype is Datatype.BYTES:
        return np.full(shape, b"", dtype=object)
    array = np.zeros(shape, np.float32 if datatype is Datatype.BF16 else datatype.stored)
    array.flags.writeable = False
    return array
