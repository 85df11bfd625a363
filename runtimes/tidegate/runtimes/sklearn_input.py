"""What an estimator takes: a row of numbers, a text, or (``sklearn_columns``) a row of a data frame.

The protocol's side is one input, ``X``. Its width is read from the estimator; a model that begins with a text
vectorizer has none, and takes one string per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.text import decode_text

INPUT = "X"
NUMBERS = tuple(kind for kind in Datatype if kind not in (Datatype.FP64, Datatype.BYTES))

Array = npt.NDArray[Any]


class GivenInput(Protocol):
    """An estimator's side of a request."""

    def specs(self) -> tuple[TensorSpec, ...]: ...

    def convert(self, inputs: Arrays) -> Any:
        """The request's inputs as what the estimator's methods take."""
        ...

    def trial(self, artifact: Artifact) -> Arrays:
        """Inputs of one row, read-only as a caller's will be: of the option ``example``, else zeros and empty texts.

        Raises:
            ModelLoadFailed: the option does not hold such a row.
        """
        ...


class RowInput(msgspec.Struct, frozen=True):
    """The input ``X`` and how it becomes what the estimator takes."""

    text: bool
    """The first step is a vectorizer: one string per row instead of a row of numbers."""
    features: int = 0
    """Columns of a row of numbers."""
    copies: bool = False
    """A step works in place (``copy=False``), so it must not be given the caller's read-only view."""

    def specs(self) -> tuple[TensorSpec, ...]:
        if self.text:
            return (TensorSpec(INPUT, Datatype.BYTES, (-1,)),)
        return (TensorSpec(INPUT, Datatype.FP64, (-1, self.features), NUMBERS),)

    def convert(self, inputs: Arrays) -> Array:
        """Numbers become float64 whatever came, so that the answer's datatype does not depend on the caller's."""
        array = inputs[INPUT]
        if self.text:
            return decode_text(INPUT, array)
        return np.array(array, dtype=np.float64) if self.copies else np.asarray(array, dtype=np.float64)

    def trial(self, artifact: Artifact) -> Arrays:
        """See ``GivenInput.trial``."""
        text = artifact.options.get("example")
        if self.text:
            row: Array = np.array([(text or "").encode()], dtype=object)
        elif text is None:
            row = np.zeros((1, self.features))
        else:
            try:
                row = np.array([[float(item) for item in example_items(artifact, text, self.features)]])
            except ValueError as error:
                raise ModelLoadFailed(f"model '{artifact.name}': option 'example': {error}") from error
        row.flags.writeable = False
        return {INPUT: row}


def find_input(estimator: Any, artifact: Artifact) -> RowInput:
    """The input that the estimator was fitted for.

    Raises:
        ModelLoadFailed: it takes neither rows of numbers nor text, or would open files that a request names.
    """
    settings = settings_of(estimator)
    features = getattr(estimator, "n_features_in_", None)
    if features is not None:
        copies = any(value is False for value in values_of(settings, "copy", "copy_X"))
        return RowInput(text=False, features=int(features), copies=copies)
    if not hasattr(_first_step(estimator), "build_analyzer"):  # what every text vectorizer has, and nothing else
        raise ModelLoadFailed(
            f"model '{artifact.name}': {type(estimator).__name__} does not tell its number of features "
            f"(n_features_in_) and does not begin with a text vectorizer; expected a fitted estimator"
        )
    if any(value != "content" for value in values_of(settings, "input")):
        raise ModelLoadFailed(
            f"model '{artifact.name}': its vectorizer opens the files that a request would name "
            f"(input='filename' or 'file'); expected input='content'"
        )
    return RowInput(text=True)


def _first_step(estimator: Any) -> Any:
    """What meets the input first: inside a search its best estimator, inside a pipeline or union its first part."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif parts := getattr(estimator, "steps", None) or getattr(estimator, "transformer_list", None):
            estimator = parts[0][1]
        else:
            return estimator


def settings_of(estimator: Any) -> Mapping[str, Any]:
    """Every parameter of the estimator and of what it contains, by scikit-learn's names: ``step__parameter``."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    settings: Mapping[str, Any] = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return settings


def values_of(settings: Mapping[str, Any], *parameters: str) -> list[Any]:
    """What any step has set for one of these parameters."""
    return [value for name, value in settings.items() if name.rpartition("__")[2] in parameters]


def example_items(artifact: Artifact, text: str, count: int) -> list[str]:
    """The option ``example`` taken apart at its commas.

    Raises:
        ModelLoadFailed: it has not ``count`` items.
    """
    items = [item.strip() for item in text.split(",")]
    if len(items) != count:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'example' has {len(items)} values, the model takes {count}"
        )
    return items
