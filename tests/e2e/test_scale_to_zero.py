"""A service that sleeps, with a real model: no process while nobody asks, and an answer for everybody who does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import joblib
import psutil
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.testing.process import PATIENCE
from tidegate.testing.service_server import ServiceServer, manifest, ready, split

pytestmark = [pytest.mark.e2e, pytest.mark.framework]

BODY = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classifiers: first.joblib says 0 of ``BODY``, second.joblib says 2; and broken.joblib, which is none."""
    folder = tmp_path_factory.mktemp("models")
    rows, labels = load_iris(return_X_y=True)
    for name, told in (("first", labels), ("second", 2 - labels)):
        joblib.dump(LogisticRegression(max_iter=500).fit(rows, told), folder / f"{name}.joblib")
    (folder / "broken.joblib").write_bytes(b"no model")
    return folder


@pytest.fixture
def server(tmp_path: Path, models: Path) -> Iterator[ServiceServer]:
    words = ("--trust", models, "--sleep-after", "0.5")
    # Spawned, for a zygote is a process that stays: here it is counted which there are.
    with ServiceServer.start(tmp_path / "state", "--start-method", "spawn", *words) as server:
        yield server


def sleeper(path: Path, **predictor: Any) -> dict[str, Any]:
    return manifest("iris", path, "sklearn", minReplicas=0, **predictor)


def asleep(status: dict[str, Any]) -> bool:
    conditions = status.get("conditions", ())
    told = [(each["status"], each.get("reason")) for each in conditions if each["type"] == "Ready"]
    return told == [("True", "Asleep")] and status["replicas"] == 0


def workers(server: ServiceServer) -> list[psutil.Process]:
    """The processes below the server, once those that are on their way out have ended."""
    found = psutil.Process(server.serving.process.pid).children(recursive=True)
    return psutil.wait_procs(found, timeout=PATIENCE)[1]


def labels(server: ServiceServer, count: int) -> list[int]:
    """What so many requests that come together are answered."""

    def ask(_: int) -> int:
        url = f"{server.serving.url}/v2/models/iris/infer"
        got = httpx.post(url, json=BODY, timeout=PATIENCE, trust_env=False)
        assert got.status_code == 200, got.text
        return int(got.json()["outputs"][0]["data"][0])

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_a_service_without_requests_has_no_process(server: ServiceServer, models: Path) -> None:
    """It is loaded once and sleeps; a hundred that ask at once wake it and are all answered; and it sleeps again."""
    server.write(sleeper(models / "first.joblib"))
    server.until("iris", asleep)
    assert workers(server) == []
    got = httpx.get(f"{server.serving.url}/v2/models/iris/ready", trust_env=False)
    assert got.json() == {"name": "iris", "ready": True}
    got = httpx.post(f"{server.serving.url}/v2/repository/index", trust_env=False)
    assert [(each["state"], each["reason"]) for each in got.json()] == [("READY", "asleep")]
    assert workers(server) == []
    assert labels(server, 100) == [0] * 100
    assert server.serving.figure("tidegate_wakings_total", outcome="woken") == 2
    server.until("iris", asleep)
    assert workers(server) == []


def test_a_new_revision_over_one_that_sleeps_and_the_way_back(server: ServiceServer, models: Path) -> None:
    """The new one is loaded before it takes over; one that cannot be loaded is told, and changes nothing."""
    server.write(sleeper(models / "first.joblib"))
    server.until("iris", asleep)
    server.write(sleeper(models / "broken.joblib"))
    status = server.until("iris", lambda status: "lastFailureInfo" in status["modelStatus"])["status"]
    assert ready(status)
    assert split(status) == {"iris-00001": 100}
    assert labels(server, 3) == [0] * 3
    server.write(sleeper(models / "second.joblib"))
    server.until("iris", lambda status: split(status) == {"iris-00003": 100})
    assert labels(server, 3) == [2] * 3
    server.until("iris", asleep)
    server.write(sleeper(models / "first.joblib"))
    server.until("iris", lambda status: split(status) == {"iris-00001": 100})
    assert labels(server, 3) == [0] * 3


def test_after_a_restart_it_sleeps_and_answers(server: ServiceServer, models: Path) -> None:
    """Nothing is loaded until somebody asks."""
    server.write(sleeper(models / "first.joblib"))
    server.until("iris", asleep)
    assert server.serving.stop() == 0
    server.begin_again()
    server.until("iris", asleep)
    assert workers(server) == []
    assert server.serving.figure("tidegate_wakings_total", outcome="woken") == 0
    assert labels(server, 5) == [0] * 5


def test_whether_it_sleeps_can_be_changed(server: ServiceServer, models: Path) -> None:
    """With one replica at least it stays; without, it sleeps again."""
    server.write(sleeper(models / "first.joblib"))
    server.until("iris", asleep)
    server.write(manifest("iris", models / "first.joblib", "sklearn"))
    server.until("iris", lambda status: status["replicas"] == 1)
    assert labels(server, 2) == [0] * 2
    assert server.serving.figure("tidegate_model_ready", model="iris") == 1
    server.write(sleeper(models / "first.joblib"))
    server.until("iris", asleep)
    assert workers(server) == []
