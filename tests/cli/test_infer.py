"""`tidegate infer` against a real server."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidegate.cli.main import run

pytestmark = pytest.mark.e2e

WIDE = {
    "inputs": [
        {"name": kind.lower(), "datatype": kind, "shape": [-1, 2]}
        for kind in ("BOOL", "UINT8", "INT64", "UINT64", "FP32", "FP64", "BYTES")
    ]
}
HALF = {
    "inputs": [{"name": "h", "datatype": "FP16", "shape": [-1, 2]}, {"name": "b", "datatype": "BF16", "shape": [-1]}]
}


@pytest.fixture(scope="module")
def server(serve: Any, fake: Callable[..., Path]) -> Iterator[Any]:
    words = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}], "decoupled": True}
    server = serve(fake("echo"), fake("wide", WIDE), fake("half", HALF), fake("words", words))
    server.until("ready")
    yield server
    assert server.stop() == 0


@pytest.fixture(params=["json", "binary", "grpc"])
def way(request: pytest.FixtureRequest, server: Any) -> list[str]:
    """How to reach the server."""
    ways = {"json": ["--url", server.url], "binary": ["--url", server.url, "--binary"], "grpc": ["--grpc", server.grpc]}
    return ways[request.param]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run `tidegate infer` and return its outputs by name."""

    def ask(*words: str) -> dict[str, Any]:
        code = run(["infer", *words])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return {output["name"]: output["data"] for output in json.loads(out)["outputs"]}

    return ask


def test_typed_values(way: list[str], ask: Callable[..., dict[str, Any]]) -> None:
    """One row without brackets, by every transport."""
    assert ask("echo", "--input", "x=1,2.5", *way) == {"x": [[1.0, 2.5]]}


def test_every_datatype(way: list[str], ask: Callable[..., dict[str, Any]]) -> None:
    """Each input has its own datatype and keeps its exact values."""
    words = ["--input", "bool=true,false", "--input", "uint8=0,255", "--input", "int64=[[-9223372036854775808, 1]]"]
    words += ["--input", "uint64=0,18446744073709551615", "--input", "fp32=0.5,-1", "--input", "fp64=1e300,0"]
    words += ["--input", "bytes=ü,b"]
    assert ask("wide", *words, *way) == {
        "bool": [[True, False]],
        "uint8": [[0, 255]],
        "int64": [[-(2**63), 1]],
        "uint64": [[0, 2**64 - 1]],
        "fp32": [[0.5, -1.0]],
        "fp64": [[1e300, 0.0]],
        "bytes": [["ü", "b"]],
    }


@pytest.mark.parametrize("way", ["binary", "grpc"], indirect=True)
def test_halves_travel_as_bytes(way: list[str], ask: Callable[..., dict[str, Any]]) -> None:
    """FP16 and BF16 have no JSON form in v2; on the screen they are numbers all the same."""
    assert ask("half", "--input", "h=0.5,2", "--input", "b=1.5", *way) == {"h": [[0.5, 2.0]], "b": [1.5]}


def test_a_npy_file(way: list[str], ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Many rows at once."""
    rows = np.arange(200.0).reshape(100, 2)
    np.save(tmp_path / "rows.npy", rows)
    assert ask("echo", "--input", f"x=@{tmp_path / 'rows.npy'}", *way) == {"x": rows.tolist()}


def test_a_csv_file(way: list[str], ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """One line is one row."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    assert ask("echo", "--rows", str(tmp_path / "rows.csv"), *way) == {"x": [[1.0, 2.0], [3.0, 4.0]]}


def test_a_csv_from_stdin(server: Any, ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the end of a pipe."""
    monkeypatch.setattr("sys.stdin", io.StringIO("1,2\n"))
    assert ask("echo", "--rows", "-", "--url", server.url) == {"x": [[1.0, 2.0]]}


@pytest.mark.parametrize("form", ["inline", "file", "stdin"])
def test_a_whole_request(
    form: str,
    way: list[str],
    ask: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """v2's own JSON, whichever transport carries it."""
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]})
    (tmp_path / "request.json").write_text(body)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(body.encode())))
    data = {"inline": body, "file": f"@{tmp_path / 'request.json'}", "stdin": "-"}[form]
    assert ask("echo", "--data", data, *way) == {"x": [[1.0, 2.0]]}


