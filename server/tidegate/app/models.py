"""From paths to models that can be served: which files, by which runtime and why, as artifacts of which name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tidegate.app.events import Found
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.catalogue import find
from tidegate.runtimes.runtime import Artifact
from tidegate.storage.repository import ModelSource, scan


def find_models(paths: Iterable[Path], name: str | None = None) -> tuple[ModelSource, ...]:
    """Every model under these paths, in their order. ``name`` renames the only one.

    Raises:
        ModelLoadFailed: a path holds no model, or two models have the same name and version.
    """
    found: dict[tuple[str, str], ModelSource] = {}
    for path in paths:
        for source in scan(path, name):
            former = found.setdefault((source.name, source.version), source)
            if former is not source:
                raise ModelLoadFailed(
                    f"{former.path} and {source.path} would both be model '{source.name}' version {source.version}"
                )
    return tuple(found.values())


def artifact_of(source: ModelSource, trusted: bool, threads: int, options: Mapping[str, str]) -> Artifact:
    return Artifact(source.name, source.version, source.path, trusted=trusted, threads=threads, options=options)


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
    """Which of the format's suffixes the file has."""
    file = source.path.name.lower()
    suffixes = (
        suffix
        for form in find(source.runtime).formats
        if form.name == source.format
        for suffix in form.suffixes
        if file.endswith(suffix)
    )
    suffix = next(suffixes, "")
    return f"its name ends in {suffix}" if suffix else f"it is a {source.format} file"
