"""What the owner of a scikit-learn model may choose: its methods, and columns by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import pytest
from lightgbm import LGBMClassifier
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import FrameworkMissing, ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.runtimes.sklearn import RUNTIME
from tidegate.testing.zoo.iris import flowers

pytestmark = pytest.mark.framework

X, Y = flowers()
FRAME = pandas.DataFrame({"colour": ["red", "blue", "red", "green"] * 5, "size": np.arange(20.0)})
SOLD = np.arange(20) % 2 == 0


def load(tmp_path: Path, estimator: Any, inputs: tuple[TensorSpec, ...] = (), **options: str) -> Model:
    path = tmp_path / "m.joblib"
    joblib.dump(estimator, path)
    return RUNTIME.load(Artifact("m", "1", path, trusted=True, threads=1, options=options, inputs=inputs))


def shop() -> Any:
    """A pipeline over a data frame that encodes one column by its name."""
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["colour"]), remainder="passthrough")
    return make_pipeline(encode, LogisticRegression()).fit(FRAME, SOLD)


@pytest.mark.parametrize(
    ("estimator", "methods"),
    [
        (LogisticRegression(max_iter=500), ["predict", "decision_function", "predict_proba", "predict_log_proba"]),
        (LogisticRegression(max_iter=500), ["predict_proba"]),
        (KMeans(3, n_init=1), ["transform", "predict"]),
    ],
)
def test_the_option_chooses_the_methods(tmp_path: Path, estimator: Any, methods: list[str]) -> None:
    """The outputs are the methods named, in that order, with the labels of their columns."""
    estimator.fit(X, Y)
    model = load(tmp_path, estimator, methods=",".join(methods))
    assert [spec.name for spec in model.metadata.outputs] == methods
    answers = model.predict({"X": X}, (), {})
    for name in methods:
        np.testing.assert_array_equal(answers[name], getattr(estimator, name)(X))
    labelled = {f"{name}.classes" for name in methods if name.startswith(("predict_", "decision"))}
    assert {name for name in model.metadata.properties if name.endswith(".classes")} == labelled


def test_a_method_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A method that the estimator has not, or fails over, is an error where it was asked for by name."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, LinearRegression().fit(X, Y), methods="predict_proba")
    assert caught.value.message == ("model 'm': option 'methods' names 'predict_proba', expected names out of predict")
    chain = ClassifierChain(DecisionTreeClassifier()).fit(X, np.c_[Y, Y % 2])
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': predict_proba fails on the trial row \(ValueError: "):
        load(tmp_path, chain, methods="predict,predict_proba")


def test_a_data_frame_comes_column_by_column(tmp_path: Path) -> None:
    """A pipeline that addresses columns by name gets a data frame; text is UTF-8, numbers are converted."""
    estimator = shop()
    model = load(tmp_path, estimator, columns="named", text_columns="colour")
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.metadata.inputs] == [
        ("colour", Datatype.BYTES, (-1,)),
        ("size", Datatype.FP64, (-1,)),
    ]
    inputs = {
        "size": FRAME["size"].to_numpy().astype(np.int32),
        "colour": np.array([word.encode() for word in FRAME["colour"]], dtype=object),
    }
    answers = model.predict(inputs, (), {})
    np.testing.assert_array_equal(answers["predict"], estimator.predict(FRAME))
    np.testing.assert_array_equal(answers["predict_proba"], estimator.predict_proba(FRAME))


def test_a_declared_signature_tells_the_columns_datatypes(tmp_path: Path) -> None:
    """What model.yaml declares stands in for the option; the data frame keeps the model's order."""
    declared = (TensorSpec("size", Datatype.INT64, (-1,)), TensorSpec("colour", Datatype.BYTES, (-1,)))
    model = load(tmp_path, shop(), declared, columns="named")
    assert model.metadata.inputs == declared[::-1]
    wide = (TensorSpec("size", Datatype.INT64, (-1, 1)), declared[1])
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'm': input 'size' is declared with shape \[-1, 1\], expected \["
    ):
        load(tmp_path, shop(), wide, columns="named")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": "named", "text_columns": "color"}, "option 'text_columns' names 'color', expected names out of c"),
        ({"text_columns": "colour"}, "option 'text_columns' needs the option columns=named"),
        ({"columns": "named", "text_columns": "colour", "example": "red"}, "option 'example' has 1 values, the model"),
        ({"columns": "named", "example": "red,1"}, "option 'example': could not convert string to float: 'red'"),
        ({}, "predict fails on the trial row (ValueError: Specifying the columns using strings"),
    ],
)
def test_a_mistake_about_columns_is_told(tmp_path: Path, options: dict[str, str], message: str) -> None:
    """What does not fit the estimator's columns is refused when it is loaded."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, shop(), (), **options)
    assert caught.value.message.startswith(f"model 'm': {message}")


def test_names_need_an_estimator_that_has_them(tmp_path: Path) -> None:
    """An estimator fitted on an array has no names of columns."""
    with pytest.raises(ModelLoadFailed, match=r"'columns' is 'named', but LinearRegression does not tell the names of"):
        load(tmp_path, LinearRegression().fit(X, Y), columns="named")


def test_pandas_is_needed_for_names_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pandas the message says what to install; a matrix does without."""
    estimator = LinearRegression().fit(X, Y)
    monkeypatch.delitem(sys.modules, "pandas")
    assert load(tmp_path, estimator).metadata.inputs[0].name == "X"
    assert "pandas" not in sys.modules
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FrameworkMissing, match=r"needs the package 'pandas', which is not .+ 'tidegate\[pandas\]'$"):
        load(tmp_path, estimator, columns="named")


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1), id="xgboost"),
        pytest.param(LGBMClassifier(n_estimators=3, num_leaves=4, n_jobs=1, verbosity=-1), id="lightgbm"),
    ],
)
def test_wrappers_of_other_packages_are_estimators(tmp_path: Path, estimator: Any) -> None:
    """XGBoost's and LightGBM's classifiers answer from a joblib file as they do outside."""
    estimator.fit(X, Y)
    model = load(tmp_path, estimator)
    answers = model.predict({"X": X}, (), {})
    np.testing.assert_array_equal(answers["predict"], estimator.predict(X))
    np.testing.assert_array_equal(answers["predict_proba"], estimator.predict_proba(X))
    assert model.metadata.properties["predict_proba.classes"] == "[0,1,2]"


