"""Kubernetes' own clients against the running server: what they write is run, and what they wait for comes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.testing.kubectl import program
from tidegate.testing.service_server import SERVICES, ServiceServer, manifest, ready, split

client: Any = pytest.importorskip("kubernetes.client", reason="the client 'kubernetes' is not installed")
aio: Any = pytest.importorskip("kubernetes.aio", reason="the client 'kubernetes' is not installed")
watch: Any = pytest.importorskip("kubernetes.watch", reason="the client 'kubernetes' is not installed")

pytestmark = pytest.mark.e2e

PLACE = {"group": "tidegate.dev", "version": "v1", "namespace": "default", "plural": "modelservices"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("a", "b"):
        (folder / f"{name}.fake.json").write_text(
            json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}) + " " * len(name)
        )
    (folder / "b.fake.json").write_text(json.dumps({"inputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]}))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceServer]:
    with ServiceServer.start(tmp_path_factory.mktemp("state"), "--threads", "1") as server:
        yield server


@pytest.mark.recorded
def test_kubectl_runs_a_service(server: ServiceServer, models: Path, tmp_path: Path) -> None:
    """apply, wait, get, scale, diff, describe, explain and delete, and the model answers in between."""
    found = program()
    if not found:
        pytest.skip("kubectl 1.27 or newer is not installed; its recorded requests are asked in test_kubectl.py")

    def kubectl(*words: str, code: int = 0) -> str:
        command = [found, "--server", server.serving.admin, "--cache-dir", str(tmp_path / "cache"), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(manifest("rose", models / f"{name}.fake.json", "fake")))
    assert kubectl("apply", "-f", "a.yaml") == "modelservice.tidegate.dev/rose created\n"
    kubectl("wait", "--for=condition=Ready", "modelservice/rose", "--timeout=60s")
    assert asked(server, "rose", "x") == 200
    assert "rose-00001" in kubectl("get", "servingrevisions")
    assert "storageUri" in kubectl("diff", "-f", "b.yaml", code=1)
    assert kubectl("apply", "-f", "b.yaml") == "modelservice.tidegate.dev/rose configured\n"
    server.until("rose", lambda status: split(status) == {"rose-00002": 100})
    assert asked(server, "rose", "y") == 200
    assert kubectl("scale", "msvc/rose", "--replicas=2") == "modelservice.tidegate.dev/rose scaled\n"
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "msvc/rose", "--timeout=60s")
    assert len(server.read("rose")["status"]["components"]["predictor"]["traffic"]) == 1
    assert "RolledOut" in kubectl("describe", "msvc", "rose")
    assert "modelFormat" in kubectl("explain", "modelservice.spec.predictor.model")
    assert kubectl("delete", "msvc", "rose") == 'modelservice.tidegate.dev "rose" deleted\n'
    assert asked(server, "rose", "y") == 404


def test_the_python_client_runs_a_service(server: ServiceServer, models: Path) -> None:
    """kubernetes 37: create, watch until it is ready, patch, scale, delete."""
    configuration = client.Configuration(host=server.serving.admin)
    with client.ApiClient(configuration) as connection:
        api = client.CustomObjectsApi(connection)
        api.create_namespaced_custom_object(**PLACE, body=manifest("iris", models / "a.fake.json", "fake"))
        for event in watch.Watch().stream(api.list_namespaced_custom_object, **PLACE, timeout_seconds=60):
            if event["object"]["metadata"]["name"] == "iris" and ready(event["object"].get("status", {})):
                break
        assert asked(server, "iris", "x") == 200
        patch = {"spec": {"predictor": {"model": {"storageUri": f"file://{models / 'b.fake.json'}"}}}}
        api.patch_namespaced_custom_object(**PLACE, name="iris", body=patch)
        server.until("iris", lambda status: split(status) == {"iris-00002": 100})
        assert asked(server, "iris", "y") == 200
        api.patch_namespaced_custom_object_scale(**PLACE, name="iris", body={"spec": {"replicas": 2}})
        server.until("iris", lambda status: status.get("replicas") == 2)
        api.delete_namespaced_custom_object(**PLACE, name="iris")
    assert server.admin.get(f"{SERVICES}/iris").status_code == 404


def test_the_asynchronous_client_runs_a_service(server: ServiceServer, models: Path) -> None:
    """The same by kubernetes.aio."""

    async def run() -> None:
        configuration = aio.client.Configuration(host=server.serving.admin)
        async with aio.client.ApiClient(configuration) as connection:
            api = aio.client.CustomObjectsApi(connection)
            await api.create_namespaced_custom_object(**PLACE, body=manifest("tulip", models / "a.fake.json", "fake"))
            async with aio.watch.Watch() as watched:
                async for event in watched.stream(api.list_namespaced_custom_object, **PLACE, timeout_seconds=60):
                    told = event["object"]
                    if told["metadata"]["name"] == "tulip" and ready(told.get("status", {})):
                        break
            assert asked(server, "tulip", "x") == 200
            await api.patch_namespaced_custom_object_scale(**PLACE, name="tulip", body={"spec": {"replicas": 2}})
            await asyncio.to_thread(server.until, "tulip", lambda status: status.get("replicas") == 2)
            await api.delete_namespaced_custom_object(**PLACE, name="tulip")

    asyncio.run(run())
    assert server.admin.get(f"{SERVICES}/tulip").status_code == 404


def asked(server: ServiceServer, model: str, name: str) -> int:
    """The status of the answer to a request with an input of this name."""
    row = {"inputs": [{"name": name, "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}
    return server.http.post(f"/v2/models/{model}/infer", json=row).status_code
