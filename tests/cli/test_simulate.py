"""`tidegate simulate`: no server, only what is typed and what lies in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.cli.main import run
from tidegate.cli.scatter import Point, scatter

QUICK = ("--duration", "60s", "--seeds", "2", "--policy", "kpa,fixed@20")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    """Stdout and stderr."""
    assert run(["simulate", *words]) == code
    out, err = capsys.readouterr()
    return out, err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(told(capsys, *words, "-o", "json")[0])


def test_a_table_and_a_plot(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each policy and cold start, a plot for each cold start, and nothing on stderr of a pipe."""
    out, err = told(capsys, "--trace", "step", "--start", "1,30", *QUICK)
    lines = out.splitlines()
    head = ["START", "POLICY", "VIOLATIONS", "REPLICA-S", "OF", "BOUND", "CHANGES", "P99", "PARETO"]
    assert lines[0].split() == head
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["1s", "kpa@0.7"],
        ["1s", "fixed@20"],
        ["30s", "kpa@0.7"],
        ["30s", "fixed@20"],
    ]
    assert lines[1].count("±") == 2
    assert "start 30 s; k kpa, f fixed; ¦ is the bound of who knows the future" in lines
    assert err == ""


def test_json_has_rows_and_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are means of the runs; numbers are not rounded."""
    found = document(capsys, "--trace", "step", *QUICK)
    assert found["trace"] == "step"
    runs = [each for each in found["runs"] if each["policy"] == "kpa@0.7"]
    row = next(each for each in found["rows"] if each["policy"] == "kpa@0.7")
    assert [each["seed"] for each in runs] == [0, 1]
    assert row["replica_seconds"] == pytest.approx(sum(each["replica_seconds"] for each in runs) / 2)
    assert row["violations"] == pytest.approx(sum(each["late"] / each["requests"] for each in runs) / 2)
    assert row["bound"] <= row["replica_seconds"]


def test_a_sweep_tries_every_knob(capsys: pytest.CaptureFixture[str]) -> None:
    """Of each policy that has one."""
    found = document(capsys, "--trace", "flat", "--sweep", "--duration", "20s", "--seeds", "1", "--policy", "ray")
    assert [row["policy"] for row in found["rows"]] == ["ray@0.3", "ray@0.5", "ray@0.7", "ray@0.9"]


def test_options_change_the_workload(capsys: pytest.CaptureFixture[str]) -> None:
    """The SLO alone, or the whole service; twice as fast; and replicas that die."""
    base = document(capsys, "--trace", "step", *QUICK)["runs"]
    assert base[0]["late"] < document(capsys, "--trace", "step", *QUICK, "--slo", "100ms")["runs"][0]["late"]
    fast = document(capsys, "--trace", "step", *QUICK, "--speed", "2")["runs"]
    assert fast[0]["requests"] == pytest.approx(2 * base[0]["requests"], rel=0.1)
    batched = ("--service", "20ms", "--batch", "8", "--batch-base", "60ms", "--plant", "product")
    assert document(capsys, "--trace", "step", *QUICK, *batched)["runs"][0]["plant"] == "product"
    dying = document(capsys, "--trace", "step", *QUICK, "--mean-life", "20s", "--blackout", "10:20")["runs"]
    assert dying[1]["changes"] > base[1]["changes"]


def test_a_file_of_stamps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seconds, one a line; the service is that of the options, or 100 ms within 400 ms."""
    (folder / "calls.txt").write_text("\n".join(str(k / 10) for k in range(100)))
    found = document(capsys, "--trace", "calls.txt", "--policy", "fixed@2", "--seeds", "1")
    assert found["trace"] == "calls"
    assert (found["runs"][0]["requests"], found["runs"][0]["late"]) == (100, 0)


def test_days_of_a_function_are_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each day of the function that is meant is one, beside the seeds."""
    minutes = ",".join(["60"] * 1440)
    (folder / "f.csv").write_text(f"hash_function,day,1\nabc,1,{minutes}\nabc,2,{minutes}\nxyz,1,{minutes}\n")
    words = ("--trace", "f.csv", "--policy", "fixed@2", "--seeds", "2", "--duration", "60s")
    found = document(capsys, *words, "--function", "a")
    assert [each["workload"] for each in found["runs"]] == ["f_abc_day1", "f_abc_day2"] * 2
    assert found["rows"][0]["runs"] == 4
    assert "function is '', expected the beginning of one of abc, xyz" in told(capsys, *words, code=1)[1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--trace", "nix"), 1, "trace is 'nix', which is no file; expected one, or llm_code"),
        (("--trace", "bad.txt"), 1, "'bad.txt' is no trace: line 2 of the trace has 'x'"),
        (("--trace", "step", "--policy", "best"), 1, "policy is 'best', expected one of qda"),
        (("--trace", "step", "--start", "x"), 2, "--start is 'x', which is no time"),
        (("--trace", "step", "--slo", "soon"), 2, "--slo is 'soon', which is no time"),
        (("--trace", "step", "--service", "0ms"), 2, "--service is 0"),
        (("--trace", "step", "--batch", "4"), 2, "--batch and --batch-base need --service"),
        (("--trace", "step", "--blackout", "5"), 2, "--blackout is '5'"),
        (("--trace", "step", "--mean-life", "0s"), 2, "--mean-life is 0"),
        (("--trace", "step", "--min-replicas", "9", "--max-replicas", "3"), 2, "--min-replicas is 9, above"),
        (("--trace", "step", "--seeds", "0"), 2, "seeds"),
    ],
)
def test_what_cannot_be_simulated(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, message: str
) -> None:
    """One sentence, before anything is played."""
    (folder / "bad.txt").write_text("1\nx\n")
    assert message in told(capsys, *words, code=code)[1]


def test_points_stand_where_their_numbers_are() -> None:
    """The highest on top, the dearest on the right, both axes from 0 on, and the first of two that meet is shown."""
    lines = scatter(
        [Point(100.0, 10.0, "a"), Point(0.0, 0.0, "b"), Point(50.0, 0.0, "c"), Point(50.0, 0.0, "d")],
        "x",
        "y",
        line=25.0,
    )
    top, bottom = lines[1].split("│")[1], lines[14].split("│")[1]
    assert (top[-1], len(top)) == ("a", 60)
    assert (bottom[0], bottom.index("c"), "d" in bottom) == ("b", 30, False)
    assert all(line.split("│")[1][15] == "¦" for line in lines[1:15])
    assert lines[0] == "y"
    assert lines[-1].strip().endswith("100 x")


def test_a_plot_of_nothing_late() -> None:
    """Where no request was late all points lie on the axis."""
    assert scatter([Point(5.0, 0.0, "a")], "x", "y")[14].rstrip().endswith("a")
