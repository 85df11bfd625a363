"""What every runtime promises, held against each format that it reads, with one small real model."""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import sklearn
import skops.io
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import FrameworkMissing, ModelLoadFailed, UntrustedModel
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Tensor
from tidegate.protocol.validation import check_request
from tidegate.runtimes.onnx import RUNTIME as ONNX
from tidegate.runtimes.runtime import Artifact, Model, Runtime
from tidegate.runtimes.sklearn import RUNTIME as SKLEARN

pytestmark = pytest.mark.framework

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A runtime and one of its formats, for a classifier of the iris flowers."""

    runtime: Runtime
    suffix: str
    dump: Callable[[Pipeline], bytes]
    """The classifier as a file of this format."""
    age: Callable[[bytes], bytes]
    """The same file as one of a version that the framework must not be trusted to read."""
    aged: str
    """What the refusal of that one says."""
    dtype: npt.DTypeLike
    expected: Callable[[Pipeline, Array], Mapping[str, Array]]
    """The framework's own answers."""
    framework: str
    executes_code: bool = False


def as_skops(model: Pipeline) -> bytes:
    return bytes(skops.io.dumps(model))


def as_joblib(model: Pipeline) -> bytes:
    file = BytesIO()
    joblib.dump(model, file)
    return file.getvalue()


def as_onnx(model: Pipeline) -> bytes:
    converted = to_onnx(model, np.zeros((1, 4), np.float32), options={"zipmap": False})
    return bytes(converted.SerializeToString())


def aged_estimator(data: bytes) -> bytes:
    """A version of the same length, so that the pickle's own lengths stay true."""
    return data.replace(sklearn.__version__.encode(), b"0.1.2")


def aged_archive(data: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, aged_estimator(old.read(name)))
    return file.getvalue()


def aged_graph(data: bytes) -> bytes:
    model = onnx.load_from_string(data)
    for entry in model.opset_import:
        entry.version = 999
    return model.SerializeToString()


def sklearn_answers(model: Pipeline, rows: Array) -> Mapping[str, Array]:
    return {"predict": model.predict(rows), "predict_proba": model.predict_proba(rows)}


def onnx_answers(model: Pipeline, rows: Array) -> Mapping[str, Array]:
    session = onnxruntime.InferenceSession(as_onnx(model), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: rows}), strict=True))


SKLEARN_AGED = f"model 'iris' was saved by scikit-learn 0.1.2, and {sklearn.__version__} is installed"
CASES = [
    pytest.param(
        Case(SKLEARN, ".joblib", as_joblib, aged_estimator, SKLEARN_AGED, "f8", sklearn_answers, "sklearn", True),
        id="joblib",
    ),
    pytest.param(
        Case(SKLEARN, ".pkl", pickle.dumps, aged_estimator, SKLEARN_AGED, "f8", sklearn_answers, "sklearn", True),
        id="pickle",
    ),
    pytest.param(
        Case(SKLEARN, ".skops", as_skops, aged_archive, SKLEARN_AGED, "f8", sklearn_answers, "sklearn"), id="skops"
    ),
    pytest.param(
        Case(ONNX, ".onnx", as_onnx, aged_graph, "Opset 999 is under development", "f4", onnx_answers, "onnxruntime"),
        id="onnx",
    ),
]


@pytest.fixture(scope="module")
def iris() -> tuple[Array, Array]:
    rows, labels = load_iris(return_X_y=True)
    return rows, labels


@pytest.fixture(scope="module")
def classifier(iris: tuple[Array, Array]) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*iris)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def artifact(case: Case, classifier: Pipeline, tmp_path: Path) -> Artifact:
    path = tmp_path / f"iris{case.suffix}"
    path.write_bytes(case.dump(classifier))
    return Artifact("iris", "3", path, trusted=True)


def run(model: Model, rows: Array, *outputs: str) -> Mapping[str, Array]:
    view = rows.view()
    view.flags.writeable = False
    return model.predict({model.metadata.inputs[0].name: view}, outputs, {})


def test_a_model_answers_as_its_framework_does(
    case: Case, artifact: Artifact, classifier: Pipeline, iris: tuple[Array, Array]
) -> None:
    """Every output equals what the framework itself returns for the same rows."""
    rows = iris[0].astype(case.dtype)
    answers = run(case.runtime.load(artifact), rows)
    expected = case.expected(classifier, rows)
    assert list(answers) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(answers[name], array)


def test_a_batch_is_its_rows(case: Case, artifact: Artifact, iris: tuple[Array, Array]) -> None:
    """Rows sent together get the answers that they get one by one."""
    model, rows = case.runtime.load(artifact), iris[0][::10].astype(case.dtype)
    together = run(model, rows)
    alone = [run(model, row[None]) for row in rows]
    for name, array in together.items():
        np.testing.assert_allclose(np.concatenate([answer[name] for answer in alone]), array, rtol=1e-5, atol=1e-9)


def test_only_wanted_outputs_come_back(case: Case, artifact: Artifact, iris: tuple[Array, Array]) -> None:
    """Naming outputs brings these alone, in the order of the names."""
    model = case.runtime.load(artifact)
    first, second = (spec.name for spec in model.metadata.outputs)
    assert list(run(model, iris[0].astype(case.dtype), second)) == [second]
    assert list(run(model, iris[0].astype(case.dtype), second, first)) == [second, first]


