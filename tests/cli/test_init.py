"""`tidegate init`: what it writes is a good start, and never over anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.cli.init import rendered
from tidegate.cli.main import run
from tidegate.testing.process import Serving

KINDS = ("function", "class", "generator", "sequence")
ANSWERS = {"function": '"data":[0]', "class": "Hello, Ada!", "generator": "text", "sequence": '"data":[2.0]'}


def typed(command: str, environment: dict[str, str]) -> str:
    """What a command prints in the working directory."""
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("kind", KINDS)
def test_the_three_commands_of_its_readme_work(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own test passes, and it serves; the commands are told when it is written, too."""
    monkeypatch.chdir(tmp_path)
    assert run(["init", "my models/greeter", "--kind", kind]) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "my models" / "greeter" / "README.md").read_text().endswith(said)
    test, serve, ask = (line.strip() for line in said.splitlines() if line.startswith("    "))
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": binaries, "NO_COLOR": "1"}
    assert " passed" in typed(f"{test} -p no:cacheprovider -W error", environment)
    assert serve == "tidegate serve 'my models/greeter'"
    with Serving.start("my models/greeter", cwd=tmp_path) as server:
        assert server.until("ready")["loaded"] == 1, server.told
        environment["TIDEGATE_INFER_URL"] = server.url
        ask = ask.replace("127.0.0.1:8080", server.http)
        assert ANSWERS[kind] in typed(ask, environment)
        assert server.stop() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_keeps_to_the_rules(kind: str, tmp_path: Path) -> None:
    """A template is checked as our own code is."""
    for name, text in rendered(kind, "greeter", "greeter").items():
        (tmp_path / name).write_text(text)
    root = Path(__file__).resolve().parents[2]
    for command in (["format", "--check"], ["check", "--ignore", "I001"]):
        ruff = [sys.executable, "-m", "ruff", command[0], "--config", str(root / "pyproject.toml"), *command[1:]]
        done = subprocess.run([*ruff, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where one of the files is there already, none is written."""
    (tmp_path / "README.md").write_text("mine")
    assert run(["init", str(tmp_path)]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: '{tmp_path}' already has README.md"
    assert hint == "hint: give a new folder; nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason."""
    (tmp_path / "file").touch()
    assert run(["init", str(tmp_path / "file" / "m")]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_a_folder_that_no_model_can_be_called_as_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what a name may be; nothing is written."""
    assert run(["init", str(tmp_path / "my greeter")]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: 'my greeter' is no name of a model, and a model is called as its folder"
    assert hint.startswith("hint: expected up to 128 letters")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_lists_the_known(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As a wrong usage."""
    assert run(["init", str(tmp_path / "m"), "--kind", "magic"]) == 2
    assert '"function", "class", "generator", "sequence"' in capsys.readouterr().err
