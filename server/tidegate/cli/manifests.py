"""The manifests of a command: read and judged as ``tidegate validate`` does it, all faults of all of them at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.found import label
from tidegate.cli.kinds import known_types
from tidegate.cli.target import Session
from tidegate.client.resource_calls import Document
from tidegate.client.resource_type import NAMESPACES, ResourceType
from tidegate.protocol.errors import shown
from tidegate.resources.document import DEFAULT_NAMESPACE


@dataclass(frozen=True)
class Object:
    """A document that describes a resource, and where it is to be."""

    source: str
    line: int
    kind: ResourceType
    name: str
    namespace: str
    document: Document

    @property
    def label(self) -> str:
        return label(self.kind, self.name)


@dataclass(frozen=True)
class Place:
    """The namespace of what names none. ``named`` says whether it was asked for."""

    namespace: str = DEFAULT_NAMESPACE
    named: bool = False


def read_objects(session: Session, paths: Sequence[str]) -> list[Object]:
    """The documents of files and directories, or of stdin (``-``), for a server. Raises as ``read_documents``."""
    if not paths:
        raise Failure("there is no manifest", "-f FILE, -f DIRECTORY, or -f - for stdin", Exit.USAGE)
    return read_documents(paths, Place(session.namespace, session.named), "sent")


def read_documents(paths: Sequence[str], place: Place, deed: str) -> list[Object]:
    """The documents of files and directories, or of stdin (``-``). ``deed`` is what is not done where one is at fault.

    Raises:
        Failure: one cannot be read, is at fault, or is meant for another namespace than the one that was asked for.
            What is at fault has been told by then.
    """
    from tidegate.cli.validate import judge, show, texts

    objects: list[Object] = []
    documents = wrong = 0
    for source, data in texts(paths):
        for verdict in judge(source, data, False):
            documents += 1
            kind = _kind(verdict.document.value)
            if kind is NAMESPACES:  # Kubernetes' own, whose schema is not ours
                objects.append(_object(place, source, verdict.document.line(()), kind, verdict.document.value))
                continue
            show(replace(verdict, warnings=(), notes=()), sys.stderr)  # of these the server tells
            if verdict.faults or kind is None:
                wrong += 1
            else:
                objects.append(_object(place, source, verdict.document.line(()), kind, verdict.document.value))
    if wrong:
        raise Failure(f"{wrong} of {documents} document{'s' * (documents > 1)} at fault, nothing was {deed}")
    if not documents:
        raise Failure("there is no document in it", "a manifest begins with apiVersion and kind")
    _check_twice(objects)
    return objects


def _kind(value: object) -> ResourceType | None:
    if not isinstance(value, dict):
        return None
    meant = (value.get("apiVersion"), value.get("kind"))
    return next((each for each in known_types() if (each.api_version, each.kind) == meant), None)


def _object(place: Place, source: str, line: int, kind: ResourceType, document: Document) -> Object:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Failure(f"{source}:{line}: {kind.kind} has no name")
    named, namespace = metadata.get("namespace"), ""
    if kind.namespaced:
        if named and place.named and named != place.namespace:
            raise Failure(
                f"{source}:{line}: {kind.kind} '{shown(metadata['name'])}' is of namespace '{shown(named)}', "
                f"and -n says '{shown(place.namespace)}'",
                "leave out one of them",
            )
        namespace = str(named or place.namespace)
        document = {**document, "metadata": {**metadata, "namespace": namespace}}
    document = {name: value for name, value in document.items() if name != "status"}  # the server's to write
    return Object(source, line, kind, metadata["name"], namespace, document)


def _check_twice(objects: Sequence[Object]) -> None:
    """Of two documents for one resource the second would undo the first."""
    seen: dict[tuple[ResourceType, str, str], Object] = {}
    for each in objects:
        key = (each.kind, each.namespace, each.name)
        if key in seen:
            first = seen[key]
            raise Failure(f"{each.source}:{each.line}: {each.label} is in {first.source}:{first.line} already")
        seen[key] = each
