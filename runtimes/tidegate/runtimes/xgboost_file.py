"""What a file of XGBoost says of itself, read before XGBoost sees it.

Both forms, JSON and UBJSON, hold one document. XGBoost tells neither which version wrote it nor, in every case, that
a file is damaged: some damage ends the process instead. So the document is read here first, as far as it goes.
https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

from __future__ import annotations

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.ubjson import read_ubjson


class Named(msgspec.Struct, frozen=True):
    """An objective, or a booster ("gbtree", "dart", "gblinear")."""

    name: str


class Learner(msgspec.Struct, frozen=True):
    gradient_booster: Named
    objective: Named
    learner_model_param: dict[str, str]
    attributes: dict[str, str] = {}
    """What whoever trained it left beside the model, "best_iteration" for one."""
    feature_names: list[str] = []
    feature_types: list[str] = []
    """"float", "int", "i" (a truth value), "q" (quantitative), "c" (a category, given by its code)."""


class XgboostFile(msgspec.Struct, frozen=True):
    learner: Learner
    version: tuple[int, int, int]
    """Of the XGBoost that wrote it."""

    def width(self) -> int:
        """The number of features.

        Raises:
            ValueError: it is not told, or no number.
        """
        width = int(self.learner.learner_model_param["num_feature"])
        if width < 1:
            raise ValueError(f"num_feature is {width}")
        return width


def read_file(artifact: Artifact, data: bytes) -> XgboostFile:
    """The facts of a whole file.

    Raises:
        ModelLoadFailed: it is neither JSON nor UBJSON, is damaged, or is no model.
    """
    try:
        file = _decode(data)
        file.width()
    except (ValueError, KeyError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise unreadable(artifact, str(error)) from error
    return file


def _decode(data: bytes) -> XgboostFile:
    # Both begin with a brace; then UBJSON has a length's mark, JSON space or a quote.
    if data[:1] != b"{":
        raise ValueError(f"it begins with {data[:4]!r}, expected '{{'")
    if data[1:2] and data[1] in b"iUIlL":
        return msgspec.convert(read_ubjson(data), XgboostFile)
    return msgspec.json.decode(data, type=XgboostFile)


def unreadable(artifact: Artifact, reason: str) -> ModelLoadFailed:
    return ModelLoadFailed(
        f"model '{artifact.name}': '{artifact.path.name}' cannot be read; it is corrupt, cut short or of another "
        f"kind ({shown(' '.join(reason.split()), 200)})"
    )
