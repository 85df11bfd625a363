"""What every runtime promises, held against each format that it reads, with one small real model of the zoo."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import FrameworkMissing, ModelLoadFailed, UntrustedModel
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Tensor
from tidegate.protocol.validation import check_request
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.testing.zoo import huggingface, lightgbm, onnx, python, sklearn, tensorflow, torch, xgboost
from tidegate.testing.zoo.case import Arrays, Case

pytestmark = pytest.mark.framework

ZOO = (sklearn, onnx, xgboost, lightgbm, torch, tensorflow, huggingface, python)
CASES: tuple[Case, ...] = tuple(case for framework in ZOO for case in framework.CASES)


@pytest.fixture(scope="module", params=[pytest.param(case, id=case.id) for case in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def only(concerned: Callable[[Case], bool]) -> pytest.MarkDecorator:
    """Run a test for the formats that it is about; for another one it would pass and say nothing."""
    cases = [pytest.param(case, id=case.id) for case in CASES if concerned(case)]
    return pytest.mark.parametrize("case", cases, indirect=True, scope="module")


@pytest.fixture(scope="module")
def made(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, made once; not to be changed."""
    return case.write(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def artifact(case: Case, made: Path, tmp_path: Path) -> Artifact:
    """A copy of the model and of what lies beside it, to be changed at will."""
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return case.artifact(tmp_path / made.name)


def body(case: Case, artifact: Artifact) -> Path:
    """The file that is the artifact, or that it cannot be read without."""
    return artifact.path / case.body if case.body else artifact.path


def run(model: Model, inputs: Arrays, *outputs: str) -> Mapping[str, npt.NDArray[Any]]:
    return model.predict({name: frozen(array) for name, array in inputs.items()}, outputs, {})


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def rows(inputs: Arrays, part: slice) -> Arrays:
    return {name: array[part] for name, array in inputs.items()}


def assert_equal(case: Case, given: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> None:
    if case.tolerance and wanted.dtype.kind == "f":
        np.testing.assert_allclose(given, wanted, rtol=case.tolerance, atol=case.tolerance)
    else:
        np.testing.assert_array_equal(given, wanted)


def test_a_model_answers_as_its_framework_does(case: Case, artifact: Artifact) -> None:
    """Every output equals what the framework itself returns for the same rows."""
    inputs = case.sample()
    answers = run(case.runtime.load(artifact), inputs)
    expected = case.expected(artifact.path, inputs)
    assert list(answers) == list(expected)
    for name, array in expected.items():
        assert_equal(case, answers[name], array)


def test_a_batch_is_its_rows(case: Case, artifact: Artifact) -> None:
    """Rows sent together get the answers that they get one by one."""
    model, inputs = case.runtime.load(artifact), rows(case.sample(), slice(0, 8))
    together = run(model, inputs)
    alone = [run(model, rows(inputs, slice(row, row + 1))) for row in range(8)]
    for name, array in together.items():
        joined = np.concatenate([answer[name] for answer in alone])
        if array.dtype.kind == "f":
            np.testing.assert_allclose(joined, array, rtol=1e-5, atol=max(1e-9, case.tolerance))
        else:
            np.testing.assert_array_equal(joined, array)


def test_only_wanted_outputs_come_back(case: Case, artifact: Artifact) -> None:
    """Naming outputs brings these alone, in the order of the names."""
    model, inputs = case.runtime.load(artifact), case.sample()
    names = [spec.name for spec in model.metadata.outputs]
    assert list(run(model, inputs, names[-1])) == [names[-1]]
    assert list(run(model, inputs, *reversed(names))) == names[::-1]


def test_the_signature_tells_the_truth(case: Case, artifact: Artifact) -> None:
    """A request made from the signature is valid, and the answers have the datatypes and shapes that it names."""
    model, inputs = case.runtime.load(artifact), case.sample()
    meta = model.metadata
    assert (meta.name, meta.versions, meta.batch_dimension) == ("iris", ("3",), True)
    assert [spec.name for spec in meta.inputs] == list(inputs)
    project, _, form = meta.platform.partition("_")
    assert project == case.runtime.name
    assert form
    tensors = tuple(Tensor.from_numpy(spec.name, inputs[spec.name], spec.datatype) for spec in meta.inputs)
    wanted = tuple(RequestedOutput(spec.name) for spec in meta.outputs)
    check_request(InferRequest("iris", tensors, outputs=wanted), meta)
    answers = run(model, inputs)
    count = len(next(iter(inputs.values())))
    for spec in meta.outputs:
        array = answers[spec.name]
        assert Datatype.of(array.dtype) is spec.datatype
        assert array.ndim == len(spec.shape)
        assert all(want in (-1, got) for got, want in zip(array.shape, spec.shape, strict=True))
        assert spec.shape[0] == -1
        assert array.shape[0] == count


def test_threads_change_no_answer(case: Case, artifact: Artifact) -> None:
    """A model that is held to one thread answers the same, and can be closed."""
    inputs = case.sample()
    free, held = case.runtime.load(artifact), case.runtime.load(msgspec.structs.replace(artifact, threads=1))
    for name, array in run(free, inputs).items():
        assert_equal(case, run(held, inputs)[name], array)
    held.close()
    free.close()


def test_another_kind_of_file_is_refused(case: Case, artifact: Artifact) -> None:
    """A runtime does not guess at a file that it does not know by its name."""
    other = artifact.path.with_name("iris.txt.unknown")
    other.write_bytes(b"")
    reason = r"does not end in one of \.|is no directory with "
    with pytest.raises(ModelLoadFailed, match=rf"^model 'iris': 'iris\.txt\.unknown' ({reason})"):
        case.runtime.load(msgspec.structs.replace(artifact, path=other))


def test_an_absent_file_is_named(case: Case, artifact: Artifact) -> None:
    """A file that is not there is told by its name, without the folders of this machine."""
    remove(artifact.path)
    with pytest.raises(ModelLoadFailed, match=rf"^model 'iris': '{artifact.path.name}' ") as caught:
        case.runtime.load(artifact)
    assert str(artifact.path.parent) not in caught.value.message


def test_a_directory_is_no_file(case: Case, artifact: Artifact) -> None:
    """An empty directory with the name of a model is refused."""
    remove(artifact.path)
    artifact.path.mkdir()
    reason = r"is no |does not end in one of .+ and is no directory with "
    with pytest.raises(ModelLoadFailed, match=rf"^model 'iris': '{artifact.path.name}' ({reason})"):
        case.runtime.load(artifact)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@only(lambda case: case.damage_is_noticed)
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
    """Whatever is wrong inside a file, the answer is one line that names the model's file and holds no path."""
    file = body(case, artifact)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelLoadFailed, match=rf"^model 'iris': '({artifact.path.name}|{file.name})' ") as caught:
        case.runtime.load(artifact)
    assert "\n" not in caught.value.message
    assert str(artifact.path.parent) not in caught.value.message


@only(lambda case: case.age is not None)
def test_another_version_is_refused(case: Case, artifact: Artifact) -> None:
    """A file that the installed framework may misread is refused, and the versions are named."""
    assert case.age is not None
    case.age(artifact.path)
    with pytest.raises(ModelLoadFailed) as caught:
        case.runtime.load(artifact)
    assert case.aged in caught.value.message


@only(lambda case: bool(case.framework))
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
    """A format that can execute code is refused before the file is read; data is read from anywhere."""
    stranger = msgspec.structs.replace(artifact, trusted=False)
    if not case.executes_code:
        assert case.runtime.load(stranger).metadata.name == "iris"
        return
    body(case, artifact).write_bytes(b"")  # reading it would be told as damage
    with pytest.raises(UntrustedModel, match=r"^model 'iris' is .+, and reading one can run any code"):
        case.runtime.load(stranger)


@only(lambda case: case.hostile is not None)
def test_a_hostile_file_does_not_execute(case: Case, tmp_path: Path) -> None:
    """What a stranger's file would do when it is read is not done; from a trusted source, or unguarded, it would be."""
    assert case.hostile is not None
    touched = tmp_path / "touched"
    path = case.hostile(tmp_path, touched)
    with pytest.raises(UntrustedModel):
        case.runtime.load(case.artifact(path, trusted=False))
    assert not touched.exists()
    if case.unguarded is None:
        run_trusted(case, path)
    else:
        with pytest.raises(ModelLoadFailed, match=rf"^model 'iris': '{path.name}' is refused by "):
            case.runtime.load(case.artifact(path))
        assert not touched.exists()
        case.unguarded(path)
    assert touched.exists(), "the file is not hostile at all, so its refusal proves nothing"


def test_every_format_that_executes_code_has_a_hostile_file() -> None:
    """None is believed to be refused without proof."""
    assert [case.id for case in CASES if case.executes_code and case.hostile is None] == []


def run_trusted(case: Case, path: Path) -> None:
    """Load it as one of ours; what it is, is no model, so it may fail afterwards."""
    try:
        model = case.runtime.load(case.artifact(path))
    except ModelLoadFailed:
        return
    run(model, case.sample())


def test_an_unknown_option_is_refused(case: Case, artifact: Artifact) -> None:
    """An option that the runtime does not know is named, and the known ones are listed."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'iris': there is no option 'fast'; known are \w+"):
        case.runtime.load(msgspec.structs.replace(artifact, options={**artifact.options, "fast": "yes"}))
