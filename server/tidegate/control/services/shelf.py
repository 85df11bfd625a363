"""Services and revisions as the store had them last: what was watched, and what was written from here since.

The watch may tell of a write later than its answer did; the higher version counts. What is deleted goes when the watch
says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tidegate.control.services.revision import service_of
from tidegate.control.services.turns import Name
from tidegate.resources.document import Document, GroupKind, Key, key_of, version_of
from tidegate.resources.kinds import OURS, SERVICES
from tidegate.resources.parts import at
from tidegate.resources.store import Change, ChangeType

REVISIONS = GroupKind(OURS, "ServingRevision")
KINDS = (*SERVICES, REVISIONS)


class Shelf:
    """The documents of ``KINDS``, by the name of the service that they concern."""

    def __init__(self) -> None:
        self._held: dict[Name, dict[Key, Document]] = {}

    def names(self) -> list[Name]:
        return list(self._held)

    def services(self, name: Name) -> list[Document]:
        """Services of the name, at most one of each kind: first the one that is served.

        That is who was served before, else who was there first.
        """
        found = [document for key, document in self._of(name) if key.kind in SERVICES]
        return sorted(found, key=_seniority)

    def revisions(self, name: Name) -> list[Document]:
        """ServingRevisions whose names are those of the service's."""
        return [document for key, document in self._of(name) if key.kind == REVISIONS]

    def digests(self) -> frozenset[str]:
        """Of the content of all revisions."""
        told = (at(each, "spec", "resolved", "digest") for name in self._held for each in self.revisions(name))
        return frozenset(digest for digest in told if digest)

    def take(self, document: Document) -> Name | None:
        """Note a document that was read or written. Returns whom it concerns; None where nothing is new."""
        key = key_of(document)
        name = _concerned(key)
        held = self._held.setdefault(name, {})
        if key in held and int(version_of(held[key])) >= int(version_of(document)):
            return None
        held[key] = document
        return name

    def drop(self, document: Document) -> Name | None:
        """Note that it is deleted. Returns whom that concerns."""
        key = key_of(document)
        name = _concerned(key)
        held = self._held.get(name, {})
        if key not in held or int(version_of(held[key])) > int(version_of(document)):
            return None
        del held[key]
        if not held:
            del self._held[name]
        return name

    def change(self, change: Change) -> Name | None:
        """What a watch tells."""
        match change.type:
            case ChangeType.ADDED | ChangeType.MODIFIED:
                return self.take(change.document)
            case ChangeType.DELETED:
                return self.drop(change.document)
        return None

    def missing(self, kind: GroupKind, documents: Iterable[Document], version: str) -> list[Document]:
        """What is deleted, by a whole list of a kind as it was at a version."""
        listed = {key_of(document) for document in documents}
        return [
            document
            for held in self._held.values()
            for key, document in held.items()
            if key.kind == kind and key not in listed and int(version_of(document)) <= int(version)
        ]

    def replace(self, kind: GroupKind, documents: Sequence[Document], version: str) -> list[Name]:
        """Note a whole list of a kind, as it was at a version. Returns whom the differences concern."""
        gone = [
            {**document, "metadata": {**document["metadata"], "resourceVersion": version}}
            for document in self.missing(kind, documents, version)
        ]
        changed = [*map(self.drop, gone), *map(self.take, documents)]
        return [name for name in changed if name is not None]

    def _of(self, name: Name) -> Iterator[tuple[Key, Document]]:
        yield from self._held.get(name, {}).items()


def _concerned(key: Key) -> Name:
    return Name(key.namespace, service_of(key.name)[0] if key.kind == REVISIONS else key.name)


def _seniority(service: Document) -> tuple[bool, str, str]:
    served = at(service, "status", "bookkeeping") is not None
    return not served, service["metadata"].get("creationTimestamp", ""), service["kind"]
