"""The official Python client for Kubernetes, sync and async, against a listening admin port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.testing.admin import Administered
from tidegate.testing.api import APPLY, JSON_PATCH, inference_service, model_service

client: Any = pytest.importorskip("kubernetes.client", reason="the client 'kubernetes' is not installed")
aio: Any = pytest.importorskip("kubernetes.aio", reason="the client 'kubernetes' is not installed")
watch: Any = pytest.importorskip("kubernetes.watch", reason="the client 'kubernetes' is not installed")
dynamic: Any = pytest.importorskip("kubernetes.dynamic", reason="the client 'kubernetes' is not installed")
pytestmark = pytest.mark.e2e
OURS = ("tidegate.dev", "v1", "default", "modelservices")
THEIRS = ("serving.kserve.io", "v1beta1", "default", "inferenceservices")


class OneToken:
    async def recognise(self, credentials: Credentials) -> Identity | None:
        return Identity("ann", Proof.KEY, role=Role.EDIT) if credentials.token == "secret" else None


@contextmanager
def listening(scheme: str, directory: Path, *, ready: bool) -> Iterator[Any]:
    """The configuration of a client for a port without tokens, or for one with them."""
    tokens = Authenticator(OneToken()) if scheme == "https" else None
    with Administered.start(directory / "state", authenticator=tokens, ready=ready) as admin:
        found = client.Configuration(host=admin.url)
        if admin.server.certificate is not None:
            authority = directory / "authority.pem"
            authority.write_bytes(admin.server.certificate.authority)
            found.ssl_ca_cert = str(authority)
            found.api_key = {"authorization": "Bearer secret"}
        yield found


@pytest.fixture(params=["http", "https"])
def configuration(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Of a client; nobody else writes to the resources."""
    with listening(request.param, tmp_path, ready=False) as found:
        yield found


