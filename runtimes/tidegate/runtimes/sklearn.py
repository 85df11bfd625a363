"""scikit-learn models: from joblib, pickle and skops files to an estimator that is known to answer.

joblib and pickle files are programs and need a trusted source. A skops file is data: the types in it that are not
known to be harmless are listed and refused, unless the source is trusted.

A model that another minor version of scikit-learn has saved is refused: it may load and yet answer wrongly
(https://scikit-learn.org/stable/model_persistence.html, "Security & Maintainability Limitations").
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed, UntrustedModel, shown
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.options import check_options, read_choice, read_count, read_switch
from tidegate.runtimes.runtime import Artifact, Format, Model, Runtime
from tidegate.runtimes.sklearn_columns import find_columns
from tidegate.runtimes.sklearn_estimator import EstimatorModel
from tidegate.runtimes.sklearn_input import GivenInput, find_input
from tidegate.runtimes.trust import admit

JOBLIB = Format("joblib", (".joblib",), executes_code=True)
PICKLE = Format("pickle", (".pickle", ".pkl"), executes_code=True)
SKOPS = Format("skops", (".skops",), executes_code=False)

OPTIONS = ("allow_version_mismatch", "columns", "example", "max_unpacked_bytes", "methods", "text_columns")

UNPACKED = 4 << 30
"""Bytes that the members of a skops archive may have together: a small file can claim to unpack to any size."""

_READERS = ("joblib", "threadpoolctl")  # skops imports all that it could read, PyTorch too, where that is installed
_ESTIMATORS = (
    *("cluster", "compose", "decomposition", "discriminant_analysis", "dummy", "ensemble", "feature_extraction.text"),
    *("feature_selection", "gaussian_process", "impute", "isotonic", "kernel_approximation", "linear_model"),
    *("mixture", "model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors", "neural_network"),
    *("pipeline", "preprocessing", "random_projection", "svm", "tree"),
)


class SklearnRuntime:
    """Reads what ``joblib.dump``, ``pickle.dump`` and ``skops.io.dump`` write."""

    name = "sklearn"
    package = "tidegate[sklearn]"
    formats = (JOBLIB, PICKLE, SKOPS)

    def preload(self) -> None:
        """See ``Preloadable.preload``. Which estimators a model has is not known yet: all that are often used."""
        for module in _READERS:
            import_framework(module, self)
        for package in _ESTIMATORS:
            import_framework(f"sklearn.{package}", self)

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``. From then on scikit-learn does not warn of missing feature names in this process."""
        form = admit(artifact, self.formats)
        check_options(artifact, OPTIONS)
        allowed = read_switch(artifact, "allow_version_mismatch") or False
        sklearn = import_framework("sklearn", self)
        # Before reading: unpickling alone would import it, and say less when it is absent.
        mismatch = import_framework("sklearn.exceptions", self).InconsistentVersionWarning
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator = _read_skops(artifact, self) if form is SKOPS else _read_pickle(artifact, self)
        saved_by = {str(w.message.original_sklearn_version) for w in caught if isinstance(w.message, mismatch)}
        for warning in caught:
            if not isinstance(warning.message, mismatch):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        if not allowed:
            _check_versions(artifact, saved_by, sklearn.__version__)
        # Callers send arrays, never named columns, so a model fitted on a data frame would warn at every call.
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
        versions = {"sklearn_version": str(sklearn.__version__)}
        if saved_by:
            versions["saved_by_sklearn"] = ", ".join(sorted(saved_by))
        limits = import_framework("threadpoolctl", self).threadpool_limits if artifact.threads else None
        return EstimatorModel.prepare(estimator, self._given, artifact, f"sklearn_{form.name}", versions, limits)

    def _given(self, estimator: Any, artifact: Artifact) -> GivenInput:
        if read_choice(artifact, "columns", ("matrix", "named")) == "named":
            return find_columns(estimator, artifact, import_framework("pandas", self, "tidegate[pandas]"))
        if "text_columns" in artifact.options:
            raise ModelLoadFailed(f"model '{artifact.name}': option 'text_columns' needs the option columns=named")
        return find_input(estimator, artifact)


def _read_pickle(artifact: Artifact, runtime: Runtime) -> Any:
    joblib = import_framework("joblib", runtime)
    try:
        # joblib.load reads plain pickles too, and many a .pkl was written by joblib.dump.
        return joblib.load(artifact.path)
    except ModuleNotFoundError as error:
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' needs the Python module '{shown(error.name)}', "
            f"which is not installed here"
        ) from error
    except Exception as error:  # a pickle is a program: what a broken or a foreign one raises has no bound
        raise _unreadable(artifact, error) from error


def _read_skops(artifact: Artifact, runtime: Runtime) -> Any:
    skops = import_framework("skops.io", runtime)
    try:
        data = artifact.path.read_bytes()  # once, so that what is judged is what is loaded
        _check_unpacked(artifact, data)
        untrusted: Sequence[str] = skops.get_untrusted_types(data=data)
        if untrusted and not artifact.trusted:
            raise UntrustedModel(
                f"model '{artifact.name}' holds types that skops does not know to be harmless: "
                f"{', '.join(shown(name, 100) for name in untrusted)}; it is loaded only from a trusted source"
            )
        return skops.loads(data, trusted=untrusted)
    except ModelLoadFailed:
        raise
    except Exception as error:  # a broken archive or schema surfaces as nearly any exception
        raise _unreadable(artifact, error) from error


def _check_unpacked(artifact: Artifact, data: bytes) -> None:
    """Hold an archive's own word on its size against the bound; no reader takes more of a member than that word."""
    bound = read_count(artifact, "max_unpacked_bytes", UNPACKED)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > bound:
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' unpacks to {size} bytes, expected at most {bound}; "
            f"the option max_unpacked_bytes allows more"
        )


def _unreadable(artifact: Artifact, error: Exception) -> ModelLoadFailed:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ModelLoadFailed(
        f"model '{artifact.name}': '{artifact.path.name}' cannot be read; it is corrupt, cut short or of another "
        f"kind ({shown(reason, 200)})"
    )


def _check_versions(artifact: Artifact, saved_by: set[str], current: str) -> None:
    """A patch release keeps what a fitted model holds; a minor release may not."""
    others = sorted(version for version in saved_by if _minor(version) != _minor(current))
    if others:
        raise ModelLoadFailed(
            f"model '{artifact.name}' was saved by scikit-learn {', '.join(others)}, and {current} is installed: it "
            f"may answer wrongly; install the version that saved it, or set the option allow_version_mismatch=true"
        )


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


RUNTIME = SklearnRuntime()
