"""From paths to models that can be served: which files, by which runtime and why, and how each is run.

What holds for a model is said in three places: an option that was given goes before the model's own ``model.yaml``,
and that before what holds for all models by default. Only when a model is loaded is its own affair first: --on-demand
is for all, and some must always be awake.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import UNSET

from tidegate.app.events import Found
from tidegate.app.settings import ServeSettings
from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings
from tidegate.gateway.cache import CacheSettings
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.catalogue import find
from tidegate.runtimes.runtime import Artifact, Format
from tidegate.storage.config import given, specs
from tidegate.storage.repository import ModelSource, NothingHere, scan


class Plan(msgspec.Struct, frozen=True):
    """A version of a model, and how it is to be run."""

    source: ModelSource
    artifact: Artifact
    replica: ReplicaSettings
    batching: BatchSettings
    on_demand: bool = False
    """Whether it is loaded by its first request, and not with the server."""


def plans(settings: ServeSettings, cores: int) -> tuple[Plan, ...]:
    """All that is to be served, on a machine with so many cores.

    Raises:
        ModelLoadFailed: see ``find_models``; or a model's own settings contradict each other.
    """
    sources = find_models(settings.paths, settings.name, may_be_empty=settings.watch)
    return tuple(plan(source, settings, cores) for source in sources)


def find_models(
    paths: Iterable[Path], name: str | None = None, *, may_be_empty: bool = False
) -> tuple[ModelSource, ...]:
    """Every model under these paths, in their order, and of each model the versions ascending. ``name`` renames the
    only one; a directory without any may be filled later where it ``may_be_empty``.

    Raises:
        ModelLoadFailed: a path holds no model, or two models have the same name and version.
    """
    found: dict[str, dict[str, ModelSource]] = {}
    for path in paths:
        try:
            sources = scan(path, name)
        except NothingHere:
            if not (may_be_empty and path.is_dir()):
                raise
            continue
        for source in sources:
            former = found.setdefault(source.name, {}).setdefault(source.version, source)
            if former is not source:
                raise ModelLoadFailed(
                    f"{former.path} and {source.path} would both be model '{source.name}' version {source.version}"
                )
    return tuple(versions[version] for versions in found.values() for version in sorted(versions, key=int))


def plan(source: ModelSource, settings: ServeSettings, cores: int) -> Plan:
    """How one version of a model is to be run.

    Raises:
        ModelLoadFailed: what its ``model.yaml`` says of its batches contradicts itself, or what was given beside it.
    """
    own = given(source.config)
    replicas = (
        settings.replica.replicas if "replicas" in settings.given else own.get("replicas", settings.replica.replicas)
    )
    threads = settings.threads if "threads" in settings.given else own.get("threads", settings.threads)
    artifact = artifact_of(source, settings.trusted, threads_of(threads, replicas, cores), settings.options)
    on_demand = settings.on_demand if source.config.load is UNSET else source.config.load == "on_demand"
    method = settings.replica.start_method
    if on_demand and method == "auto":  # it will start again and again, and each time somebody waits for it
        method = "zygote"
    replica = msgspec.structs.replace(settings.replica, replicas=replicas, start_method=method)
    return Plan(source, artifact, replica, batching_of(source, settings), on_demand)


def artifact_of(source: ModelSource, trusted: bool, threads: int, options: Mapping[str, str]) -> Artifact:
    """What a runtime is told of a model; ``options`` go before the model's own."""
    config = source.config
    return Artifact(
        source.name,
        source.version,
        source.path,
        trusted=trusted,
        threads=threads,
        options={**config.runtime_options, **options},
        inputs=specs(config.inputs),
        outputs=specs(config.outputs),
        device=config.device,
        warm_up=config.warm_up,
    )


def batching_of(source: ModelSource, settings: ServeSettings) -> BatchSettings:
    """Queue and batches of a model.

    Raises:
        ModelLoadFailed: see ``plan``.
    """
    own = {field: value for field, value in given(source.config.batcher).items() if field not in settings.given}
    try:
        if "padded_dimensions" in own:
            own["padded_dimensions"] = tuple(
                PaddedDimension(each.input, each.axis, each.sizes, each.fill) for each in own["padded_dimensions"]
            )
        batching = msgspec.structs.replace(settings.batching, **own)
    except ValueError as error:
        raise ModelLoadFailed(f"'{shown(source.config_path, 300)}': batcher: {error}") from error
    if settings.cache_bytes and not batching.idempotent:
        raise ModelLoadFailed(
            f"'{shown(source.config_path, 300)}': batcher: idempotent is false, expected true beside --cache-bytes: a "
            f"cache would spare executions that are wanted"
        )
    return batching


def cache_of(planned: Plan, max_bytes: int) -> CacheSettings:
    """The model's cache of so many bytes: as many may wait for a shared execution as may wait in its queue."""
    batching = planned.batching
    return CacheSettings(max_bytes=max_bytes, max_queue=batching.max_queue, max_queue_bytes=batching.max_queue_bytes)


def threads_of(threads: int, replicas: int, cores: int) -> int:
    """Threads of the framework in each replica of a model: those asked for, if they are not 0.

    Else several replicas share the cores, for each would take all of them; one leaves the choice to the framework (0).
    """
    if threads or replicas <= 1:
        return threads
    return max(1, cores // replicas)


def available_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def told(source: ModelSource) -> Found:
    """The choice that was made for a model, with its reason."""
    return Found(source.name, source.version, str(source.path), source.runtime, source.format, reason=_reason(source))


def _reason(source: ModelSource) -> str:
    """What told the runtime: the model's owner, the marker in its directory, or the suffix of its file."""
    if source.config.runtime and source.config_path is not None:
        return f"{source.config_path.name} names it"
    form = next((form for form in find(source.runtime).formats if form.name == source.format), None)
    if form is None:
        return f"it is a {source.format} file"
    return f"it holds {form.marker}" if form.marker else f"its name ends in {_suffix(source, form)}"


def _suffix(source: ModelSource, form: Format) -> str:
    file = source.path.name.lower()
    return next((suffix for suffix in form.suffixes if file.endswith(suffix)), "")
