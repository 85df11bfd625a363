"""`tidegate validate` and `tidegate explain`: no server, no store, only what is typed and what lies in files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.cli.main import run

GOOD = """\
apiVersion: tidegate.dev/v1
kind: ModelService
metadata: {name: iris}
spec:
  predictor:
    model: {modelFormat: {name: sklearn}}
"""
BAD = GOOD + "    minReplicas: -1\n    foo: 1\n"
KSERVE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris}
spec:
  predictor:
    newField: 1
    sklearn: {storageUri: gs://models/iris}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> tuple[list[str], str]:
    """Lines of stdout, and stderr."""
    assert run(["validate", *words]) == code
    out, err = capsys.readouterr()
    return out.splitlines(), err


def test_a_good_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout, a word on stderr."""
    (folder / "a.yaml").write_text(GOOD)
    assert told(capsys, "a.yaml", code=0) == ([], "1 document, in order\n")


def test_all_faults_of_all_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file and line, in the order of lines; of a directory what looks like a manifest, also further down."""
    (folder / "below").mkdir()
    (folder / "a.yaml").write_text(f"{GOOD}---\n{BAD}")
    (folder / "below" / "b.json").write_text('{"kind": "ModelService"}')
    (folder / "notes.txt").write_text("no manifest")
    lines, err = told(capsys, ".", code=1)
    assert lines == [
        "a.yaml:14: error: document 2: spec.predictor.minReplicas is -1, expected a whole number of at least 0",
        "a.yaml:15: error: document 2: spec.predictor.foo is no field of predictor",
        "below/b.json:1: error: apiVersion is missing, "
        "expected tidegate.dev/v1 or serving.kserve.io/v1beta1 or serving.kserve.io/v1alpha1",
    ]
    assert err == "3 documents, 2 of 3 at fault\n"


def test_warnings_and_notes_are_no_faults(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless --strict says so, of warnings; then nothing is translated."""
    (folder / "a.yaml").write_text(KSERVE)
    unknown = "spec.predictor.newField is no field of predictor"
    note = "spec.predictor.sklearn becomes model, with the key as modelFormat.name, as KServe's own admission does"
    lines, _ = told(capsys, "a.yaml", code=0)
    assert lines == [f"a.yaml:6: warning: {unknown}", f"a.yaml:7: note: {note}"]
    assert told(capsys, "a.yaml", "--strict", code=1)[0] == [f"a.yaml:6: error: {unknown}"]


def test_stdin_and_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For programs: one entry per document, whatever is in it."""
    text = f"{BAD}---\n{KSERVE}---\na: *b\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    lines, err = told(capsys, "-", "-o", "json", code=1)
    bad, kserve, broken = json.loads("\n".join(lines))
    assert err == ""
    assert (bad["source"], bad["document"], bad["kind"], bad["name"], bad["valid"]) == (
        "stdin", 1, "ModelService", "iris", False,
    )  # fmt: skip
    assert bad["faults"][1] == {
        "path": "spec.predictor.minReplicas",
        "line": 7,
        "message": "spec.predictor.minReplicas is -1, expected a whole number of at least 0",
        "expected": "a whole number of at least 0",
        "value": -1,
    }
    assert (kserve["valid"], len(kserve["warnings"]), len(kserve["notes"])) == (True, 1, 1)
    assert broken["faults"][0]["line"] == 18


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["missing.yaml"], "'missing.yaml' cannot be read: No such file or directory"),
        (["empty"], "there is no manifest in 'empty'"),
        (["empty.yaml"], "there is no document in it"),
    ],
)
def test_nothing_to_check(words: list[str], cause: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is a failure, not an empty success."""
    (folder / "empty").mkdir()
    (folder / "empty.yaml").write_text("# nothing\n")
    lines, err = told(capsys, *words, code=1)
    assert (lines, err.splitlines()[0]) == ([], f"error: {cause}")


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    """Text for people; the schema of a kind for programs."""
    assert run(["explain", "modelservice.spec.predictor.batcher"]) == 0
    assert "maxBatchSize <integer>, default 32" in capsys.readouterr().out
    assert run(["explain", "msvc", "-o", "openapi"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["spec"]["properties"]["predictor"]["properties"]["minReplicas"]["default"] == 1


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["msvc.spec.predicto"], 1, "ModelService.spec has no field 'predicto'; did you mean predictor?"),
        (["msvc.spec", "-o", "openapi"], 2, "'msvc.spec' is no kind"),
    ],
)
def test_what_cannot_be_explained(words: list[str], code: int, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name, or what it takes."""
    assert run(["explain", *words]) == code
    assert capsys.readouterr().err.splitlines()[0] == f"error: {error}"


def test_other_commands_do_not_pay_for_it() -> None:
    """The command line is there without pydantic, which takes longer to import than all the rest of it."""
    program = "import sys, tidegate.cli.main as main; main.build(); sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
