"""The services of one server: where they are kept, who looks after them, who runs them, and who is told to route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from tidegate.app.events import Event
from tidegate.app.examiner import LocalExaminer
from tidegate.app.manifests import named_models
from tidegate.app.models import available_cores
from tidegate.app.news import News
from tidegate.app.notifications import Notifications
from tidegate.app.routing import Router
from tidegate.app.service_routes import ServiceRoutes
from tidegate.app.services import ServiceModels
from tidegate.app.settings import ServeSettings
from tidegate.app.signing import Signer
from tidegate.control.activator import Activator
from tidegate.control.actuator import LocalActuator, LocalActuatorSettings
from tidegate.control.resolver import LocalResolver, ResolverSettings
from tidegate.control.scaling.scaler import Scaler
from tidegate.control.services.reconciler import Reconciler
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.turns import Name
from tidegate.control.store.sqlite import SqliteStore
from tidegate.gateway.route import label
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, TidegateError
from tidegate.replicas.zygotes import Zygotes
from tidegate.resources.actuator import RevisionId, Workload
from tidegate.resources.document import Document, GroupKind
from tidegate.resources.kinds import SERVICES
from tidegate.resources.parts import at, parts
from tidegate.resources.store import Store
from tidegate.resources.traffic import Traffic
from tidegate.runtimes.trust import TrustPolicy
from tidegate.storage.cache import ArtifactCache
from tidegate.telemetry.metrics import Metrics, RevisionMetrics


class ControlPlane:
    """From ``open`` to ``close``."""

    def __init__(
        self,
        settings: ServeSettings,
        router: Router,
        metrics: Metrics,
        copies: ArtifactCache,
        activator: Activator,
        announce: Callable[[Event], None],
        zygotes: Zygotes | None = None,
    ) -> None:
        self._settings = settings
        self._router = router
        self._metrics = metrics
        self._news = News(announce, router.answers)
        typed = named_models(settings.manifests) if settings.trusted else ()
        resolving = ResolverSettings(trust=TrustPolicy((*settings.trust, *typed)))
        models = ServiceModels(settings, available_cores(), copies, resolving, activator, self._bind, announce, zygotes)
        running = LocalActuatorSettings(ready_timeout=settings.ready_timeout)
        self.actuator = LocalActuator(models.make, running, self._news)
        self._routes = ServiceRoutes(router, self.actuator.backend)
        self.actuator.subscribe(self._routes.changed)
        self._resolver = LocalResolver(copies, resolving)
        self.notifications = Notifications(settings, metrics)
        self._examiner = LocalExaminer(
            self.actuator.backend,
            self.actuator.workload,
            resolving.trust,
            settings.identity.outgoing,
            settings.golden,
            sign=Signer(self.notifications.secrets),
        )
        self.asleep = 0
        """Services that slept when ``start`` was over."""
        self._gone: set[RevisionId] = set()
        self.actuator.subscribe(lambda namespace, service: self._forget())
        self._store: SqliteStore | None = None
        self._reconciler: Reconciler | None = None
        self._scaler: Scaler | None = None

    async def open(self) -> Store:
        """Open the state.

        Raises:
            StateUnusable: another process has it, or it is not ours to read.
            StateUnavailable: the disk does not let us.
        """
        self._store = await SqliteStore.open(self._settings.state_directory, self._settings.store)
        self.notifications.open(self._store)
        return self._store

    async def route(self) -> None:
        """Route to what is stored: it answers that it is being started."""
        assert self._store is not None, "open comes first"
        for kind in SERVICES:
            for item in (await self._store.list(kind)).items:
                self._routes.publish(Traffic(*_name(item), reason="it is being started"))

    async def start(self, base: str) -> list[TidegateError | None]:
        """Serve what is stored. Returns once each service answers, or says why not, or ``ready_timeout`` is over: of
        each that is to answer why it does not, or None.

        ``base`` is the URL of the data plane.
        """
        assert self._store is not None, "open comes first"
        settings = ServiceSettings(
            base=base,
            keep_previous=self._settings.keep_previous,
            downloads_at_once=self._settings.downloads_at_once,
            most_replicas=available_cores(),
        )
        self._scaler = Scaler(
            self._store, self.actuator.backend, turns=settings, decided=self._scaled, forgotten=self._not_scaled
        )
        self._reconciler = Reconciler(
            self._store,
            self.actuator,
            self._resolver,
            self._router.observations,
            self._examiner,
            publish=self._routes.publish,
            withdraw=self._withdraw,
            forgotten=self._forgotten,
            transitioned=self._metrics.rollout_moved,
            settings=settings,
            unresolved=self._news.unresolved,
            scaler=self._scaler,
        )
        await self._reconciler.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.ready_timeout), asyncio.TaskGroup() as kinds:
                for kind in SERVICES:
                    kinds.create_task(settled(self._store, kind))
        found = [item for kind in SERVICES for item in (await self._store.list(kind)).items]
        self.asleep = sum(_asleep(item) for item in found)
        return [self._failure_of(item) for item in found if not _has(item, "Stopped")]

    async def stop(self) -> None:
        """Look after nothing any more, and end what runs."""
        self._news.close()
        if self._reconciler is not None:
            await self._reconciler.stop()
        if self._scaler is not None:
            await self._scaler.stop()
        await self.actuator.stop()
        await self.notifications.stop()  # last: what ends may tell something

    def kill(self) -> None:
        """End what runs, with all that it has; ``stop`` and ``close`` are still to be awaited."""
        self._news.close()
        self.actuator.kill()
        self.notifications.kill()

    async def close(self) -> None:
        """Let the state go, once nobody reads it any more."""
        if self._store is not None:
            await self._store.close()

    def _bind(self, workload: Workload) -> RevisionMetrics:
        revision = workload.id
        return self._metrics.bind(label(revision.namespace, revision.service), str(revision.number))

    def _scaled(self, revision: RevisionId, desired: int, terms: Mapping[str, float]) -> None:
        self._metrics.scaled(label(revision.namespace, revision.service), str(revision.number), desired, terms)

    def _not_scaled(self, revision: RevisionId) -> None:
        self._metrics.not_scaled(label(revision.namespace, revision.service), str(revision.number))

    def _failure_of(self, service: Document) -> TidegateError | None:
        """Why a service does not answer, and people are told; None where it does."""
        if _has(service, "Ready"):
            return None
        name = Name(*_name(service))
        if under_way(service):
            self._news.late(name, ModelNotReady(label(*name), "it is being started", retry_after=1.0))
        message = at(service, "status", "modelStatus", "lastFailureInfo", "message") or "it does not answer"
        return self._news.failing(name) or ModelLoadFailed(message)

    def _withdraw(self, namespace: str, service: str) -> None:
        self._routes.withdraw(namespace, service)
        self._metrics.forget_service(namespace, service)
        self._news.forget(Name(namespace, service))

    def _forgotten(self, revision: RevisionId) -> None:
        """Its metrics go once its last request was counted."""
        self._gone.add(revision)
        self._forget()

    def _forget(self) -> None:
        for revision in [each for each in self._gone if self.actuator.backend(each) is None]:
            self._gone.discard(revision)
            self._router.forget(revision)


def _has(service: Document, condition: str) -> bool:
    told = parts(service, "status", "conditions")
    return any((each.get("type"), each.get("status")) == (condition, "True") for _, each in told)


def _asleep(service: Document) -> bool:
    told = parts(service, "status", "conditions")
    return any((each.get("type"), each.get("reason")) == ("Ready", "Asleep") for _, each in told)


async def settled(store: Store, kind: GroupKind) -> None:
    """Return once no service of a kind is on its way to what is wished."""
    page = await store.list(kind)
    waited = {_name(item) for item in page.items if under_way(item)}
    if not waited:
        return
    async with store.watch(kind, since=page.version) as changes:
        async for change in changes:
            if change.type == "DELETED" or not under_way(change.document):
                waited.discard(_name(change.document))
            if not waited:
                return


def under_way(service: Document) -> bool:
    """Whether a service will be told otherwise soon: nobody has looked at it, or its model is being loaded."""
    seen = at(service, "status", "observedGeneration") == service["metadata"].get("generation")
    return not seen or at(service, "status", "modelStatus", "transitionStatus") == "InProgress"


def _name(document: Document) -> tuple[str, str]:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
