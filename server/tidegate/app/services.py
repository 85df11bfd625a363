"""From a revision of a service to the model that runs: what its template says, over a copy of its content.

What the template says goes before the model's own ``model.yaml``, and that before the server's settings. ::

    models = ServiceModels(settings, cores, cache, resolving, activator, bind, announce)
    actuator = LocalActuator(models.make, LocalActuatorSettings())
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pydantic import ValidationError

from tidegate.app.copy import Copy, HeldCopy
from tidegate.app.events import Event, Found
from tidegate.app.models import Plan, cache_of, plan, told
from tidegate.app.on_demand import ServedLives
from tidegate.app.served_model import ServedModel
from tidegate.app.settings import ServeSettings
from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings
from tidegate.control.activator import Activator
from tidegate.control.location import path_of
from tidegate.control.model import Model
from tidegate.control.resolver import ResolverSettings
from tidegate.control.sleeping import SleeperSettings, SleepingModel
from tidegate.gateway.route import label
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.replicas.log import Log
from tidegate.replicas.zygotes import Zygotes
from tidegate.resources.actuator import Workload, version_of
from tidegate.resources.document import Document
from tidegate.resources.model_service import Batcher, Predictor, WarmUp
from tidegate.runtimes.sample import Sample
from tidegate.storage.cache import ArtifactCache, Held
from tidegate.storage.copied import copied_source
from tidegate.storage.repository import ModelSource
from tidegate.telemetry.metrics import RevisionMetrics

Announce = Callable[[Event], None]
Bind = Callable[[Workload], RevisionMetrics]
"""The metrics of a revision, under the labels that its routes have."""


class ServiceModels:
    """``make`` is what the LocalActuator is given; ``resolving`` is what the resolver was."""

    def __init__(
        self,
        settings: ServeSettings,
        cores: int,
        cache: ArtifactCache,
        resolving: ResolverSettings,
        activator: Activator,
        bind: Bind,
        announce: Announce,
        zygotes: Zygotes | None = None,
    ) -> None:
        self._zygotes = zygotes
        self._settings = settings
        self._cores = cores
        self._cache = cache
        self._resolving = resolving
        self._activator = activator
        self._bind = bind
        self._announce = announce

    async def make(self, workload: Workload, log: Log) -> Model:
        """The model of a revision, over its copy, which is hashed again. It is not started.

        Raises:
            ModelLoadFailed: the copy is gone or damaged, or what is said of the model contradicts itself.
        """
        held, planned, size = await asyncio.to_thread(self._planned, workload)
        self._announce(found(workload, planned.source, self._resolving.base))
        cache = cache_of(planned, self._settings.cache_bytes)

        def served(copy: Copy) -> ServedModel:
            metrics, callers = self._bind(workload), self._settings.gateway.caller
            return ServedModel(
                planned,
                metrics,
                copy,
                cache,
                callers,
                owns_copy=not planned.on_demand,
                log=log,
                zygotes=self._zygotes,
            )

        copy = HeldCopy(self._cache, held, planned.source.path)
        if not planned.on_demand:
            return served(copy)
        sleeper = SleeperSettings(
            name=label(workload.id.namespace, workload.id.service),
            runtime=planned.source.runtime,
            size=size,
            batching=planned.batching,
            ready_timeout=self._settings.ready_timeout,
        )
        return SleepingModel(sleeper, ServedLives(copy, served), self._activator)

    def _planned(self, workload: Workload) -> tuple[Held, Plan, int]:
        """Its copy, how it is run, and the bytes of its files."""
        digest = workload.resolved.digest
        held = self._cache.hold_digest(digest.removeprefix("sha256:"))
        if held is None:
            raise ModelLoadFailed(f"the content of {workload.id}, {digest or 'none'}, is not in the model cache")
        try:
            trusted = self._resolving.trust.trusts(path_of(workload.resolved.uri, self._resolving.base))
            source = copied_source(held, workload.id.service, version_of(workload))
            settings = msgspec.structs.replace(self._settings, trusted=trusted)
            planned = plan_of(workload, source, held.path, settings, self._cores)
            return held, planned, sum(file.stat().st_size for file in held.folder.rglob("*") if file.is_file())
        except BaseException:
            self._cache.release(held)
            raise


def found(workload: Workload, source: ModelSource, base: Path | None) -> Found:
    """A revision that is about to be loaded, as it is told: with the path that its model came from."""
    model = label(workload.id.namespace, workload.id.service)
    return msgspec.structs.replace(told(source), model=model, path=str(path_of(workload.resolved.uri, base)))


def plan_of(workload: Workload, source: ModelSource, files: Path, settings: ServeSettings, cores: int) -> Plan:
    """How a revision is to be run; ``files`` is the directory that holds the files of its model.

    Raises:
        ModelLoadFailed: what its template or the model's ``model.yaml`` says contradicts itself.
    """
    predictor = _predictor(workload.template)
    model, batching, given = predictor.model, settings.batching, {"replicas"}
    if predictor.batcher is not None:
        own = _batching(predictor.batcher)
        given |= own.keys()
        batching = _replaced(batching, own)
    if model is not None and "threads" in model.model_fields_set:
        given.add("threads")
    own_settings = msgspec.structs.replace(
        settings,
        replica=msgspec.structs.replace(
            settings.replica, replicas=max(workload.replicas, 1), loaded_before=workload.known
        ),
        batching=batching,
        options={} if model is None else dict(model.options),
        threads=settings.threads if model is None or "threads" not in given else model.threads,
        given=frozenset(given),
        on_demand=workload.sleeps,
    )
    planned = plan(source, own_settings, cores)
    artifact = planned.artifact
    if model is not None and "device" in model.model_fields_set:
        artifact = msgspec.structs.replace(artifact, device=model.device)
    if predictor.warmup:
        samples = tuple(_sample(each, index, files) for index, each in enumerate(predictor.warmup))
        artifact = msgspec.structs.replace(artifact, warm_up=samples)
    return msgspec.structs.replace(planned, artifact=artifact, on_demand=workload.sleeps)


def _predictor(template: Document) -> Predictor:
    try:
        return Predictor.model_validate(template.get("predictor", {}))
    except ValidationError as error:  # it was checked before it was stored; another version of tidegate may have
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise ModelLoadFailed(
            f"spec.predictor.{place} of the revision is not as this version of tidegate expects it"
        ) from error


def _batching(batcher: Batcher) -> dict[str, Any]:
    """What a template says of queue and batches, by the names of the batcher's settings."""
    told: dict[str, Any] = {
        "max_batch_size": ("max_batch", batcher.max_batch_size),
        "max_latency": ("max_latency", batcher.max_latency and batcher.max_latency.seconds),
        "max_queue": ("max_queue", batcher.max_queue),
        "allowed_sizes": ("batch_sizes", tuple(batcher.allowed_sizes)),
        "pad": ("padded_dimensions", tuple(_padded(name, sizes) for name, sizes in batcher.pad.items())),
    }
    own = {name: value for field, (name, value) in told.items() if field in batcher.model_fields_set}
    if batcher.priorities is not None and batcher.priorities.ageing is not None:
        own["ageing"] = batcher.priorities.ageing.seconds
    return own


