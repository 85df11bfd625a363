"""A logistic regression behind a scaler, in each file format that scikit-learn's users write."""

from __future__ import annotations

import os
import pickle
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from tidegate.runtimes.sklearn import RUNTIME
from tidegate.testing.zoo.case import Arrays, Case
from tidegate.testing.zoo.iris import flowers

_OLD = b"0.1.2"
"""As long as the versions of today, so that a pickle's own lengths stay true."""


def classifier() -> Any:
    """The pipeline, fitted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*flowers())


def sample() -> Arrays:
    return {"X": flowers()[0]}


def expected(path: Path, inputs: Arrays) -> Arrays:
    model = classifier()
    return {"predict": model.predict(inputs["X"]), "predict_proba": model.predict_proba(inputs["X"])}


def write_joblib(folder: Path) -> Path:
    import joblib

    path = folder / "iris.joblib"
    joblib.dump(classifier(), path)
    return path


def write_pickle(folder: Path) -> Path:
    path = folder / "iris.pkl"
    path.write_bytes(pickle.dumps(classifier()))
    return path


def write_skops(folder: Path) -> Path:
    import skops.io

    path = folder / "iris.skops"
    path.write_bytes(skops.io.dumps(classifier()))
    return path


class Touch:
    """A pickle of it creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def hostile_joblib(folder: Path, touched: Path) -> Path:
    import joblib

    path = folder / "iris.joblib"
    joblib.dump(Touch(touched), path, compress=3)
    return path


def hostile_pickle(folder: Path, touched: Path) -> Path:
    path = folder / "iris.pkl"
    path.write_bytes(pickle.dumps(Touch(touched)))
    return path


def _aged(data: bytes) -> bytes:
    import sklearn

    return data.replace(sklearn.__version__.encode(), _OLD)


def age_file(path: Path) -> None:
    path.write_bytes(_aged(path.read_bytes()))


def age_archive(path: Path) -> None:
    file = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, _aged(old.read(name)))
    path.write_bytes(file.getvalue())


def _case(id: str, **further: Any) -> Case:
    return Case(
        id=id,
        runtime=RUNTIME,
        format=id,
        sample=sample,
        expected=expected,
        framework="sklearn",
        aged=f"model 'iris' was saved by scikit-learn {_OLD.decode()}, and ",
        **further,
    )


CASES = (
    _case("joblib", write=write_joblib, age=age_file, hostile=hostile_joblib),
    _case("pickle", write=write_pickle, age=age_file, hostile=hostile_pickle),
    _case("skops", write=write_skops, age=age_archive),
)
