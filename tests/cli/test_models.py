"""`tidegate models inspect`, on files and at a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
import yaml

from tidegate.cli.main import run

pytestmark = pytest.mark.e2e


def inspected(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> Any:
    assert run(["models", "inspect", *map(str, words), "-o", "json"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_a_file_is_loaded_and_asked(fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Its runtime, its size, its signature."""
    path = fake("echo")
    [found] = inspected(capsys, path)
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    assert (found["name"], found["runtime"], found["bytes"]) == ("echo", "fake", path.stat().st_size)
    assert (found["executes_code"], found["inputs"], found["outputs"]) == (False, [tensor], [tensor])


class Payload:
    """Loading it writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


def test_a_file_that_can_run_code_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anybody has said that it is trusted; that is no failure."""
    mark = tmp_path / "mark"
    joblib.dump(Payload(str(mark)), tmp_path / "evil.joblib")
    [found] = inspected(capsys, tmp_path / "evil.joblib")
    assert (found["executes_code"], found["trusted"], found["refused"]) == (True, False, True)
    assert "--trusted reads it" in found["problem"]
    assert "inputs" not in found
    assert not mark.exists()


def test_a_model_that_cannot_be_loaded_fails(fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    """With its own words, or with how its worker ended."""
    [found] = inspected(capsys, fake("picky", {"load": {"refuse": "not today"}}), code=1)
    assert found["problem"] == "not today"
    [found] = inspected(capsys, fake("mortal", {"load": {"crash": True}}), code=1)
    assert "killed by SIGKILL while it loaded" in found["problem"]


def test_every_form(fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    """YAML is what JSON is; a table is for people."""
    path = fake("echo")
    expected = inspected(capsys, path)
    assert run(["models", "inspect", str(path), "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == expected
    assert run(["models", "inspect", str(path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["NAME", "echo"] in lines
    assert ["input", "x", "FP32", "[any,2]"] in lines


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_a_served_model(serve: Any, fake: Callable[..., Path], capsys: pytest.CaptureFixture[str], way: str) -> None:
    """By its name, over either protocol; an unknown one is not found."""
    server = serve(fake("echo"))
    server.until("ready")
    words = ["--grpc", server.grpc] if way == "grpc" else ["--url", server.url]
    [found] = inspected(capsys, "echo", *words)
    assert (found["versions"], found["ready"], found["platform"]) == (["1"], True, "tidegate_fake")
    assert run(["models", "inspect", "none", *words]) == 1
    assert "model 'none' is not found" in capsys.readouterr().err


def test_neither_file_nor_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Both are named."""
    assert run(["models", "inspect", "none.onnx", "--url", "http://127.0.0.1:1"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: there is no file 'none.onnx', and http://127.0.0.1:1 is not reachable")
    assert hint.startswith("hint: start one")
