"""The live model repository of one server: who looks, who makes models, who is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tidegate.app.copy import Copy, ModelCopy
from tidegate.app.events import Event, Loaded, LoadFailed, Unloaded
from tidegate.app.models import available_cores, cache_of, plan, plans, told
from tidegate.app.on_demand import ServedLives
from tidegate.app.routing import Router
from tidegate.app.served_model import ServedModel
from tidegate.app.settings import ServeSettings
from tidegate.control.activator import Activator
from tidegate.control.disk import Root, survey
from tidegate.control.model import Model
from tidegate.control.offer import Offer
from tidegate.control.repository import Repository, RepositorySettings
from tidegate.control.sleeping import SleeperSettings, SleepingModel
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.messages import ModelMetadata
from tidegate.replicas.zygotes import Zygotes
from tidegate.storage.cache import ArtifactCache
from tidegate.telemetry.metrics import Metrics

Announce = Callable[[Event], None]


def repository_of(
    settings: ServeSettings,
    router: Router,
    metrics: Metrics,
    copies: ArtifactCache | None,
    activator: Activator,
    announce: Announce,
    zygotes: Zygotes | None = None,
) -> Repository:
    """The repository of these paths, with everything in it made and routed to, and nothing loaded.

    Raises:
        ModelLoadFailed: see ``plans``. At the start all must be right: somebody is there to read it.
    """
    cores = available_cores()
    plans(settings, cores)

    def make(offer: Offer) -> Model:
        planned = plan(offer.source, settings, cores)
        cache = cache_of(planned, settings.cache_bytes)

        def served(copy: Copy) -> ServedModel:
            bound = metrics.bind(offer.model, offer.version)
            owns_copy = not planned.on_demand
            callers = settings.gateway.caller
            return ServedModel(planned, bound, copy, cache, callers, owns_copy=owns_copy, zygotes=zygotes)

        copy = ModelCopy(copies, offer.source, planned.artifact.trusted)
        if not planned.on_demand:
            return served(copy)
        sleeper = SleeperSettings(
            name=offer.model,
            runtime=offer.source.runtime,
            size=sum(part.size for part in offer.parts),
            batching=planned.batching,
            ready_timeout=settings.ready_timeout,
        )
        return SleepingModel(sleeper, ServedLives(copy, served), activator)

    look = partial(survey, [Root(path, settings.name) for path in settings.paths], settings.trusted)
    repository = Repository(
        look,
        make,
        router.publish,
        Announcing(announce, router.forget_model),
        RepositorySettings(ready_timeout=settings.ready_timeout, stop_timeout=settings.replica.stop_timeout),
    )
    repository.open(look())
    return repository


class Announcing:
    """Implements the repository's Observer."""

    def __init__(self, announce: Announce, forget: Callable[[str, str], None]) -> None:
        self._announce = announce
        self._forget = forget

    def found(self, offer: Offer) -> None:
        self._announce(told(offer.source))

    def loaded(self, offer: Offer, seconds: float, metadata: ModelMetadata) -> None:
        self._announce(Loaded(offer.model, offer.version, seconds, metadata))

    def failed(self, model: str, version: str, error: TidegateError, serving: bool) -> None:
        self._announce(LoadFailed(model, version, error.message, serving))

    def unloaded(self, offer: Offer) -> None:
        self._announce(Unloaded(offer.model, offer.version))

    def gone(self, model: str, version: str) -> None:
        self._forget(model, version)
