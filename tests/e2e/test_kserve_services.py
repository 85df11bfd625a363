"""KServe's manifests on models of this machine: as published, but for where the model lies."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.client import Client
from tidegate.resources.manifest import read_manifests
from tidegate.testing.service_server import INFERENCE_SERVICES, Document, ServiceServer, ready, split
from tidegate.testing.zoo import lightgbm, onnx, sklearn, tensorflow, torch, xgboost

pytestmark = [pytest.mark.e2e, pytest.mark.framework]

FOLDER = Path(__file__).parents[1] / "resources" / "kserve"
PUBLISHED = {
    document.value["metadata"]["name"]: document.value
    for path in sorted(FOLDER.iterdir())
    for document in read_manifests(path.read_bytes())
}
MODELS = {
    "sklearn": sklearn.CASES[0],
    "xgboost": xgboost.CASES[0],
    "lightgbm": lightgbm.CASES[0],
    "onnx": onnx.CASES[0],
    "pytorch": torch.CASES[0],
    "tensorflow": tensorflow.CASES[0],
}
SERVED = {
    "old-sklearn": "sklearn",
    "old-xgboost": "xgboost",
    "old-lightgbm": "lightgbm",
    "old-onnx": "onnx",
    "old-pytorch": "pytorch",
    "old-in-full": "tensorflow",
    "sklearn-v2": "sklearn",
    "by-mlserver": "xgboost",
    "as-a-python-client-sends-it": "sklearn",
    "to-zero": "sklearn",
    "batches-and-logs": "sklearn",
    "by-processor": "sklearn",
}
"""Published manifests, by name, and the model that each is given: old keys and ``model``, protocols, runtimes by name
and by version, replicas, scaling, batches, what pods need."""
LEFT_OUT = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "namespace"}
"""What a server has written, and where it was."""
STOPPED = "it is stopped: it is to have no replicas"
ROW = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each framework; ``first`` says 0 of ``ROW``, ``second`` 2."""
    folder = tmp_path_factory.mktemp("models")
    paths = {name: case.lay_down(folder / name) for name, case in MODELS.items()}
    rows, labels = load_iris(return_X_y=True)
    for name, told in (("first", labels), ("second", 2 - labels)):
        paths[name] = folder / f"{name}.joblib"
        joblib.dump(LogisticRegression(max_iter=500).fit(rows, told), paths[name])
    return paths


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Iterator[ServiceServer]:
    """One for all tests: each has services of its own names."""
    words = ("--trust", models["first"].parent, "--threads", "1", "--keep-previous", "0")
    with ServiceServer.start(tmp_path_factory.mktemp("server") / "state", *words) as server:
        yield server


def placed(name: str, path: Path) -> Document:
    """A published manifest, with its models where this machine has one."""
    document: Document = copy.deepcopy(PUBLISHED[name])
    document["metadata"] = {field: told for field, told in document["metadata"].items() if field not in LEFT_OUT}
    document.pop("status", None)
    _place(document, path.as_uri())
    return document


def _place(part: Any, uri: str) -> None:
    if isinstance(part, dict):
        if "storageUri" in part:
            part["storageUri"] = uri
        for each in part.values():
            _place(each, uri)


def iris(name: str, path: Path, annotations: dict[str, str] | None = None, **predictor: Any) -> Document:
    """A manifest of a scikit-learn model, as KServe's first page has it."""
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": path.as_uri()}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"predictor": {"model": model, **predictor}},
    }


def written(server: ServiceServer, service: Document) -> Document:
    """Apply it; returns its status once it answers."""
    server.write(service)
    status: Document = server.until(service["metadata"]["name"], ready, INFERENCE_SERVICES)["status"]
    return status


def label(server: ServiceServer, path: str, **headers: str) -> int:
    """What the model says of ``ROW``, by v2."""
    body = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": ROW}]}
    answer = server.http.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["outputs"][0]["data"][0])


def counted(server: ServiceServer, name: str, times: int) -> Counter[int]:
    return Counter(label(server, f"/v2/models/{name}/infer") for _ in range(times))


