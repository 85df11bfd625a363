"""LightGBM models: the text files that ``Booster.save_model`` and the command line's ``output_model`` write.

They are data, so they are read from any source. ``.txt`` alone lost as a suffix, and so did ``model.txt``, which ends
"about-this-model.txt" as well: notes lie beside models, and a file is told by its name before it is opened.
``.lgb``, MLflow's name, and ``.lgb.txt`` say what they are.

A file of a newer text format than the installed LightGBM writes is refused; LightGBM itself does not look.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes import tabular
from tidegate.runtimes.device import read_device, refuse_cuda
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.lightgbm_file import LightgbmFile, read_file, unreadable
from tidegate.runtimes.options import check_options, read_switch
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.runtimes.tabular import Array, Method, TabularModel, find_rows, json_list
from tidegate.runtimes.trust import admit

TEXT = Format("text", (".lightgbm.txt", ".lgbm.txt", ".lgb.txt", ".lgbm", ".lgb"), executes_code=False)

OPTIONS = (*tabular.OPTIONS, "allow_version_mismatch")

_WRITES = re.compile(r"tree\nversion=v([0-9]+)\n")
_UNNAMED = re.compile(r"Column_[0-9]+")


class LightgbmRuntime:
    """Opens one booster per model."""

    name = "lightgbm"
    package = "tidegate[lightgbm]"
    formats = (TEXT,)

    def preload(self) -> None:
        """See ``Preloadable.preload``."""
        import_framework("lightgbm", self)

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``."""
        admit(artifact, self.formats)
        check_options(artifact, OPTIONS)
        allowed = read_switch(artifact, "allow_version_mismatch") or False
        refuse_cuda(artifact, read_device(artifact), "LightGBM predicts on the CPU only")
        framework = import_framework("lightgbm", self)
        file = read_file(artifact, artifact.path.read_bytes())
        # What is trained on decimal fractions must be asked with them: a float32 may fall on a threshold's other side.
        rows = find_rows(artifact, Datatype.FP64, len(file.feature_names), file.feature_names)
        try:
            booster = framework.Booster(model_str=file.text)
        except Exception as error:  # LightGBMError, but also what its Python side makes of an odd last line
            raise unreadable(artifact, str(error)) from error
        if not allowed:
            _check_version(artifact, file, framework.__version__, booster.model_to_string(num_iteration=1))
        methods = _methods(booster, artifact.threads)
        return TabularModel.prepare(artifact, "lightgbm_text", rows, methods, _facts(framework, file))


def _check_version(artifact: Artifact, file: LightgbmFile, current: str, written: str) -> None:
    """``written`` is how the installed LightGBM itself would save the model."""
    match = _WRITES.match(written)
    known = int(match[1]) if match else 0
    if file.version > known:
        raise ModelLoadFailed(
            f"model '{artifact.name}' has LightGBM's text format v{file.version}, and {current} is installed, which "
            f"knows formats up to v{known} and may misread it; install the version that saved it, or set the option "
            f"allow_version_mismatch=true"
        )


def _methods(booster: Any, threads: int) -> dict[str, Method]:
    groups = booster.num_model_per_iteration()

    def ask(**kind: bool) -> Method:
        def call(rows: Array) -> Array:
            return np.asarray(booster.predict(rows, num_threads=threads, **kind))

        return call

    contributions = ask(pred_contrib=True)
    return {
        "predict": ask(),
        "margin": ask(raw_score=True),
        # One row of features per class, which LightGBM writes one behind the other.
        "contributions": lambda rows: contributions(rows).reshape((len(rows), *([groups] if groups > 1 else []), -1)),
        "leaf": ask(pred_leaf=True),
    }


def _facts(framework: Any, file: LightgbmFile) -> dict[str, str]:
    named = not all(_UNNAMED.fullmatch(name) for name in file.feature_names)
    return {
        "objective": file.objective,
        "lightgbm_version": str(framework.__version__),
        "format_version": f"v{file.version}",
        "feature_names": json_list(file.feature_names) if named else "",
        "categorical_features": json_list(file.categorical),
        "pandas_categorical": file.pandas_categorical,
    }


RUNTIME = LightgbmRuntime()
