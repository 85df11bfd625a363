"""What a store's decisions stand on: the objects, the log of their changes and the events, within one transaction.

Documents are bytes here, so that nobody shares a value that somebody else changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from tidegate.resources.document import GroupKind, Key
from tidegate.resources.store import ChangeType, Event


class Entry(msgspec.Struct, frozen=True):
    """One entry of the change log. ``version`` is its number.

    Of a resource that was created ``old`` is None. Of one that was deleted, ``new`` is what it was at last.
    """

    version: int
    at: float
    type: ChangeType
    key: Key
    old: bytes | None
    new: bytes


class Ledger(Protocol):
    """One transaction. What it reads is of one instant, and its own writes."""

    def newest(self) -> int:
        """The version of the last entry that ever was; 1 before the first, so that no state has the version 0."""
        ...

    def floor(self) -> int:
        """The lowest version after which every change is still in the log."""
        ...

    def find(self, key: Key) -> bytes | None: ...

    def place(self, uid: str) -> Key | None:
        """The address of the object of this uid."""
        ...

    def dependents(self, uid: str) -> list[tuple[Key, bytes]]:
        """The objects that name the uid as an owner, in the order in which they came."""
        ...

    def scan(
        self, kind: GroupKind, namespace: str | None, after: tuple[str, str], version: int
    ) -> Iterator[tuple[Key, bytes]]:
        """Objects as they were at a version that is not below the floor, by namespace and name, beyond ``after``."""
        ...

    def entries(self, kind: GroupKind, namespace: str | None, after: int, limit: int) -> list[Entry]:
        """The first entries of a kind after a version."""
        ...

    def append(self, entry: Entry, uid: str, owners: frozenset[str]) -> None:
        """Write an entry, and the object as it then is."""
        ...

    def prune(self, version: int, at: float) -> None:
        """Forget entries up to a version, and those from before ``at`` that have a younger one after them."""
        ...

    def event(self, about: Key, uid: str, severity: str, reason: str) -> Event | None: ...

    def put_event(self, event: Event) -> None:
        """Write an event in the place of the one of the same resource, severity and reason."""
        ...

    def events(self, about: Key | None, limit: int) -> list[Event]:
        """Events, the one that happened last first."""
        ...

    def trim_events(self, most: int, since: float) -> None:
        """Forget events that did not happen since then, and the oldest over a number."""
        ...


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Metadata


_labels = msgspec.json.Decoder(_Labelled)


def labels_in(encoded: bytes) -> Mapping[str, str]:
    """The labels of a document, without reading the rest into values."""
    return _labels.decode(encoded).metadata.labels or {}
