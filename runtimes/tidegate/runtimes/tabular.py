"""Models of trees over rows of numbers: what comes in, and which of the model's methods answer.

A row comes as a row of one matrix, ``input``, or as one element of each of several inputs that bear the features'
names. A feature that has no value is NaN. A dry run on one row tells the outputs' datatypes and shapes, which depend
on the objective, and finds out at load time what would otherwise fail at the first request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.options import read_choice, read_names
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.signature import declared

INPUT = "input"
OPTIONS = ("columns", "methods")
"""The options that are read here."""

Array = npt.NDArray[Any]
Method = Callable[[Array], Array]
"""From a matrix of rows to one output."""


class Rows(msgspec.Struct, frozen=True):
    """What the model takes: ``width`` numbers per row, in one matrix, or each under its name in ``columns``."""

    datatype: Datatype
    width: int
    columns: tuple[str, ...] = ()

    def specs(self) -> tuple[TensorSpec, ...]:
        accepts = tuple(kind for kind in Datatype if kind not in (self.datatype, Datatype.BYTES))
        if not self.columns:
            return (TensorSpec(INPUT, self.datatype, (-1, self.width), accepts),)
        return tuple(TensorSpec(name, self.datatype, (-1,), accepts) for name in self.columns)

    def matrix(self, inputs: Arrays) -> Array:
        """The rows in the model's datatype, whatever numbers came: without a copy where nothing changes."""
        if not self.columns:
            return np.ascontiguousarray(inputs[INPUT], self.datatype.stored)
        return np.stack([inputs[name] for name in self.columns], axis=1, dtype=self.datatype.stored, casting="unsafe")


class TabularModel:
    """Answers with what the methods return that are served."""

    def __init__(self, rows: Rows, methods: Mapping[str, Method], metadata: ModelMetadata) -> None:
        self.metadata = metadata
        self._rows = rows
        self._methods = methods

    @classmethod
    def prepare(
        cls, artifact: Artifact, platform: str, rows: Rows, offered: Mapping[str, Method], properties: dict[str, str]
    ) -> TabularModel:
        """Choose of the methods ``offered``, the first one where the option says nothing, and try one row.

        Raises:
            ModelLoadFailed: a method is not offered, or does not answer the row.
        """
        names = read_names(artifact, "methods", offered) or tuple(offered)[:1]
        methods = {name: offered[name] for name in names}
        declared(artifact, "inputs", rows.specs())
        metadata = ModelMetadata(
            name=artifact.name,
            platform=platform,
            inputs=rows.specs(),
            outputs=tuple(_output(artifact, rows, name, method) for name, method in methods.items()),
            versions=(artifact.version,),
            properties={name: value for name, value in properties.items() if value},
        )
        declared(artifact, "outputs", metadata.outputs)
        return cls(rows, methods, metadata)

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``; a method that nobody wants is not called."""
        matrix = self._rows.matrix(inputs)
        return {name: self._methods[name](matrix) for name in outputs or self._methods}

    def close(self) -> None:
        self._methods = {}


def find_rows(artifact: Artifact, datatype: Datatype, width: int, names: Sequence[str]) -> Rows:
    """How rows come in, as the option ``columns`` says; ``names`` are the features', none where they have none.

    Raises:
        ModelLoadFailed: they are to come by name, and there are no names, or one of them twice.
    """
    if read_choice(artifact, "columns", ("matrix", "named")) == "matrix":
        return Rows(datatype, width)
    if len(names) != width or not all(names) or len(set(names)) < width:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'columns' is 'named', but '{artifact.path.name}' does not hold a name "
            f"of its own for each of its {width} features; send them as a matrix"
        )
    return Rows(datatype, width, tuple(names))


def _output(artifact: Artifact, rows: Rows, name: str, method: Method) -> TensorSpec:
    try:
        answer = method(np.zeros((1, rows.width), rows.datatype.stored))
    except Exception as error:  # whatever the framework raises here, it would raise at every request
        reason = shown(" ".join(f"{type(error).__name__}: {error}".split()), 240)
        raise ModelLoadFailed(f"model '{artifact.name}': {name} fails on a row of zeros ({reason})") from error
    if answer.ndim == 0 or answer.shape[0] != 1:
        raise ModelLoadFailed(
            f"model '{artifact.name}': {name} answers one row with shape {list(answer.shape)}, expected one row back"
        )
    return TensorSpec(name, Datatype.of(answer.dtype), (-1, *answer.shape[1:]))


def json_list(values: Any) -> str:
    """A list as a property of the metadata, "" for an empty one; names may hold any separator."""
    return msgspec.json.encode(list(values)).decode() if values else ""