def _padded(name: str, sizes: list[int]) -> PaddedDimension:
    tensor, _, axis = name.rpartition(":")
    try:
        return PaddedDimension(tensor, int(axis), tuple(sizes))
    except ValueError as error:
        raise ModelLoadFailed(f"spec.predictor.batcher.pad.{shown(name)}: {error}") from error


def _replaced(batching: BatchSettings, own: dict[str, Any]) -> BatchSettings:
    try:
        return msgspec.structs.replace(batching, **own)
    except ValueError as error:
        raise ModelLoadFailed(f"spec.predictor.batcher: {error}") from error


class _Input(msgspec.Struct, frozen=True):
    """An input of a request in v2's JSON, as far as a sample needs it."""

    name: str
    shape: tuple[int, ...]
    data: list[Any]


class _Request(msgspec.Struct, frozen=True):
    inputs: tuple[_Input, ...]


def _sample(told: WarmUp, index: int, files: Path) -> Sample:
    """One execution before the model is ready.

    Raises:
        ModelLoadFailed: its file is no request, or none of the model's files.
    """
    if told.file is None:
        return Sample(batch_size=told.batch_size or 1)
    field = f"spec.predictor.warmup[{index}].file"
    path = (files / told.file).resolve()
    if not path.is_relative_to(files.resolve()) or not path.is_file():
        raise ModelLoadFailed(f"{field} '{shown(told.file)}' is none of the model's files")
    try:
        request = msgspec.json.decode(path.read_bytes(), type=_Request)
        data = {each.name: _nested(each) for each in request.inputs}
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise ModelLoadFailed(
            f"{field} '{shown(told.file)}' is no request in v2's JSON: {shown(error, 200)}"
        ) from error
    return Sample(data=data)


def _nested(tensor: _Input) -> list[Any]:
    """The elements in nested lists of its shape, whether they are written flat or nested."""
    array = np.array(tensor.data, dtype=object)
    nested: list[Any] = array.reshape(tensor.shape).tolist()
    return nested
