"""The scikit-learn runtime over real estimators, beyond what the contract of all runtimes holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.protocol.validation import check_tensor
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.runtimes.sklearn import RUNTIME

pytestmark = pytest.mark.framework

X, Y = load_iris(return_X_y=True)
NAMES = load_iris().target_names
WORDS = ["good fine", "bad awful", "good great", "awful"]
MOODS = ["up", "down", "up", "down"]


def load(tmp_path: Path, estimator: Any, trusted: bool = True, **options: str) -> Model:
    path = tmp_path / "m.joblib"
    joblib.dump(estimator, path)
    return RUNTIME.load(Artifact("m", "1", path, trusted=trusted, options=options))


def signature(model: Model) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.datatype.value, spec.shape) for spec in model.metadata.outputs]


@pytest.mark.parametrize(
    ("make", "outputs"),
    [
        pytest.param(
            lambda: RandomForestClassifier(5, random_state=0).fit(X, Y),
            [("predict", "INT64", (-1,)), ("predict_proba", "FP64", (-1, 3))],
            id="classifier, integer classes",
        ),
        pytest.param(
            lambda: LogisticRegression(max_iter=500).fit(X, NAMES[Y]),
            [("predict", "BYTES", (-1,)), ("predict_proba", "FP64", (-1, 3))],
            id="classifier, text classes",
        ),
        pytest.param(
            lambda: DecisionTreeClassifier().fit(X, Y == 1),
            [("predict", "BOOL", (-1,)), ("predict_proba", "FP64", (-1, 2))],
            id="classifier, boolean classes",
        ),
        pytest.param(
            lambda: RandomForestClassifier(5, random_state=0).fit(X, np.c_[Y, Y % 2]),
            [
                ("predict", "INT64", (-1, 2)),
                ("predict_proba_0", "FP64", (-1, 3)),
                ("predict_proba_1", "FP64", (-1, 2)),
            ],
            id="classifier of two targets",
        ),
        pytest.param(
            lambda: LinearSVC().fit(X, Y),
            [("predict", "INT64", (-1,)), ("decision_function", "FP64", (-1, 3))],
            id="classifier without probabilities",
        ),
        pytest.param(lambda: LinearRegression().fit(X, X[:, 0]), [("predict", "FP64", (-1,))], id="regressor"),
        pytest.param(
            lambda: RandomForestRegressor(3).fit(X, X[:, :2]), [("predict", "FP64", (-1, 2))], id="regressor, 2 targets"
        ),
        pytest.param(
            lambda: GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}).fit(X, Y),
            [("predict", "INT64", (-1,)), ("predict_proba", "FP64", (-1, 3))],
            id="grid search",
        ),
        pytest.param(lambda: KMeans(3, n_init=1).fit(X), [("predict", "INT32", (-1,))], id="clusterer"),
        pytest.param(lambda: PCA(2).fit(X), [("transform", "FP64", (-1, 2))], id="transformer"),
        pytest.param(
            lambda: IsolationForest(n_estimators=5).fit(X),
            [("predict", "INT64", (-1,)), ("decision_function", "FP64", (-1,))],
            id="outlier detector",
        ),
        pytest.param(
            lambda: make_pipeline(StandardScaler(copy=False), PCA(2)).fit(X.copy()),
            [("transform", "FP64", (-1, 2))],
            id="step that works in place",
        ),
    ],
)
def test_the_outputs_are_the_estimator_s_methods(
    tmp_path: Path, make: Callable[[], Any], outputs: list[tuple[str, str, tuple[int, ...]]]
) -> None:
    """Every kind of estimator shows its outputs by name, datatype and shape, and answers what its methods return."""
    estimator = make()
    model = load(tmp_path, estimator)
    assert model.metadata.inputs[0].name == "X"
    assert model.metadata.inputs[0].shape == (-1, 4)
    assert signature(model) == outputs
    rows = X.copy()
    rows.flags.writeable = False
    answers = model.predict({"X": rows}, (), {})
    for name, datatype, _ in outputs:
        method, _, index = name.partition("_proba_")
        expected = getattr(estimator, f"{method}_proba" if index else name)(X.copy())
        np.testing.assert_array_equal(answers[name], expected[int(index)] if index else expected)
        assert Datatype.of(answers[name].dtype).value == datatype


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "u1", "u8", "?"])
def test_any_number_is_taken_and_answered_alike(tmp_path: Path, dtype: str) -> None:
    """Whatever numeric datatype comes, the answer has the datatype of the signature."""
    model = load(tmp_path, LinearRegression().fit(X, X[:, 0]))
    rows = np.ones((2, 4), dtype)
    check_tensor(Tensor.from_numpy("X", rows), model.metadata.inputs[0])
    assert model.predict({"X": rows}, (), {})["predict"].dtype == np.float64


def test_a_wrong_number_of_features_never_reaches_the_model(tmp_path: Path) -> None:
    """The signature refuses what the estimator would; text is no number."""
    spec = load(tmp_path, LinearRegression().fit(X, X[:, 0])).metadata.inputs[0]
    with pytest.raises(InvalidTensor, match=r"^input 'X': shape is \[2, 3\], the model expects \[-1, 4\]$"):
        check_tensor(Tensor.from_numpy("X", np.zeros((2, 3))), spec)
    with pytest.raises(InvalidTensor, match=r"^input 'X': datatype is BYTES, the model expects FP64, BOOL"):
        check_tensor(Tensor.from_numpy("X", np.array([["a"] * 4])), spec)


def test_digits_come_out_as_scikit_learn_says(tmp_path: Path) -> None:
    """A real model of 64 features answers 1,797 rows exactly as outside."""
    rows, labels = load_digits(return_X_y=True)
    forest = RandomForestClassifier(10, random_state=0).fit(rows, labels)
    answers = load(tmp_path, forest).predict({"X": rows.astype(np.float32)}, (), {})
    np.testing.assert_array_equal(answers["predict"], forest.predict(rows))
    np.testing.assert_array_equal(answers["predict_proba"], forest.predict_proba(rows))


def test_a_method_that_nobody_wants_is_not_called(tmp_path: Path) -> None:
    """Asking for labels alone does not compute probabilities."""
    model = load(tmp_path, CountsCalls().fit(X, Y))
    before = CountsCalls.calls
    assert list(model.predict({"X": X}, ("predict",), {})) == ["predict"]
    assert CountsCalls.calls == before


class CountsCalls(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree that counts how often it is asked for probabilities other than by itself."""

    calls = 0

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), np.int64)

    def predict_proba(self, X: Any) -> Any:
        CountsCalls.calls += 1
        return super().predict_proba(X)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()), id="tf-idf"),
        pytest.param(lambda: make_pipeline(HashingVectorizer(n_features=16), LogisticRegression()), id="hashing"),
        pytest.param(
            lambda: make_pipeline(
                FeatureUnion([("words", CountVectorizer()), ("letters", CountVectorizer(analyzer="char"))]),
                LogisticRegression(),
            ),
            id="union",
        ),
        pytest.param(
            lambda: GridSearchCV(make_pipeline(TfidfVectorizer(), LogisticRegression()), {"memory": [None]}, cv=2),
            id="search",
        ),
    ],
)
def test_text_comes_in_as_utf_8(tmp_path: Path, make: Callable[[], Any]) -> None:
    """A model that begins with a vectorizer takes one string per row."""
    estimator = make().fit(WORDS, MOODS)
    model = load(tmp_path, estimator)
    assert model.metadata.inputs == (TensorSpec("X", Datatype.BYTES, (-1,)),)
    texts = np.array([b"good", "awful caf\u00e9".encode(), b""], dtype=object)
    answers = model.predict({"X": texts}, (), {})
    decoded = [item.decode() for item in texts]
    np.testing.assert_array_equal(answers["predict"], estimator.predict(decoded))
    np.testing.assert_array_equal(answers["predict_proba"], estimator.predict_proba(decoded))