@pytest.fixture(params=["http", "https"])
def tended(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Of a client; services become ready."""
    with listening(request.param, tmp_path, ready=True) as found:
        yield found


def test_the_sync_client_does_all_that_it_can(configuration: Any) -> None:
    """Create, get, list, patch in four ways, replace, scale, watch, delete; and its exceptions are the right ones."""
    with client.ApiClient(configuration) as connection:
        api = client.CustomObjectsApi(connection)
        made = api.create_namespaced_custom_object(*OURS, model_service(minReplicas=1))
        assert api.get_namespaced_custom_object(*OURS, "iris")["metadata"]["uid"] == made["metadata"]["uid"]
        with pytest.raises(client.ApiException) as caught:
            api.create_namespaced_custom_object(*OURS, model_service())
        assert caught.value.status == 409
        patched = api.patch_namespaced_custom_object(*OURS, "iris", {"spec": {"predictor": {"minReplicas": 2}}})
        assert patched["spec"]["predictor"]["minReplicas"] == 2
        operations: Any = [{"op": "replace", "path": "/spec/predictor/minReplicas", "value": 3}]
        patched = api.patch_namespaced_custom_object(*OURS, "iris", operations, _content_type=JSON_PATCH)
        assert patched["spec"]["predictor"]["minReplicas"] == 3
        applied = model_service(maxReplicas=9)
        patched = api.patch_namespaced_custom_object(
            *OURS, "iris", applied, field_manager="me", force=True, _content_type=APPLY
        )
        assert patched["spec"]["predictor"]["maxReplicas"] == 9
        with pytest.raises(client.ApiException) as caught:
            api.patch_namespaced_custom_object(
                *OURS, "iris", model_service(maxReplicas=8), field_manager="you", _content_type=APPLY
            )
        assert caught.value.status == 409
        stale = {**made, "spec": patched["spec"]}
        with pytest.raises(client.ApiException) as caught:
            api.replace_namespaced_custom_object(*OURS, "iris", stale)
        assert caught.value.status == 409
        now = api.get_namespaced_custom_object(*OURS, "iris")
        now["spec"]["predictor"]["minReplicas"] = 1
        assert api.replace_namespaced_custom_object(*OURS, "iris", now)["spec"]["predictor"]["minReplicas"] == 1
        scaled = api.patch_namespaced_custom_object_scale(*OURS, "iris", {"spec": {"replicas": 4}})
        assert scaled["spec"]["replicas"] == 4
        page = api.list_namespaced_custom_object(*OURS, limit=1)
        assert [item["metadata"]["name"] for item in page["items"]] == ["iris"]
        dry = api.create_namespaced_custom_object(*OURS, model_service("rose"), dry_run="All")
        assert dry["metadata"]["name"] == "rose"
        api.delete_namespaced_custom_object(*OURS, "iris")
        with pytest.raises(client.ApiException) as caught:
            api.get_namespaced_custom_object(*OURS, "iris")
        assert caught.value.status == 404


def test_the_sync_client_watches(tended: Any) -> None:
    """From a list on, with bookmarks; a version that is not kept is 410."""
    with client.ApiClient(tended) as connection:
        api = client.CustomObjectsApi(connection)
        version = api.list_namespaced_custom_object(*THEIRS)["metadata"]["resourceVersion"]
        api.create_namespaced_custom_object(*THEIRS, inference_service())
        stream = watch.Watch()
        for event in stream.stream(api.list_namespaced_custom_object, *THEIRS, resource_version=version):
            ready = event["object"].get("status", {}).get("conditions", [{}])[0].get("status")
            if ready == "True":
                stream.stop()
        assert ready == "True"
        with pytest.raises(client.ApiException) as caught:
            for _ in watch.Watch().stream(api.list_namespaced_custom_object, *THEIRS, resource_version="999999"):
                pass
        assert caught.value.status == 410


def test_the_dynamic_client_discovers(configuration: Any) -> None:
    """By the older form of discovery."""
    with client.ApiClient(configuration) as connection:
        found = dynamic.DynamicClient(connection).resources.get(api_version="tidegate.dev/v1", kind="ModelService")
        found.create(body=model_service(), namespace="default")
        assert found.get(name="iris", namespace="default").spec.predictor.model.storageUri == "/models/iris"
        assert [item.metadata.name for item in client.CoreV1Api(connection).list_namespace().items] == ["default"]
        assert client.VersionApi(connection).get_code().major == "1"


def test_the_async_client_does_the_same(tended: Any) -> None:
    """Create, get, list, patch, replace, watch, delete."""

    async def main() -> None:
        own = aio.client.Configuration(host=tended.host)
        own.ssl_ca_cert, own.api_key = tended.ssl_ca_cert, tended.api_key
        async with aio.client.ApiClient(own) as connection:
            api = aio.client.CustomObjectsApi(connection)
            made = await api.create_namespaced_custom_object(*OURS, model_service())
            async with aio.watch.Watch() as stream:
                async for event in stream.stream(api.list_namespaced_custom_object, *OURS):
                    if "status" in event["object"]:
                        break
            patch = {"metadata": {"labels": {"a": "b"}}}
            patched = await api.patch_namespaced_custom_object(*OURS, "iris", patch)
            assert patched["metadata"]["labels"] == {"a": "b"}
            with pytest.raises(aio.client.ApiException) as caught:
                await api.replace_namespaced_custom_object(*OURS, "iris", made)
            assert caught.value.status == 409
            now = await api.get_namespaced_custom_object(*OURS, "iris")
            await api.replace_namespaced_custom_object(*OURS, "iris", now)
            assert len((await api.list_namespaced_custom_object(*OURS))["items"]) == 1
            await api.delete_namespaced_custom_object(*OURS, "iris")
            with pytest.raises(aio.client.ApiException) as caught:
                await api.get_namespaced_custom_object(*OURS, "iris")
            assert caught.value.status == 404

    asyncio.run(main())
