"""Reading files of scikit-learn models: versions, trust, and what lies inside."""

from __future__ import annotations

import pickle
import warnings
import zipfile
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


def test_a_skops_archive_may_not_unpack_without_bound(tmp_path: Path) -> None:
    """A small file that unpacks to more than the bound is refused before any of it is read; the option moves it."""
    path = tmp_path / "bomb.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (1 << 20))
    artifact = Artifact("bomb", "1", path, options={"max_unpacked_bytes": "1000000"})
    with pytest.raises(
        ModelLoadFailed,
        match=r"^model 'bomb': 'bomb.skops' unpacks to 1048576 bytes, expected at most 1000000; "
        r"the option max_unpacked_bytes allows more$",
    ):
        RUNTIME.load(artifact)
    path = tmp_path / "line.skops"
    skops.io.dump(LinearRegression().fit(X, Y), path)
    RUNTIME.load(Artifact("line", "1", path, options={"max_unpacked_bytes": "1000000"}))
    with pytest.raises(ModelLoadFailed, match=r"'max_unpacked_bytes' is '1e6', expected a whole number of up to 18 d"):
        RUNTIME.load(Artifact("line", "1", path, options={"max_unpacked_bytes": "1e6"}))


def test_a_skops_archive_cannot_hide_its_size(tmp_path: Path) -> None:
    """One that says less than it holds is damaged: no more of it is unpacked than it said."""
    path = tmp_path / "liar.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (1 << 20))
    path.write_bytes(path.read_bytes().replace((1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(ModelLoadFailed, match=r"'liar.skops' cannot be read; .*Bad CRC-32"):
        RUNTIME.load(Artifact("liar", "1", path))