def test_bytes_that_are_no_text_are_the_caller_s_fault(tmp_path: Path) -> None:
    """An element that is not UTF-8 is named by its position."""
    model = load(tmp_path, make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(WORDS, MOODS))
    with pytest.raises(InvalidTensor, match=r"^input 'X': element 1 is not UTF-8 text: invalid start byte at byte 2$"):
        model.predict({"X": np.array([b"good", b"ab\xff"], dtype=object)}, (), {})


def test_a_vectorizer_that_opens_files_is_refused(tmp_path: Path) -> None:
    """A request must not name a file of the server, not even through the model."""
    text = tmp_path / "a.txt"
    text.write_text("good fine")
    vectorizer = CountVectorizer(input="filename").fit([text])
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, vectorizer)
    assert caught.value.message == (
        "model 'm': its vectorizer opens the files that a request would name (input='filename' or 'file'); expected "
        "input='content'"
    )


def test_sparse_answers_become_dense(tmp_path: Path) -> None:
    """A transformer with a sparse result answers with a plain tensor."""
    encoder = OneHotEncoder(handle_unknown="ignore").fit(Y[:, None])
    assert not isinstance(encoder.transform([[1]]), np.ndarray)
    answers = load(tmp_path, encoder).predict({"X": np.array([[1], [2]])}, (), {})
    np.testing.assert_array_equal(answers["transform"], [[0, 1, 0], [0, 0, 1]])