def test_wrappers_take_no_more_threads_than_they_are_given(tmp_path: Path) -> None:
    """One that was fitted without n_jobs would take every core, so it is bound as well."""
    model = load(tmp_path, ThreadsShown(n_estimators=1).fit(X, Y), methods="predict")
    assert model.predict({"X": X[:1]}, (), {})["predict"].tolist() == [1]


class ThreadsShown(XGBClassifier):
    """Answers every row with its own n_jobs."""

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.n_jobs or 0)


@pytest.mark.models
def test_an_old_pickle_from_the_field_passes_only_by_name(from_package: Callable[[str, str], Path]) -> None:
    """Sleep stages by LightGBM, pickled with scikit-learn 0.24: refused, and served where its owner vouches for it."""
    path = from_package("yasa==0.8.1", "yasa/classifiers/clf_eeg_lgb_0.5.0.joblib")
    with pytest.raises(ModelLoadFailed, match=r"^model 'sleep' was saved by scikit-learn 0\.24\.2, and "):
        RUNTIME.load(Artifact("sleep", "1", path, trusted=True))
    options = {"allow_version_mismatch": "true"}
    model = RUNTIME.load(Artifact("sleep", "1", path, trusted=True, threads=1, options=options))
    answers = model.predict({"X": np.zeros((2, 65))}, (), {})
    assert answers["predict_proba"].shape == (2, 5)
    assert model.metadata.properties["predict_proba.classes"] == '["N1","N2","N3","R","W"]'
