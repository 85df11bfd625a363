"""Manifests that were typed on the command line: written into the store at the start, as the resource API writes them.

Their relative paths count from their own directory, and are made absolute on the way in: what is stored means the same
wherever the next server is started. The models that they name are trusted like a path that is typed itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import msgspec

from tidegate.app.events import Warned
from tidegate.client.resource_calls import SERVE
from tidegate.control.api.parameters import WriteOptions
from tidegate.control.api.served import NAMESPACE, served_of
from tidegate.control.api.target import Target
from tidegate.control.api.writing import Writer
from tidegate.control.location import path_of
from tidegate.protocol.errors import FieldConflict, ModelLoadFailed, ResourceNotFound, TidegateError
from tidegate.resources.document import Document, Key, key_of
from tidegate.resources.faults import InvalidManifest
from tidegate.resources.parts import models


class TypedManifest(msgspec.Struct, frozen=True):
    """A document that describes a resource, with its namespace."""

    place: str
    """``FILE:LINE``, for people."""
    document: Document
    """Its paths are absolute, see ``located``."""

    @property
    def key(self) -> Key:
        return key_of(self.document)


class ManifestsRefused(Exception):
    """Some of the typed manifests cannot be stored. ``faults`` has all that is wrong, each with its place."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{place}: {message}" for place, message in faults))
        self.faults = tuple(faults)


def located(document: Document, directory: Path) -> Document:
    """The document with its models' relative paths counted from a directory."""
    document = deepcopy(document)
    for _, model in models(document):
        uri = model.get("storageUri")
        if isinstance(uri, str) and uri and ":" not in uri.partition("/")[0] and not uri.startswith("/"):
            model["storageUri"] = os.path.abspath(directory / uri)
    return document


def named_models(manifests: Iterable[TypedManifest]) -> tuple[Path, ...]:
    """The paths of this machine at which their models lie."""
    return tuple(path for manifest in manifests for path in _paths(manifest.document))


def _paths(document: Document) -> Iterator[Path]:
    for _, model in models(document):
        try:
            yield path_of(str(model.get("storageUri") or ""), None)
        except ModelLoadFailed:
            continue  # who resolves it says why


async def write(writer: Writer, manifests: Sequence[TypedManifest]) -> list[Warned]:
    """Store all of them, or none but namespaces. Returns what is to be said of them.

    A manifest that would undo what others have set since is not written: what is stored is served, and a warning tells.

    Raises:
        ManifestsRefused: one of them cannot be stored; all that is wrong with all of them.
    """
    first = [manifest for manifest in manifests if manifest.key.kind == NAMESPACE]
    rest = [manifest for manifest in manifests if manifest.key.kind != NAMESPACE]
    warnings: list[Warned] = []
    for group in (first, rest):
        faults = [fault for manifest in group for fault in await _faults(writer, manifest)]
        if faults:
            raise ManifestsRefused(faults)
        for manifest in group:
            warnings += [Warned(manifest.place, warning) for warning in await _written(writer, manifest)]
    return warnings


async def _faults(writer: Writer, manifest: TypedManifest) -> list[tuple[str, str]]:
    try:
        await _apply(writer, manifest, dry_run=True)
    except FieldConflict:
        return []  # it is not written then
    except InvalidManifest as error:
        return [(manifest.place, fault.message) for fault in error.faults]
    except ResourceNotFound as error:
        return [(manifest.place, f"{error.message}, and is not among the manifests")]
    except TidegateError as error:
        return [(manifest.place, error.message)]
    return []


async def _written(writer: Writer, manifest: TypedManifest) -> tuple[str, ...]:
    """Write it. Returns what its writer should know."""
    try:
        return await _apply(writer, manifest, dry_run=False)
    except FieldConflict as conflict:
        kept = ", ".join(f"{field.lstrip('.')} ({owner})" for field, owner in conflict.conflicts)
        return (
            f"{manifest.key} is served as it is stored, for others have set since: {kept}; "
            f"`tidegate apply --force-conflicts` takes that over",
        )


async def _apply(writer: Writer, manifest: TypedManifest, *, dry_run: bool) -> tuple[str, ...]:
    key = manifest.key
    target = Target(served_of(key.kind), key.namespace, key.name)
    options = WriteOptions(dry_run=dry_run, manager=SERVE)
    return (await writer.apply(target, manifest.document, options)).warnings