def test_classes_and_feature_names_stand_in_the_properties(tmp_path: Path) -> None:
    """Whoever reads the probabilities finds out which column is which, and the columns of the input as well."""
    estimator = DecisionTreeClassifier().fit(X, NAMES[Y])
    estimator.feature_names_in_ = np.array(["sepal length, cm", "b", "c", "d"], dtype=object)
    model = load(tmp_path, estimator)
    assert model.metadata.properties == {
        "estimator": "DecisionTreeClassifier",
        "sklearn_version": sklearn.__version__,
        "feature_names": '["sepal length, cm","b","c","d"]',
        "predict_proba.classes": '["setosa","versicolor","virginica"]',
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
        assert model.predict({"X": X[:1]}, (), {})["predict"].tolist() == ["setosa"]


def test_several_targets_list_their_classes(tmp_path: Path) -> None:
    """A chain answers with one tensor of scores, whose columns are targets with classes of their own."""
    chain = ClassifierChain(DecisionTreeClassifier()).fit(X, np.c_[Y == 1, Y == 2].astype(int))
    assert load(tmp_path, chain).metadata.properties["predict_proba.classes"] == "[[0,1],[0,1]]"


def test_scores_that_cannot_be_given_are_left_out(tmp_path: Path) -> None:
    """An estimator that offers probabilities and then fails over them is served without them, and says so."""
    chain = ClassifierChain(DecisionTreeClassifier()).fit(X, np.c_[Y, Y % 2])
    model = load(tmp_path, chain)
    assert signature(model) == [("predict", "FP64", (-1, 2))]
    np.testing.assert_array_equal(model.predict({"X": X}, (), {})["predict"], chain.predict(X))
    assert model.metadata.properties["omitted_outputs"].startswith("predict_proba: ValueError: ")


def test_feature_names_do_not_spam(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A model that was fitted on named columns is asked with arrays and says nothing about it."""
    estimator = LinearRegression().fit(X, Y)
    estimator.feature_names_in_ = np.array(list("abcd"), dtype=object)
    model = load(tmp_path, estimator)
    model.predict({"X": X}, (), {})
    assert not recwarn.list


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: {"weights": [1, 2]},
            "'m.joblib' holds an object of type 'dict', which has neither predict nor transform",
            id="dictionary",
        ),
        pytest.param(
            lambda: DBSCAN().fit(X),
            "'m.joblib' holds an object of type 'DBSCAN', which has neither predict nor transform",
            id="clusterer without predict",
        ),
        pytest.param(
            lambda: LogisticRegression,
            "'m.joblib' holds the class 'LogisticRegression', expected a fitted estimator",
            id="class",
        ),
        pytest.param(
            LogisticRegression,
            "LogisticRegression does not tell its number of features (n_features_in_) and does not begin with a text "
            "vectorizer; expected a fitted estimator",
            id="not fitted",
        ),
        pytest.param(
            lambda: FunctionTransformer(np.sum).fit(X),
            "transform answers one row with shape [], expected one row back",
            id="not row by row",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, make: Callable[[], Any], message: str) -> None:
    """An object that does not answer rows with rows is refused when it is loaded, not when it is asked."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, make())
    assert caught.value.message == f"model 'm': {message}"


def test_a_datatype_outside_the_protocol_is_refused(tmp_path: Path) -> None:
    """Complex numbers have no datatype in the protocol."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': transform: numpy type complex128 has no datatype in"):
        load(tmp_path, make_pipeline(StandardScaler(), FunctionTransformer(np.fft.fft)).fit(X))


def test_an_example_row_stands_in_for_zeros(tmp_path: Path) -> None:
    """Where zeros are no valid row, the message asks for one, and the option gives it."""
    encoder = OneHotEncoder().fit([[7], [8]])
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, encoder)
    assert caught.value.message.startswith("model 'm': transform fails on the trial row (ValueError: Found unknown ")
    assert caught.value.message.endswith("if the row is at fault, give a valid one with the option 'example'")
    assert signature(load(tmp_path, encoder, example="7")) == [("transform", "FP64", (-1, 2))]
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': option 'example' has 2 values, the model takes 1$"):
        load(tmp_path, encoder, example="7, 8")
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': option 'example': could not convert string to float: 'x'$"):
        load(tmp_path, encoder, example="x")


def test_threads_bind_what_was_fitted_with_every_core(tmp_path: Path) -> None:
    """A model that was fitted with n_jobs=-1 does not go on taking every core of the server."""
    path = tmp_path / "m.joblib"
    joblib.dump(make_pipeline(StandardScaler(), JobsShown(n_jobs=-1)).fit(X, Y), path)
    held = RUNTIME.load(Artifact("m", "1", path, trusted=True, threads=2))
    assert held.predict({"X": X[:1]}, (), {})["predict"].tolist() == [2]
    held.close()
    free = RUNTIME.load(Artifact("m", "1", path, trusted=True))
    assert free.predict({"X": X[:1]}, (), {})["predict"].tolist() == [-1]


class JobsShown(BaseEstimator):  # type: ignore[misc]
    """Answers every row with its own n_jobs."""

    def __init__(self, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs

    def fit(self, X: npt.NDArray[Any], y: Any = None) -> JobsShown:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.full(len(X), self.n_jobs)