def test_published_manifests_run(server: ServiceServer, models: dict[str, Path]) -> None:
    """Each is ready in KServe's form, and answers v1 and v2 as its framework does, at the addresses of its status."""
    for name, form in SERVED.items():
        server.write(placed(name, models[form]))
    renewed = placed("old-tensorflow", models["tensorflow"])
    told = renewed["spec"]["predictor"].pop("tensorflow")
    renewed["spec"]["predictor"]["model"] = {"modelFormat": {"name": "tensorflow"}, "protocolVersion": "v2", **told}
    server.write(renewed)
    for name, form in {**SERVED, "old-tensorflow": "tensorflow"}.items():
        status = server.until(name, ready, INFERENCE_SERVICES)["status"]
        check_form(name, status)
        check_answers(server, name, status, form, models[form])


def check_form(name: str, status: Document) -> None:
    """Ready as PredictorReady and IngressReady are; one revision with all of the traffic, loaded."""
    told = {each["type"]: each["status"] for each in status["conditions"]}
    assert [told[each] for each in ("Ready", "PredictorReady", "IngressReady", "LatestDeploymentReady")] == ["True"] * 4
    predictor, revision = status["components"]["predictor"], f"{name}-00001"
    for field in ("latestCreatedRevision", "latestReadyRevision", "latestRolledoutRevision"):
        assert predictor[field] == revision
    assert predictor["traffic"] == [
        {"revisionName": revision, "percent": 100, "latestRevision": True, "tag": "latest"},
    ]
    assert status["modelStatus"] == {
        "transitionStatus": "UpToDate",
        "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
        "copies": {"failedCopies": 0, "totalCopies": 1},
    }


def check_answers(server: ServiceServer, name: str, status: Document, form: str, path: Path) -> None:
    case = MODELS[form]
    inputs = {tensor: rows[:4] for tensor, rows in case.sample().items()}
    wanted = case.expected(path, inputs)
    v2, v1 = status["components"]["predictor"]["restUrl"], f"{status['url']}/v1/models/{name}"
    assert server.http.get(f"{v2}/ready").status_code == 200
    assert server.http.get(v1).json() == {"name": name, "ready": True}
    rows = [
        {tensor: each.tolist() for tensor, each in zip(inputs, row, strict=True)}
        for row in zip(*inputs.values(), strict=True)
    ]
    answer = server.http.post(f"{v1}:predict", json={"instances": rows})
    assert answer.status_code == 200, answer.text
    for output, told in wanted.items():
        got = [row[output] if isinstance(row, dict) else row for row in answer.json()["predictions"]]
        np.testing.assert_allclose(np.array(got), told, rtol=1e-5, atol=1e-5)
    with Client(server.serving.url) as client:
        for output, array in client.infer(name, inputs).outputs.items():
            np.testing.assert_allclose(array, wanted[output], rtol=1e-5, atol=1e-5)


def test_a_service_is_addressed_as_behind_kserves_ingress(server: ServiceServer, models: dict[str, Path]) -> None:
    """By its host, also one revision by tag, and over gRPC by authority or name."""
    server.write(iris("hosted", models["first"], minReplicas=2, maxReplicas=4))
    server.until("hosted", lambda status: status.get("replicas") == 2, INFERENCE_SERVICES)
    for host in ("hosted-default.example.com", "latest-hosted-default.example.com"):
        assert label(server, "/v2/models/hosted/infer", host=host) == 0
    answer = server.http.post(
        "/v1/models/hosted:predict", json={"instances": [ROW]}, headers={"host": "hosted-default.example.com"}
    )
    assert answer.json()["predictions"][0]["predict"] == 0
    with Client(f"grpc://{server.serving.grpc}") as client:
        assert client.infer("hosted", {"X": np.array([ROW])}).outputs["predict"].tolist() == [0]