def test_named_outputs_and_parameters(way: list[str], ask: Callable[..., dict[str, Any]]) -> None:
    """Both reach the model: it repeats the one output that is asked for."""
    words = [f"--input={spec['name']}={'a,b' if spec['datatype'] == 'BYTES' else '1,0'}" for spec in WIDE["inputs"]]
    found = ask("wide", *words, "--param", "repeat=2", "--output-names", "int64", *way)
    assert found == {"int64": [[1, 0, 1, 0]]}


def test_the_model_s_version_can_be_named(server: Any, ask: Callable[..., dict[str, Any]]) -> None:
    """The server has version 1 alone."""
    assert ask("echo", "--version", "1", "-i", "1,2", "--url", server.url) == {"x": [[1.0, 2.0]]}
    assert run(["infer", "echo", "--version", "9", "-i", "1,2", "--url", server.url]) == 1


@pytest.mark.parametrize(
    ("words", "cause", "hint"),
    [
        pytest.param(
            ["eco", "--input", "x=1"],
            "model 'eco' is not found",
            "the server has echo, half, wide, words",
            id="unknown-model",
        ),
        pytest.param(
            ["echo", "--input", "x=[[1,2,3]]"],
            "input 'x': shape is [1, 3], the model expects [-1, 2]",
            "",
            id="shape",
        ),
        pytest.param(["echo", "--input", "x=1,2", "--param", "raise=too hot"], "too hot", "", id="the-model-raises"),
    ],
)
def test_the_server_s_words_are_shown(
    server: Any, words: list[str], cause: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line of cause, and a hint where there is one."""
    assert run(["infer", *words, "--url", server.url]) == 1
    error, *advice = capsys.readouterr().err.splitlines()
    assert cause in error
    assert advice == ([f"hint: {hint}"] if hint else [])


def test_an_unknown_model_over_grpc(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The message is the same; v2 over gRPC has no list of models for a hint."""
    assert run(["infer", "eco", "--input", "x=1", "--grpc", server.grpc]) == 1
    assert capsys.readouterr().err.splitlines() == ["error: model 'eco' is not found"]


def test_nobody_listens_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Over gRPC as over HTTP: the address, and how to start a server."""
    assert run(["infer", "echo", "--input", "x=1", "--grpc", "127.0.0.1:1"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: 127.0.0.1:1 is not reachable")
    assert hint.startswith("hint: start one with `tidegate serve FILE`")


def test_a_deadline_ends_the_call(way: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The model takes longer than the caller waits."""
    assert run(["infer", "echo", "--input", "x=1,2", "--param", "slow=2", "--timeout", "0.1", *way]) == 1
    # Executed or, behind the one that was asked for over another way, waiting: it is the server that says so.
    assert capsys.readouterr().err.startswith("error: the request's deadline passed while ")


@pytest.mark.parametrize("timeout", ["inf", "nan", "0", "-1", "1e300"])
def test_a_time_that_no_timer_counts_is_refused(timeout: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anybody is asked."""
    assert run(["infer", "echo", "--input", "x=1,2", f"--timeout={timeout}"]) == 2
    assert "for --timeout. Must be a number of seconds above 0, at most 1000000000." in capsys.readouterr().err


@pytest.mark.parametrize("output", ["json", "table"])
def test_a_stream_is_printed_answer_by_answer(
    way: list[str], server: Any, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """Those before an error, too."""
    words = ["infer", "words", "--stream", "-i", 'text=["once","upon"]', "-o", output, *way]
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    if output == "json":
        assert [json.loads(line)["outputs"][0]["data"] for line in lines] == [["once"], ["upon"]]
    else:
        assert [line.split() for line in lines] == [["ROW", "TEXT"], ["0", "once"], ["ROW", "TEXT"], ["0", "upon"]]
    assert run([*words, "--param", "raise=too hot", "--param", "after=1"]) == 1
    out, err = capsys.readouterr()
    assert "once" in out
    assert "upon" not in out
    assert "too hot" in err
