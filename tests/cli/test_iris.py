"""A real model of a real framework, from the file to the table."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidegate.cli.main import run

pytestmark = [pytest.mark.e2e, pytest.mark.framework]


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A classifier saved with joblib, the flowers, and its own answers for them."""
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    flowers, species = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(flowers, species)
    path = tmp_path_factory.mktemp("iris") / "iris.joblib"
    joblib.dump(model, path)
    return path, flowers[::10], model.predict(flowers[::10])


@pytest.fixture(scope="module")
def server(serve: Any, iris: tuple[Path, Any, Any]) -> Iterator[Any]:
    server = serve(iris[0], "--threads", "1")
    server.until("ready")
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("form", ["npy", "csv", "json"])
@pytest.mark.parametrize("way", ["json", "binary", "grpc"])
def test_the_served_model_answers_as_the_model_itself(
    form: str,
    way: str,
    server: Any,
    iris: tuple[Path, Any, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By every transport, from every kind of file."""
    _, flowers, predicted = iris
    model = server.events[2]["metadata"]
    (name,) = (spec["name"] for spec in model["inputs"])
    label = model["outputs"][0]["name"]
    if form == "npy":
        np.save(tmp_path / "rows.npy", flowers)
        words = ["--input", f"{name}=@{tmp_path / 'rows.npy'}"]
    elif form == "csv":
        np.savetxt(tmp_path / "rows.csv", flowers, delimiter=",", header="a,b,c,d", comments="")
        words = ["--rows", str(tmp_path / "rows.csv")]
    else:
        (tmp_path / "rows.json").write_text(json.dumps(flowers.tolist()))
        words = ["--input", f"{name}=@{tmp_path / 'rows.json'}"]
    ways = {"json": ["--url", server.url], "binary": ["--url", server.url, "--binary"], "grpc": ["--grpc", server.grpc]}
    assert run(["infer", "iris", *words, "--output-names", label, *ways[way]]) == 0
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert output["data"] == predicted.tolist()


def test_the_table_is_for_people(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per flower."""
    assert run(["infer", "iris", "-i", "5.1,3.5,1.4,0.2,6.2,3.4,5.4,2.3", "-o", "table", "--url", server.url]) == 0
    heading, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heading[0] == "ROW"
    assert [row[0] for row in rows] == ["0", "1"]
    assert [row[1] for row in rows] == ["0", "2"]


def test_the_curl_line_that_it_offers_works(server: Any) -> None:
    """Pasted into a shell, as a person does."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (line,) = (line for line in server.told.splitlines() if line.startswith("  curl "))
    done = subprocess.run(f"{line} --silent", shell=True, capture_output=True, text=True, timeout=60, check=True)
    outputs = json.loads(done.stdout)["outputs"]
    assert [(output["name"], output["shape"]) for output in outputs] == [("predict", [1]), ("predict_proba", [1, 3])]


def test_an_option_reaches_the_runtime(serve: Any, iris: tuple[Path, Any, Any]) -> None:
    """Which says what is wrong with it."""
    server = serve(iris[0], "--option", "example=1,2,3")
    failed = server.until("loadfailed")
    assert "option 'example' has 3 values, the model takes 4" in failed["reason"]
    assert server.ended() == 1


def test_a_pickle_is_refused_where_paths_are_not_trusted(serve: Any, iris: tuple[Path, Any, Any]) -> None:
    """The format and the risk are named."""
    server = serve(iris[0], "--untrusted")
    failed = server.until("loadfailed")
    assert "is a joblib file, and reading one can run any code" in failed["reason"]
    assert server.ended() == 1