def test_a_canary_by_percent(server: ServiceServer, models: dict[str, Path]) -> None:
    """The first deployment ignores it; then it splits; 0 holds back; without it the newest has all."""
    first, second = models["first"], models["second"]
    status = written(server, iris("split", first, canaryTrafficPercent=10))
    assert split(status) == {"split-00001": 100}

    server.write(iris("split", second, canaryTrafficPercent=10))
    status = server.until("split", lambda status: len(split(status)) == 2, INFERENCE_SERVICES)["status"]
    predictor = status["components"]["predictor"]
    assert predictor["traffic"] == [
        {"revisionName": "split-00001", "percent": 90, "latestRevision": False, "tag": "prev"},
        {"revisionName": "split-00002", "percent": 10, "latestRevision": True, "tag": "latest"},
    ]
    assert predictor["latestReadyRevision"] == "split-00002"
    assert predictor["latestRolledoutRevision"] == "split-00001"
    times, share = 600, 0.1
    spread = 5 * math.sqrt(times * share * (1 - share))  # five standard deviations: one run in a million fails
    assert abs(counted(server, "split", times)[2] - times * share) < spread
    assert label(server, "/v2/models/split/versions/latest/infer") == 2
    assert label(server, "/v2/models/split/versions/prev/infer") == 0

    server.write(iris("split", second, canaryTrafficPercent=0))
    status = server.until("split", lambda status: split(status) == {"split-00001": 100}, INFERENCE_SERVICES)["status"]
    assert {each["tag"]: each["percent"] for each in status["components"]["predictor"]["traffic"]} == {
        "prev": 100,
        "latest": 0,
    }
    assert counted(server, "split", 50) == {0: 50}
    assert label(server, "/v2/models/split/versions/latest/infer") == 2

    server.write(iris("split", second))
    status = server.until("split", lambda status: split(status) == {"split-00002": 100}, INFERENCE_SERVICES)["status"]
    assert counted(server, "split", 50) == {2: 50}
    assert status["components"]["predictor"]["previousRolledoutRevision"] == "split-00001"


def test_canaries_of_a_list(server: ServiceServer, models: dict[str, Path]) -> None:
    """As in Standard mode: each has its share, a dark one can be asked for, one that is promoted does not restart."""
    name = "canary-by-list"
    document = placed(name, models["first"])
    stable, (light, dark) = document["spec"]["predictor"], document["spec"]["canary"]
    light["predictor"]["model"]["storageUri"] = models["second"].as_uri()
    dark["predictor"]["model"]["storageUri"] = models["sklearn"].as_uri()
    stable["minReplicas"] = 1
    server.write(document)
    shown = {"v2": (True, 25), "v3": (True, 0)}  # who of the three is resolved first has the lowest number
    status = server.until(
        name, lambda status: set(split(status).values()) == {75, 25} and canaries(status) == shown, INFERENCE_SERVICES
    )["status"]
    told = {each["type"]: (each["status"], each.get("severity")) for each in status["conditions"]}
    assert (told["Ready"], told["CanaryPredictorReady"]) == (("True", None), ("True", "Info"))
    revisions = {each["name"]: each["revisionName"] for each in status["canaryStatuses"]}
    assert split(status) == {status["components"]["predictor"]["latestReadyRevision"]: 75, revisions["v2"]: 25}
    assert set(counted(server, name, 100)) == {0, 2}
    number = revisions["v3"].removeprefix(f"{name}-").lstrip("0")
    assert label(server, f"/v2/models/{name}/infer", **{"tidegate-revision": number}) == 0
    workers = {worker.pid for worker in server.serving.workers}

    document["spec"] = {"predictor": {**stable, **light["predictor"]}}
    server.write(document)
    status = server.until(name, lambda status: split(status) == {revisions["v2"]: 100}, INFERENCE_SERVICES)["status"]
    assert canaries(status) == {}
    assert counted(server, name, 50) == {2: 50}
    assert {worker.pid for worker in server.serving.workers} <= workers


def canaries(status: Document) -> dict[str, tuple[bool, int]]:
    """Whether each is ready, and its share."""
    return {each["name"]: (each["ready"], each["trafficPercent"]) for each in status.get("canaryStatuses", ())}


def test_a_service_is_stopped_and_started_again(server: ServiceServer, models: dict[str, Path]) -> None:
    """By KServe's annotation: its callers are told so, and nothing of it runs."""
    stop = "serving.kserve.io/stop"
    written(server, iris("halted", models["first"]))
    server.write(iris("halted", models["first"], {stop: "true"}))
    status = server.until("halted", lambda status: not ready(status), INFERENCE_SERVICES)["status"]
    told = {each["type"]: each["status"] for each in status["conditions"]}
    assert (told["Stopped"], told["Ready"]) == ("True", "False")
    answer = server.http.get("/v2/models/halted/ready")
    assert (answer.status_code, answer.json()) == (503, {"error": f"model 'halted' is not ready: {STOPPED}"})
    written(server, iris("halted", models["first"], {stop: "false"}))
    assert label(server, "/v2/models/halted/infer") == 0
