"""`tidegate serve` with manifests: what they describe is served as if it had been applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tidegate.testing.process import PATIENCE, Serving
from tidegate.testing.service_server import SERVICES

pytestmark = pytest.mark.e2e

ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}
SPEC: dict[str, Any] = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the fake model ``models/echo.fake.json``."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/echo.fake.json").write_text(json.dumps(SPEC))
    return tmp_path


def written(folder: Path, uri: str, form: str = "fake", name: str = "echo", **predictor: Any) -> Path:
    """A manifest of one service, in JSON, which is YAML."""
    model = {"modelFormat": {"name": form}, "storageUri": uri}
    service = {"apiVersion": "tidegate.dev/v1", "kind": "ModelService", "metadata": {"name": name}}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(service | {"spec": {"predictor": {"model": model, **predictor}}}))
    return path


def kinds(server: Serving) -> list[str]:
    return [event["event"] for event in server.events]


def answer(server: Serving, name: str) -> int:
    """The status of a request."""
    return httpx.post(f"{server.url}/v2/models/{name}/infer", json=ROW, timeout=PATIENCE, trust_env=False).status_code


def test_a_service_is_served_and_told_like_a_model(folder: Path) -> None:
    """Found, loaded, ready; beside a model file, and from a path that counts from the manifest."""
    manifest = written(folder, "models/echo.fake.json", name="service")
    with Serving.start(manifest, folder / "models/echo.fake.json") as server:
        ready = server.until("ready")
        assert kinds(server)[0] == "listening"
        assert sorted(kinds(server)[1:]) == ["found", "found", "loaded", "loaded", "ready"]
        [found] = [event for event in server.events if event["event"] == "found" and event["model"] == "service"]
        assert found["path"] == str(folder / "models/echo.fake.json")
        assert (found["version"], found["runtime"], found["reason"]) == ("1", "fake", "its name ends in .fake.json")
        assert (ready["loaded"], ready["failed"]) == (2, 0)
        assert (answer(server, "service"), answer(server, "echo")) == (200, 200)
        assert server.stop() == 0


def test_what_is_wrong_with_one_leaves_the_other(folder: Path) -> None:
    """It is told with its reason, and answers 503."""
    good, bad = written(folder, "models/echo.fake.json"), written(folder, "models/none.fake.json", name="bad")
    with Serving.start(good, bad) as server:
        ready = server.until("ready")
        [failed] = [event for event in server.events if event["event"] == "loadfailed"]
        assert (failed["model"], failed["version"], failed["serving"]) == ("bad", "", False)
        assert "does not exist" in failed["reason"]
        assert (ready["loaded"], ready["failed"]) == (1, 1)
        assert (answer(server, "echo"), answer(server, "bad")) == (200, 503)
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        pytest.param("{", (), 1, id="broken"),
        pytest.param(json.dumps(SPEC | {"load_seconds": 60}), ("--ready-timeout", "0.5"), 3, id="late"),
    ],
)
def test_nothing_that_was_typed_can_be_served(folder: Path, content: str, options: tuple[str, ...], code: int) -> None:
    """The server ends by itself, as it does for model files."""
    (folder / "models/echo.fake.json").write_text(content)
    with Serving.start(written(folder, "models/echo.fake.json"), *options) as server:
        assert server.process.wait(PATIENCE) == code
        assert server.process.stdout is not None
        assert '"loadfailed"' in server.process.stdout.read()


def test_what_is_stored_is_served_without_a_path_and_can_be_mended(folder: Path) -> None:
    """Scaled meanwhile it stays so, also beside its manifest, which warns; what fails does not end the server."""
    manifest = written(folder, "models/echo.fake.json", replicas=1)
    state = ("--state-directory", folder / "state")
    with Serving.start(manifest, *state) as server:
        server.until("ready")
        scaled = {"spec": {"predictor": {"replicas": 2}}}
        kind = {"content-type": "application/merge-patch+json"}
        path = f"{server.admin}{SERVICES}/echo"
        httpx.patch(path, json=scaled, headers=kind, trust_env=False).raise_for_status()
        assert server.stop() == 0
    with Serving.start(manifest, *state) as server:
        server.until("ready")
        [warned] = [event for event in server.events if event["event"] == "warned"]
        assert warned["place"] == f"{manifest}:1"
        assert "spec.predictor.replicas" in warned["message"]
        assert server.stop() == 0
    with Serving.start(*state) as server:
        assert server.until("ready")["loaded"] == 1
        assert answer(server, "echo") == 200
        service = httpx.get(f"{server.admin}{SERVICES}/echo", trust_env=False).json()
        assert service["spec"]["predictor"]["replicas"] == 2
        assert server.stop() == 0


def test_a_server_without_anything_waits_for_services(folder: Path) -> None:
    """It is ready, and says what would give it something to do."""
    with Serving.start() as server:
        assert (server.until("ready")["loaded"], server.events[-1]["failed"]) == (0, 0)
        assert "nothing is served yet; `tidegate apply -f FILE` adds a service" in server.told
        path = f"{server.admin}{SERVICES}"
        service = json.loads(written(folder, str(folder / "models/echo.fake.json")).read_text())
        httpx.post(path, json=service, trust_env=False).raise_for_status()
        assert server.until("loaded")["model"] == "echo"
        httpx.delete(f"{path}/echo", trust_env=False).raise_for_status()
        assert server.until("unloaded")["model"] == "echo"
        assert server.stop() == 0


@pytest.mark.framework
def test_a_typed_manifest_vouches_for_what_it_names(folder: Path) -> None:
    """As a path that is typed itself; with --untrusted it does not."""
    model = LogisticRegression().fit(np.eye(2), [0, 1])
    joblib.dump(model, folder / "models/iris.joblib")
    manifest = written(folder, "models/iris.joblib", "sklearn", name="iris")
    with Serving.start(manifest) as server:
        assert server.until("ready")["loaded"] == 1
        assert server.stop() == 0
    with Serving.start(manifest, "--untrusted") as server:
        assert "a path typed on the command line" in server.until("loadfailed")["reason"]
        assert server.process.wait(PATIENCE) == 1
