"""How a watch goes on where the last one ended, so that its reader sees no gap: nothing twice, nothing left out. Pure.

A server remembers what has changed for a while. A watch that comes back in that time goes on from the last version; one
that comes later (410) lists again, and what the list tells is held against what the reader has been told before.
"""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.client.resource_calls import Document, Listing, ResourceChange, metadata_of, version_of
from tidegate.client.retry import RetryPolicy

Name = tuple[str, str]


class Known:
    """What the reader of a watch knows. ``version`` is where to go on from; '' where a list is needed first."""

    def __init__(self, since: str | Listing = "") -> None:
        self.version = since.version if isinstance(since, Listing) else since
        items = since.items if isinstance(since, Listing) else []
        self._resources = {_name(document): document for document in items}

    def __repr__(self) -> str:
        return f"<Known {len(self._resources)} resources at {self.version or 'no version'}>"

    def listed(self, listing: Listing) -> Iterator[ResourceChange]:
        """What a whole list tells beyond what is known."""
        gone = dict(self._resources)
        for document in listing.items:
            before = gone.pop(_name(document), None)
            self._resources[_name(document)] = document
            if before is None:
                yield ResourceChange("ADDED", document)
            elif _version(before) != _version(document):
                yield ResourceChange("MODIFIED", document)
        for name, document in gone.items():
            del self._resources[name]
            yield ResourceChange("DELETED", document)
        self.version = listing.version

    def changed(self, change: ResourceChange) -> Iterator[ResourceChange]:
        """What an event of the watch tells."""
        self.version = _version(change.document) or self.version
        if change.type == "BOOKMARK":
            return
        if change.type == "DELETED":
            self._resources.pop(_name(change.document), None)
        else:
            self._resources[_name(change.document)] = change.document
        yield change

    def expired(self) -> None:
        """The version is too old to go on from."""
        self.version = ""


def pause(policy: RetryPolicy, failures: int) -> float:
    """Seconds until a watch that has ended so often without telling anything begins again; 0 after one that has."""
    if failures == 0:
        return 0.0
    longest: float = policy.initial_backoff * policy.multiplier ** min(failures - 1, 64)
    return min(policy.max_backoff, longest)


def _name(document: Document) -> Name:
    metadata = metadata_of(document)
    return metadata.get("namespace") or "", metadata.get("name") or ""


def _version(document: Document) -> str:
    return metadata_of(document).get("resourceVersion") or version_of(document)
