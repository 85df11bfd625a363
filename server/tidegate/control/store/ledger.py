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


class Waiting(msgspec.Struct, frozen=True):
    """A row of the outbox: what is to be sent, told ``at`` a time, due at another."""

    number: int
    lane: str
    at: float
    due: float
    attempts: int
    occurrence: bytes
    channel: bytes


class Committed(msgspec.Struct, frozen=True):
    """What others are told of a transaction, once it is done: its entries, and the newest occurrence if it has one."""

    entries: list[Entry]
    told: int | None = None


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

    def newest_told(self) -> int:
        """The number of the last occurrence that ever was; 0 before the first."""
        ...

    def told_floor(self) -> int:
        """The lowest number after which every occurrence is still in the log."""
        ...

    def is_told(self, identity: str) -> bool:
        """Whether the log has an occurrence of this id."""
        ...

    def put_told(self, identity: str, at: float, namespace: str, occurrence: bytes) -> int:
        """Write an occurrence; returns its number."""
        ...

    def told(self, namespace: str | None, after: int, limit: int) -> list[tuple[int, bytes]]:
        """The first occurrences after a number."""
        ...

    def last_told(self, namespace: str | None, limit: int) -> list[tuple[int, bytes]]:
        """The last occurrences, in the log's order."""
        ...

    def trim_told(self, most: int, since: float) -> None:
        """Forget occurrences from before a time, and the oldest over a number."""
        ...

    def put_waiting(self, lane: str, at: float, occurrence: bytes, channel: bytes) -> None:
        """Put a delivery into the outbox, due at once."""
        ...

    def waiting(self, number: int) -> Waiting | None: ...

    def postpone(self, number: int, due: float) -> None:
        """Write that a delivery was tried once more, and when it is due again."""
        ...

    def drop(self, number: int) -> None:
        """Take a delivery out of the outbox."""
        ...

    def heads_due(self, now: float, limit: int) -> list[Waiting]:
        """The first delivery of each lane, as far as it is due; the longest due first."""
        ...

    def next_due(self, now: float) -> float | None:
        """When the first delivery of any lane will be due that is not yet."""
        ...

    def surplus(self, most: int, since: float) -> list[Waiting]:
        """Deliveries from before a time, and, over a number, the oldest of the longest lane, one after the other."""
        ...


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Metadata


_labels = msgspec.json.Decoder(_Labelled)


def labels_in(encoded: bytes) -> Mapping[str, str]:
    """The labels of a document, without reading the rest into values."""
    return _labels.decode(encoded).metadata.labels or {}
