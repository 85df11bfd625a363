"""A row of a data frame as what an estimator takes: one input per column, under the column's name.

Models fitted on a data frame may address its columns by name (``ColumnTransformer``), and encoders of categories take
text. The estimator keeps the names but not the datatypes: a column is FP64, or BYTES where the option ``text_columns``
or a declared signature says so. Guessing them from fitted encoders lost: it would look into private structure, and
be wrong in silence for numbers that were read as text.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.options import read_names
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.signature import declared
from tidegate.runtimes.sklearn_input import NUMBERS, Array, example_items
from tidegate.runtimes.text import decode_text


class ColumnsInput(msgspec.Struct, frozen=True):
    """The columns in the order of the data frame that the estimator was fitted on; ``pandas`` is the module."""

    pandas: Any
    columns: tuple[TensorSpec, ...]

    def specs(self) -> tuple[TensorSpec, ...]:
        return self.columns

    def convert(self, inputs: Arrays) -> Any:
        """A data frame; a column of numbers has its signature's datatype, whatever came."""
        return self.pandas.DataFrame({spec.name: _column(spec, inputs[spec.name]) for spec in self.columns})

    def trial(self, artifact: Artifact) -> Arrays:
        """See ``GivenInput.trial``."""
        text = artifact.options.get("example")
        items = [""] * len(self.columns) if text is None else example_items(artifact, text, len(self.columns))
        return {spec.name: _element(artifact, spec, item) for spec, item in zip(self.columns, items, strict=True)}


def find_columns(estimator: Any, artifact: Artifact, pandas: Any) -> ColumnsInput:
    """The columns that the estimator was fitted on.

    Raises:
        ModelLoadFailed: it does not tell them, or what its owner says of them does not fit.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'columns' is 'named', but {type(estimator).__name__} does not tell the "
            f"names of its columns (feature_names_in_); expected an estimator that was fitted on a data frame"
        )
    known = tuple(str(name) for name in names)
    text = read_names(artifact, "text_columns", known)
    columns = declared(artifact, "inputs", tuple(_spec(name, name in text) for name in known))
    by_name = {spec.name: spec for spec in columns}
    for spec in columns:
        if spec.shape != (-1,):
            raise ModelLoadFailed(
                f"model '{artifact.name}': input '{shown(spec.name)}' is declared with shape {list(spec.shape)}, "
                f"expected [-1], one value per row"
            )
    return ColumnsInput(pandas, tuple(by_name[name] for name in known))


def _spec(name: str, text: bool) -> TensorSpec:
    return TensorSpec(name, Datatype.BYTES, (-1,)) if text else TensorSpec(name, Datatype.FP64, (-1,), NUMBERS)


def _column(spec: TensorSpec, array: Array) -> Array:
    if spec.datatype is Datatype.BYTES:
        return decode_text(spec.name, array)
    return array.astype(spec.datatype.stored)  # a copy: a step may work in place


def _element(artifact: Artifact, spec: TensorSpec, item: str) -> Array:
    if spec.datatype is Datatype.BYTES:
        array: Array = np.array([item.encode()], dtype=object)
    else:
        try:
            array = np.array([float(item or "0")]).astype(spec.datatype.stored)
        except ValueError as error:
            raise ModelLoadFailed(f"model '{artifact.name}': option 'example': {error}") from error
    array.flags.writeable = False
    return array
