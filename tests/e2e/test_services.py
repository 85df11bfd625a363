"""A service's life, live and with real models: applied, split, promoted, undone, restarted, and nobody notices."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.client import Client
from tidegate.client.retry import RetryPolicy
from tidegate.client.settings import ClientSettings
from tidegate.resources.revision import undone
from tidegate.testing.process import PATIENCE
from tidegate.testing.service_server import SERVICES, ServiceServer, manifest, ready, split

pytestmark = [pytest.mark.e2e, pytest.mark.framework]

ROW = [[5.1, 3.5, 1.4, 0.2]]
PATIENT = ClientSettings(
    timeout=PATIENCE, retries=RetryPolicy(max_attempts=1000, max_backoff=0.2, budget_rate=100.0, budget_burst=1000.0)
)
"""Tries again for as long as a restart takes."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classifiers that disagree on every flower: first.joblib says 0 of ``ROW``, second.joblib says 2."""
    folder = tmp_path_factory.mktemp("models")
    rows, labels = load_iris(return_X_y=True)
    for name, told in (("first", labels), ("second", 2 - labels)):
        joblib.dump(LogisticRegression(max_iter=500).fit(rows, told), folder / f"{name}.joblib")
    return folder


@pytest.fixture
def server(tmp_path: Path, models: Path) -> Iterator[ServiceServer]:
    with ServiceServer.start(tmp_path / "state", "--trust", models) as server:
        yield server


def iris(path: Path, **predictor: Any) -> dict[str, Any]:
    """A service whose callers stay with the revision that they have met, as long as they name themselves."""
    return manifest("iris", path, "sklearn", **predictor)


def answer(http: httpx.Client, **headers: str) -> int:
    """The label that the service gives to ``ROW``."""
    body = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": ROW[0]}]}
    got = http.post("/v2/models/iris/infer", json=body, headers=headers)
    assert got.status_code == 200, got.text
    return int(got.json()["outputs"][0]["data"][0])


@contextmanager
def load(url: str) -> Iterator[Counter[int]]:
    """One caller who never stops; yields how often each label was answered. A call that fails fails the test."""
    answers: Counter[int] = Counter()
    problems: list[Exception] = []
    stop = threading.Event()

    def ask() -> None:
        with Client(url, PATIENT) as client:
            while not stop.is_set():
                try:
                    result = client.infer("iris", {"X": np.array(ROW)})
                except Exception as error:
                    problems.append(error)
                    return
                answers[int(result.outputs["predict"][0])] += 1

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        yield answers
    finally:
        stop.set()
        caller.join(PATIENCE)
    assert not problems
    assert answers.total() > 0


def test_nobody_notices_that_a_service_is_edited_promoted_undone_and_restarted(
    server: ServiceServer, models: Path
) -> None:
    """Split right within binomial bounds and sticky, also after a restart; undone with the model and its settings."""
    first, second = models / "first.joblib", models / "second.joblib"
    server.write(iris(first, batcher={"maxBatchSize": 8}))
    server.until("iris", ready)
    users = [f"user-{number}" for number in range(400)]
    with load(server.serving.url) as answers:
        assert answer(server.http) == 0
        server.write(iris(second, batcher={"maxBatchSize": 16}, canaryTrafficPercent=10))
        server.until("iris", lambda status: split(status) == {"iris-00001": 90, "iris-00002": 10})
        canary = in_canary(server, users)
        assert 8 < len(canary) < 72  # 40 are expected; this is beyond five standard deviations of 6
        assert in_canary(server, users) == canary

        assert server.serving.stop() == 0
        server.begin_again()
        server.until("iris", lambda status: ready(status) and len(split(status)) == 2)
        assert in_canary(server, users) == canary

        server.write(iris(second, batcher={"maxBatchSize": 16}, canaryTrafficPercent=50))
        server.until("iris", lambda status: split(status) == {"iris-00001": 50, "iris-00002": 50})
        assert canary < in_canary(server, users)

        server.write(iris(second, batcher={"maxBatchSize": 16}))
        server.until("iris", lambda status: split(status) == {"iris-00002": 100})
        assert in_canary(server, users) == set(users)
        workers = {worker.pid for worker in server.serving.workers}

        [was, _] = server.revisions("iris")
        back = server.admin.put(f"{SERVICES}/iris", json=undone(server.read("iris"), was))
        assert back.status_code == 200, back.text
        server.until("iris", lambda status: split(status) == {"iris-00001": 100})
        assert in_canary(server, users) == set()
        assert server.http.get("/v2/models/iris/config").json()["max_batch_size"] == 8
        assert {worker.pid for worker in server.serving.workers} == workers  # its replicas were still there
    assert set(answers) == {0, 2}


def in_canary(server: ServiceServer, users: list[str]) -> set[str]:
    """Those who are answered by the second model."""
    return {user for user in users if answer(server.http, **{"x-request-id": user}) == 2}