def test_the_signature_tells_the_truth(case: Case, artifact: Artifact, iris: tuple[Array, Array]) -> None:
    """A request made from the signature is valid, and the answers have the datatypes and shapes that it names."""
    model, rows = case.runtime.load(artifact), iris[0].astype(case.dtype)
    meta = model.metadata
    assert (meta.name, meta.versions, meta.batch_dimension, meta.max_batch_size) == ("iris", ("3",), True, 0)
    project, _, form = meta.platform.partition("_")
    assert project == case.runtime.name
    assert form
    wanted = tuple(RequestedOutput(spec.name) for spec in meta.outputs)
    check_request(InferRequest("iris", (Tensor.from_numpy(meta.inputs[0].name, rows),), outputs=wanted), meta)
    answers = run(model, rows)
    for spec in meta.outputs:
        array = answers[spec.name]
        assert Datatype.of(array.dtype) is spec.datatype
        assert (-1, *array.shape[1:]) == spec.shape
        assert array.shape[0] == len(rows)


def test_threads_change_no_answer(case: Case, artifact: Artifact, iris: tuple[Array, Array]) -> None:
    """A model that is held to one thread answers the same, and can be closed."""
    rows = iris[0].astype(case.dtype)
    free, held = case.runtime.load(artifact), case.runtime.load(msgspec.structs.replace(artifact, threads=1))
    for name, array in run(free, rows).items():
        np.testing.assert_array_equal(run(held, rows)[name], array)
    held.close()
    free.close()


def test_another_suffix_is_refused(case: Case, artifact: Artifact) -> None:
    """A runtime does not guess at a file that it does not know by its name."""
    other = msgspec.structs.replace(artifact, path=artifact.path.with_suffix(".txt"))
    with pytest.raises(ModelLoadFailed, match=r"^model 'iris': 'iris\.txt' does not end in one of \.") as caught:
        case.runtime.load(other)
    assert case.suffix in caught.value.message


def test_an_absent_file_is_named(case: Case, artifact: Artifact) -> None:
    """A file that is not there is told by its name, without the folders of this machine."""
    artifact.path.unlink()
    with pytest.raises(
        ModelLoadFailed, match=rf"^model 'iris': 'iris\{case.suffix}' does not exist; expected a .* file$"
    ):
        case.runtime.load(artifact)


def test_a_directory_is_no_file(case: Case, artifact: Artifact) -> None:
    """A directory with the name of a model file is refused."""
    artifact.path.unlink()
    artifact.path.mkdir()
    with pytest.raises(ModelLoadFailed, match=rf"^model 'iris': 'iris\{case.suffix}' is no file; expected a .* file$"):
        case.runtime.load(artifact)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:1], id="one byte"),
        pytest.param(lambda data: data[: len(data) // 2], id="half"),
        pytest.param(lambda data: b"hello, this is no model", id="text"),
        pytest.param(lambda data: bytes(256), id="zeros"),
        pytest.param(lambda data: b"\x1f\x8b" + data[2:], id="gzip magic"),
    ],
)
def test_a_damaged_file_is_refused(case: Case, artifact: Artifact, damage: Callable[[bytes], bytes]) -> None:
    """Whatever is wrong inside a file, the answer is one line that names the file and holds no path."""
    artifact.path.write_bytes(damage(artifact.path.read_bytes()))
    with pytest.raises(ModelLoadFailed, match=rf"^model 'iris': 'iris\{case.suffix}' ") as caught:
        case.runtime.load(artifact)
    assert "\n" not in caught.value.message
    assert str(artifact.path.parent) not in caught.value.message


def test_another_version_is_refused(case: Case, artifact: Artifact) -> None:
    """A file that the installed framework may misread is refused, with both versions named."""
    artifact.path.write_bytes(case.age(artifact.path.read_bytes()))
    with pytest.raises(ModelLoadFailed) as caught:
        case.runtime.load(artifact)
    assert case.aged in caught.value.message


def test_a_missing_framework_is_named(case: Case, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its framework a runtime says what to install."""
    monkeypatch.setitem(sys.modules, case.framework, None)
    with pytest.raises(FrameworkMissing) as caught:
        case.runtime.load(artifact)
    assert caught.value.message == (
        f"runtime '{case.runtime.name}' needs the package '{case.framework}', which is not installed; "
        f"install it with: pip install '{case.runtime.package}'"
    )


def test_an_untrusted_source_is_read_only_as_data(case: Case, artifact: Artifact) -> None:
    """A format that can execute code is refused before the file is touched; data is read from anywhere."""
    stranger = msgspec.structs.replace(artifact, trusted=False)
    assert case.executes_code is any(
        form.executes_code for form in case.runtime.formats if case.suffix in form.suffixes
    )
    if not case.executes_code:
        assert case.runtime.load(stranger).metadata.name == "iris"
        return
    artifact.path.unlink()  # touching it would be told as a missing file
    with pytest.raises(UntrustedModel, match=r"^model 'iris' is a \w+ file, and reading one can run any code"):
        case.runtime.load(stranger)


def test_an_unknown_option_is_refused(case: Case, artifact: Artifact) -> None:
    """An option that the runtime does not know is named, and the known ones are listed."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'iris': there is no option 'fast'; known are \w+"):
        case.runtime.load(msgspec.structs.replace(artifact, options={"fast": "yes"}))
