"""A control plane of services around a store in memory, where nothing runs: for tests in virtual time.

The store, what runs and what a reference means stay when the reconciler is restarted.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tidegate.control.scaling.scaler import Scaler
from tidegate.control.services.book import Book, read
from tidegate.control.services.reconciler import Reconciler
from tidegate.control.services.settings import ServiceSettings
from tidegate.protocol.errors import ResourceNotFound
from tidegate.resources.actuator import RevisionId, Workload
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.store import MergePatch, Query, Store
from tidegate.resources.traffic import Traffic
from tidegate.testing.actuator import FakeActuator
from tidegate.testing.resolver import FakeResolver
from tidegate.testing.rollouts import FakeExaminer, FakeObserver
from tidegate.testing.scaling import FakeSource
from tidegate.testing.store import MemoryStore

EPOCH = 1_800_000_000.0
"""Seconds since 1970 at which the loop's clock begins."""
OURS = GroupKind("tidegate.dev", "ModelService")
KSERVE = GroupKind("serving.kserve.io", "InferenceService")
REVISION = GroupKind("tidegate.dev", "ServingRevision")


def model_service(uri: str = "a", *, name: str = "iris", spec: Document | None = None, **predictor: Any) -> Document:
    """A ModelService in the namespace ``default``; ``spec`` has what stands beside the predictor."""
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": uri}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"predictor": {"model": model, **predictor}, **(spec or {})},
    }


def inference_service(
    uri: str = "a", *, name: str = "iris", spec: Document | None = None, **predictor: Any
) -> Document:
    """The same as KServe has it."""
    document = model_service(uri, name=name, spec=spec, **predictor)
    return document | {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}


def now() -> float:
    """Seconds since 1970, by the event loop's clock."""
    return EPOCH + asyncio.get_running_loop().time()


class ServiceStage:
    """Made and used within an event loop of ``tidegate.testing.clock``. References ``a`` to ``e`` have models."""

    def __init__(self, settings: ServiceSettings | None = None, store: Store | None = None) -> None:
        self.settings = settings or ServiceSettings()
        self.store: Store = store or MemoryStore(clock=now)
        self.actuator = FakeActuator(starts_in=1.0, ends_in=1.0)
        self.resolver = FakeResolver({name: name for name in "abcde"}, takes=0.1)
        self.observer = FakeObserver()
        self.examiner = FakeExaminer()
        self.routes: dict[str, Traffic] = {}
        """What was published last, by name of the service."""
        self.published: list[Traffic] = []
        self.forgotten: list[RevisionId] = []
        self.transitions: list[tuple[str, str]] = []
        """Of rollouts, as they were counted: the service and the state."""
        self.sources: dict[RevisionId, FakeSource] = {}
        """What answers for revisions that scale."""
        self.decisions: list[tuple[RevisionId, int]] = []
        """How many replicas each decision found for a revision, in their order."""
        self.scaler: Scaler | None = None
        self.jumped = 0.0
        """Seconds by which somebody has set the clock, of those who are started and not of the store."""
        self._reconciler: Reconciler | None = None

    def clock(self) -> float:
        """Seconds since 1970, by a clock that can be set."""
        return now() + self.jumped

    async def start(self) -> None:
        self.scaler = Scaler(
            self.store,
            self.sources.get,
            turns=self.settings,
            clock=self.clock,
            decided=lambda revision, desired, terms: self.decisions.append((revision, desired)),
        )
        self._reconciler = Reconciler(
            self.store,
            self.actuator,
            self.resolver,
            self.observer,
            self.examiner,
            publish=self._publish,
            withdraw=self._withdraw,
            forgotten=self.forgotten.append,
            transitioned=lambda namespace, service, to: self.transitions.append((service, to)),
            settings=self.settings,
            clock=self.clock,
            scaler=self.scaler,
        )
        await self._reconciler.start()

    async def stop(self) -> None:
        if self._reconciler is not None:
            await self._reconciler.stop()
        if self.scaler is not None:
            await self.scaler.stop()
        self._reconciler = None

    async def restart(self, *, lost: bool = True) -> None:
        """The reconciler anew; with ``lost`` also nothing runs any more, as after the end of the process."""
        await self.stop()
        self.routes.clear()
        if lost:
            broken = self.actuator.broken
            self.actuator = FakeActuator(starts_in=1.0, ends_in=1.0)
            self.actuator.broken = broken
        await self.start()

    async def settle(self, seconds: float = 5.0) -> None:
        """Let everything happen that happens within so many seconds."""
        await asyncio.sleep(seconds)

    async def apply(self, document: Document) -> Document:
        """Create it, or put it in the place of what is there, annotations included."""
        key = key_of_service(document)
        try:
            await self.store.get(key)
        except ResourceNotFound:
            return await self.store.create(document)
        return await self.store.replace(document)

    async def patch(self, patch: Document, name: str = "iris", kind: GroupKind = OURS) -> Document:
        return await self.store.patch(Key(kind, "default", name), MergePatch(patch))

    async def service(self, name: str = "iris", kind: GroupKind = OURS) -> Document:
        return await self.store.get(Key(kind, "default", name))

    async def delete(self, name: str = "iris", kind: GroupKind = OURS) -> None:
        await self.store.delete(Key(kind, "default", name))

    async def status(self, name: str = "iris", kind: GroupKind = OURS) -> Document:
        status: Document = (await self.service(name, kind)).get("status", {})
        return status

    async def conditions(self, name: str = "iris", kind: GroupKind = OURS) -> dict[str, str]:
        """The status of each condition."""
        return {each["type"]: each["status"] for each in (await self.status(name, kind)).get("conditions", ())}

    async def book(self, name: str = "iris", kind: GroupKind = OURS) -> Book:
        return read(await self.service(name, kind))

    async def revisions(self, name: str = "iris") -> list[Document]:
        page = await self.store.list(REVISION, Query(namespace="default"))
        return [each for each in page.items if each["spec"]["service"]["name"] == name]

    async def numbers(self, name: str = "iris") -> list[int]:
        return [each["spec"]["number"] for each in await self.revisions(name)]

    def shares(self, name: str = "iris") -> dict[int, int]:
        """Per cent by revision, as the gateway was told."""
        return {share.revision: share.percent for share in self.routes[name].shares} if name in self.routes else {}

    def running(self, name: str = "iris") -> dict[int, int]:
        """Replicas that are wanted by revision, of those that are not ending."""
        told = self.actuator.standings("default", name)
        return {number: standing.wanted for number, standing in told.items() if standing.phase != "Ending"}

    def workload(self, number: int, name: str = "iris") -> Workload:
        """What a revision was asked to run as."""
        return self.actuator.workloads[revision(number, name)]

    def _publish(self, traffic: Traffic) -> None:
        self.routes[traffic.service] = traffic
        self.published.append(traffic)

    def _withdraw(self, namespace: str, service: str) -> None:
        del self.routes[service]


def key_of_service(document: Document) -> Key:
    kind = KSERVE if document["kind"] == "InferenceService" else OURS
    return Key(kind, "default", document["metadata"]["name"])


def revision(number: int, name: str = "iris") -> RevisionId:
    return RevisionId("default", name, number)
