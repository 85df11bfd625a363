"""Manifests that were typed: where their models lie, and how they come into the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from tidegate.app.manifests import ManifestsRefused, TypedManifest, located, named_models, write
from tidegate.client.resource_calls import SERVE
from tidegate.control.api.namespaces import Namespaces
from tidegate.control.api.parameters import WriteOptions
from tidegate.control.api.served import served_of
from tidegate.control.api.settings import ApiSettings
from tidegate.control.api.target import Target
from tidegate.control.api.writing import Writer
from tidegate.resources.document import GroupKind, Key
from tidegate.testing.clock import run_virtual
from tidegate.testing.store import MemoryStore

SERVICE = GroupKind("tidegate.dev", "ModelService")
IRIS = Key(SERVICE, "default", "iris")


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs in an event loop of its own."""

    @wraps(test)
    def run() -> None:
        run_virtual(test())

    return run


def service(uri: str = "/m/iris.joblib", *, name: str = "iris", namespace: str = "default", **more: Any) -> Any:
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": uri}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"predictor": {"model": model, **more}},
    }


def typed(*documents: Any) -> list[TypedManifest]:
    return [TypedManifest(f"services.yaml:{line}", document) for line, document in enumerate(documents, 1)]


class Desk:
    """A store and whoever writes into it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.namespaces = Namespaces(self.store)
        self.writer = Writer(self.store, self.namespaces, ApiSettings(), time.time)

    async def apply(self, manager: str, document: Any) -> None:
        """As a caller of the resource API does."""
        target = Target(served_of(SERVICE), "default", "iris")
        await self.writer.apply(target, document, WriteOptions(manager=manager, force=True))

    async def stored(self) -> Any:
        return (await self.store.get(IRIS))["spec"]["predictor"]


async def desk() -> Desk:
    made = Desk()
    await made.namespaces.prepare()
    return made


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("iris.joblib", "/here/iris.joblib"),
        ("models/iris", "/here/models/iris"),
        ("../iris", "/iris"),
        ("/m/iris", "/m/iris"),
        ("file:///m/iris", "file:///m/iris"),
        ("s3://bucket/iris", "s3://bucket/iris"),
        ("", ""),
    ],
)
def test_relative_paths_count_from_the_manifest(uri: str, path: str) -> None:
    """And what is stored means the same wherever the next server is started; the document that was read stays."""
    document = service(uri, canary=[])
    told = located(document, Path("/here"))
    assert told["spec"]["predictor"]["model"]["storageUri"] == path
    assert document["spec"]["predictor"]["model"]["storageUri"] == uri


def test_the_paths_of_all_its_models_are_named() -> None:
    """Those of canaries and of KServe's old keys, and none of another machine."""
    document = service("/m/stable")
    document["spec"]["canary"] = [{"predictor": {"model": {"storageUri": "file:///m/canary"}}, "trafficPercent": 5}]
    old = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "old"}}
    old |= {"spec": {"predictor": {"sklearn": {"storageUri": "/m/old"}}}}
    paths = named_models(typed(document, old, service("gs://bucket/far")))
    assert paths == (Path("/m/stable"), Path("/m/canary"), Path("/m/old"))


@in_virtual_time
async def test_they_are_written_as_the_resource_api_writes_them() -> None:
    """In their one form, owned by the server's start, a namespace before what is in it."""
    here = await desk()
    team = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    assert await write(here.writer, typed(service(namespace="team"), service(), team)) == []
    stored = await here.store.get(IRIS)
    assert [each["manager"] for each in stored["metadata"]["managedFields"]] == [SERVE]
    assert await here.store.get(Key(SERVICE, "team", "iris"))


@in_virtual_time
async def test_all_that_is_wrong_is_told_and_nothing_written() -> None:
    """Faults that only the store shows, too: there is no such namespace."""
    here = await desk()
    bad = service(name="bad", batcher={"maxBatchSize": 0})
    with pytest.raises(ManifestsRefused) as refused:
        await write(here.writer, typed(service(), bad, service(namespace="nowhere")))
    assert [place for place, _ in refused.value.faults] == ["services.yaml:2", "services.yaml:3"]
    assert "spec.predictor.batcher.maxBatchSize" in refused.value.faults[0][1]
    assert "'nowhere' is not found" in refused.value.faults[1][1]
    assert (await here.store.list(SERVICE)).items == []


@in_virtual_time
async def test_a_field_that_goes_from_the_manifest_goes_from_the_service() -> None:
    """And what others have added beside it stays."""
    here = await desk()
    await write(here.writer, typed(service(batcher={"maxBatchSize": 4})))
    await here.apply("scaler", service(replicas=3))
    assert await write(here.writer, typed(service("/m/second.joblib"))) != []  # 'scaler' has applied the model, too
    edited = service(replicas=3)
    del edited["spec"]["predictor"]["model"]
    await here.apply("scaler", edited)
    assert await write(here.writer, typed(service("/m/second.joblib"))) == []
    predictor = await here.stored()
    assert predictor["model"]["storageUri"] == "/m/second.joblib"
    assert predictor["replicas"] == 3
    assert "batcher" not in predictor


@in_virtual_time
async def test_what_others_have_set_since_is_served_on() -> None:
    """The manifest is not written, and a warning names the field and its owner."""
    here = await desk()
    await write(here.writer, typed(service(replicas=1)))
    await here.apply("tidegate", service(replicas=5))
    [warning] = await write(here.writer, typed(service(replicas=1)))
    assert warning.place == "services.yaml:1"
    assert "spec.predictor.replicas (tidegate" in warning.message
    assert (await here.stored())["replicas"] == 5
