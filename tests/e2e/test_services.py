"""A service's life, live and with real models: applied, split, promoted, undone, restarted, and nobody notices."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
from tidegate.testing.process import PATIENCE, Serving

pytestmark = [pytest.mark.e2e, pytest.mark.framework]

PATH = "/apis/tidegate.dev/v1/namespaces/default/modelservices"
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


class Cluster:
    """A server with a state directory, which can be started again on its ports."""

    def __init__(self, state: Path, models: Path) -> None:
        self._words: list[str | Path] = ["--state-directory", state, "--trust", models]
        self.server = Serving.start(*self._words)
        self.server.until("ready")
        listening = self.server.events[0]
        for port in ("http", "grpc", "admin", "status"):
            self._words += [f"--{port}-port", listening[port].rpartition(":")[2]]
        self.admin = httpx.Client(base_url=self.server.admin, trust_env=False, timeout=PATIENCE)

    def restart(self) -> None:
        assert self.server.stop() == 0
        self.server.close()
        self.server = Serving.start(*self._words)
        self.server.until("ready")

    def write(self, service: dict[str, Any]) -> dict[str, Any]:
        """Apply a manifest."""
        answer = self.admin.patch(
            f"{PATH}/{service['metadata']['name']}",
            params={"fieldManager": "test", "force": "true"},
            json=service,
            headers={"content-type": "application/apply-patch+yaml"},
        )
        assert answer.status_code in (200, 201), answer.text
        written: dict[str, Any] = answer.json()
        return written

    def until(self, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The service once its status is of its newest generation and holds; looked at again and again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            service: dict[str, Any] = self.admin.get(f"{PATH}/{name}").json()
            status = service.get("status", {})
            if status.get("observedGeneration") == service["metadata"]["generation"] and holds(status):
                return service
            assert time.monotonic() < deadline, service

    def close(self) -> None:
        self.admin.close()
        if self.server.process.poll() is None:
            assert self.server.stop() == 0
        self.server.close()


@pytest.fixture
def cluster(tmp_path: Path, models: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "state", models)
    try:
        yield cluster
    finally:
        cluster.close()


def manifest(path: Path, **predictor: Any) -> dict[str, Any]:
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": f"file://{path}"}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": "iris", "namespace": "default"},
        "spec": {"predictor": {"model": model, **predictor}, "rollout": {"sticky": {"header": "x-user"}}},
    }


def ready(status: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))


def split(status: dict[str, Any]) -> dict[str, int]:
    """Per cent of the traffic by revision."""
    traffic = status.get("components", {}).get("predictor", {}).get("traffic", ())
    return {each["revisionName"]: each["percent"] for each in traffic if each.get("percent")}


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
                answers[int(result["predict"][0])] += 1

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        yield answers
    finally:
        stop.set()
        caller.join(PATIENCE)
    assert not problems
    assert answers.total() > 0


def test_nobody_notices_that_a_service_is_edited_promoted_undone_and_restarted(cluster: Cluster, models: Path) -> None:
    """Split right within binomial bounds and sticky, also after a restart; undone with the model and its settings."""
    cluster.write(manifest(models / "first.joblib", batcher={"maxBatchSize": 8}))
    cluster.until("iris", ready)
    with load(cluster.server.url) as answers, httpx.Client(base_url=cluster.server.url, trust_env=False) as http:
        assert answer(http) == 0
        cluster.write(manifest(models / "second.joblib", batcher={"maxBatchSize": 16}, canaryTrafficPercent=10))
        cluster.until("iris", lambda status: split(status) == {"iris-00001": 90, "iris-00002": 10})
        users = {f"user-{number}": answer(http, **{"x-user": f"user-{number}"}) for number in range(1000)}
        canary = {user for user, label in users.items() if label == 2}
        assert 50 < len(canary) < 150  # 100 expected; beyond five standard deviations, which are 9.5 each
        assert {user for user in users if answer(http, **{"x-user": user}) == 2} == canary

        cluster.restart()
        cluster.until("iris", lambda status: ready(status) and split(status) == {"iris-00001": 90, "iris-00002": 10})
        assert {user for user in users if patient(http, user) == 2} == canary

        cluster.write(manifest(models / "second.joblib", batcher={"maxBatchSize": 16}, canaryTrafficPercent=50))
        cluster.until("iris", lambda status: split(status) == {"iris-00001": 50, "iris-00002": 50})
        more = {user for user in users if answer(http, **{"x-user": user}) == 2}
        assert canary < more

        cluster.write(manifest(models / "second.joblib", batcher={"maxBatchSize": 16}))
        cluster.until("iris", lambda status: split(status) == {"iris-00002": 100})
        assert {answer(http, **{"x-user": user}) for user in list(users)[:100]} == {2}
        workers = {worker.pid for worker in cluster.server.workers}

        cluster.write(manifest(models / "first.joblib", batcher={"maxBatchSize": 8}))
        cluster.until("iris", lambda status: split(status) == {"iris-00001": 100})
        assert {answer(http, **{"x-user": user}) for user in list(users)[:100]} == {0}
        assert http.get("/v2/models/iris/config").json()["max_batch_size"] == 8
        assert {worker.pid for worker in cluster.server.workers} == workers  # its replicas were still there
        assert set(answers) == {0, 2}


def patient(http: httpx.Client, user: str) -> int:
    """As ``answer``; the connection may be one that ended with the server before."""
    try:
        return answer(http, **{"x-user": user})
    except httpx.RemoteProtocolError:
        return answer(http, **{"x-user": user})
