"""Reading files of scikit-learn models: versions, trust, and what lies inside."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import joblib
import pytest
import sklearn
import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from tidegate.protocol.errors import ModelLoadFailed, UntrustedModel
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.sklearn import RUNTIME

pytestmark = pytest.mark.framework

X, Y = load_iris(return_X_y=True)


class Chatty:
    """A pickle that writes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_another_minor_version_passes_only_by_name(tmp_path: Path) -> None:
    """The option lets a model of another version through, and the properties keep saying so."""
    path = tmp_path / "old.pkl"
    path.write_bytes(pickle.dumps(LinearRegression().fit(X, Y)).replace(sklearn.__version__.encode(), b"0.1.2"))
    model = RUNTIME.load(Artifact("old", "1", path, trusted=True, options={"allow_version_mismatch": "true"}))
    assert model.metadata.properties["saved_by_sklearn"] == "0.1.2"
    with pytest.raises(ModelLoadFailed, match=r"'allow_version_mismatch' is 'yes', expected 'true' or 'false'$"):
        RUNTIME.load(Artifact("old", "1", path, trusted=True, options={"allow_version_mismatch": "yes"}))


def test_a_patch_release_is_no_other_version(tmp_path: Path) -> None:
    """What a patch release of the same minor version saved is read without a word."""
    major, minor, _ = sklearn.__version__.split(".")
    other = f"{major}.{minor}.7"
    path = tmp_path / "near.pkl"
    path.write_bytes(pickle.dumps(LinearRegression().fit(X, Y)).replace(sklearn.__version__.encode(), other.encode()))
    assert RUNTIME.load(Artifact("near", "1", path, trusted=True)).metadata.properties["saved_by_sklearn"] == other


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".pickle", ".skops"])
@pytest.mark.parametrize("compress", [pytest.param(0, id="plain"), pytest.param(3, id="compressed")])
def test_hostile_code_does_not_run_untrusted(tmp_path: Path, suffix: str, compress: int) -> None:
    """A pickle that would write a file leaves no trace, under any suffix; trusted, it does what it says."""
    marker, path = tmp_path / "ran", tmp_path / f"hostile{suffix}"
    joblib.dump(Chatty(marker), path, compress=compress)
    with pytest.raises(ModelLoadFailed):
        RUNTIME.load(Artifact("hostile", "1", path))
    assert not marker.exists()
    if suffix != ".skops":
        with pytest.raises(ModelLoadFailed, match="'NoneType', which has neither predict nor transform"):
            RUNTIME.load(Artifact("hostile", "1", path, trusted=True))
        assert marker.exists()


def test_other_warnings_of_reading_are_passed_on(tmp_path: Path) -> None:
    """Only the warnings about versions are kept back."""
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(Warns()))
    with pytest.warns(RuntimeWarning, match=r"^look here$"):
        RUNTIME.load(Artifact("m", "1", path, trusted=True))


class Warns:
    """A pickle that warns, and turns out to be a good estimator."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (warned, ())


def warned() -> LinearRegression:
    warnings.warn("look here", RuntimeWarning, stacklevel=1)
    return LinearRegression().fit(X, Y)


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    """A pickle that needs a package which is not there says which one."""
    path = tmp_path / "m.pkl"
    path.write_bytes(b"cno_such_package.models\nBooster\n.")
    with pytest.raises(ModelLoadFailed) as caught:
        RUNTIME.load(Artifact("m", "1", path, trusted=True))
    assert caught.value.message == (
        "model 'm': 'm.pkl' needs the Python module 'no_such_package', which is not installed here"
    )


def test_skops_lists_the_types_that_it_does_not_know(tmp_path: Path) -> None:
    """A type outside skops' own list is named and refused, and accepted from a trusted source."""
    path = tmp_path / "forest.skops"
    skops.io.dump(DecisionTreeClassifier().fit(X, Y), path)
    with pytest.raises(UntrustedModel) as caught:
        RUNTIME.load(Artifact("forest", "1", path))
    assert caught.value.message == (
        "model 'forest' holds types that skops does not know to be harmless: sklearn.tree._tree.Tree; it is loaded "
        "only from a trusted source"
    )
    assert RUNTIME.load(Artifact("forest", "1", path, trusted=True)).metadata.platform == "sklearn_skops"
