"""What a model on disk is: told by its name, by its format, and, where it may be read, by the model itself.

It is loaded as it would be served, in a worker process, so that whatever it does is done there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tidegate.app.models import artifact_of, told
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, UntrustedModel
from tidegate.protocol.messages import ModelMetadata
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.catalogue import find
from tidegate.storage.repository import ModelSource
from tidegate.telemetry.metrics import Metrics

ONE_LIFE = ReplicaSettings(replicas=1, crash_loop_failures=1)
"""A model whose worker dies of loading it is not loaded again: nobody waits for it to get better."""


class InspectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    trusted: bool = False
    """Whether formats that can execute code are read. False: who inspects a file may not trust it yet."""
    threads: int = 0
    """Intra-operation threads of the framework; 0 is its own choice."""
    options: Mapping[str, str] = {}
    """Options of the runtime, by name."""
    load_timeout: float = ONE_LIFE.load_timeout
    """Seconds until loading the model is given up."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """One model. ``metadata`` is None where it was not loaded; ``problem`` says why."""

    name: str
    version: str
    path: str
    bytes: int
    """Of the file, or of all files in the directory."""
    runtime: str
    format: str
    reason: str
    """Why this runtime reads it."""
    executes_code: bool
    """Whether its format can run code while it is read."""
    trusted: bool
    metadata: ModelMetadata | None = None
    problem: str = ""
    refused: bool = False
    """Whether the problem is only that nobody has vouched for the file."""


async def inspect_all(sources: Sequence[ModelSource], settings: InspectionSettings) -> list[Inspection]:
    """One after the other: together they might not fit the memory."""
    return [await inspect(source, settings) for source in sources]


async def inspect(source: ModelSource, settings: InspectionSettings) -> Inspection:
    """Load the model, ask it for its signature, and let go of it."""
    form = next(form for form in find(source.runtime).formats if form.name == source.format)
    found = Inspection(
        name=source.name,
        version=source.version,
        path=str(source.path),
        bytes=size_of(source.path),
        runtime=source.runtime,
        format=source.format,
        reason=told(source).reason,
        executes_code=form.executes_code,
        trusted=settings.trusted,
    )
    try:
        return msgspec.structs.replace(found, metadata=await _loaded(source, settings))
    except UntrustedModel:
        problem = f"reading a {source.format} file can run any code that its author put there; --trusted reads it"
        return msgspec.structs.replace(found, problem=problem, refused=True)
    except (ModelLoadFailed, ModelNotReady) as error:
        return msgspec.structs.replace(found, problem=error.message)


async def _loaded(source: ModelSource, settings: InspectionSettings) -> ModelMetadata:
    artifact = artifact_of(source, settings.trusted, settings.threads, settings.options)
    replica = msgspec.structs.replace(ONE_LIFE, load_timeout=settings.load_timeout)
    metrics = Metrics("").bind(source.name, source.version)
    backend = LocalBackend(artifact, source.runtime, replica, metrics)
    try:
        await backend.start()
        await backend.wait_ready(settings.load_timeout)
        assert backend.metadata is not None, "a backend that is ready has told its signature"
        return backend.metadata
    finally:
        await backend.stop()


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a directory; links in it are not followed."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files)
