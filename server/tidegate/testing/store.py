"""A Store in memory, for tests: no file, no thread, and a clock and uids that the test sets.

It makes its decisions with the code of the one in SQLite, and is held to the same contract.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from tidegate.control.store.ledger import Entry, Ledger, Waiting
from tidegate.control.store.local import LocalStore, Work
from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import ShuttingDown
from tidegate.resources.document import GroupKind, Key
from tidegate.resources.store import ChangeType, Event

T = TypeVar("T")
FIRST = 1
"""The version before the first change."""


class ManualClock:
    """Seconds since 1970, which pass when the test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class NumberedUids:
    """Uids that a test can foresee: uid-1, uid-2, …"""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        return f"uid-{next(self._numbers)}"


class _Held(msgspec.Struct, frozen=True):
    uid: str
    owners: frozenset[str]
    document: bytes


class _Told(msgspec.Struct, frozen=True):
    number: int
    identity: str
    at: float
    namespace: str
    occurrence: bytes


class MemoryLedger:
    """See ``Ledger``. ``copy`` is what a transaction goes back to."""

    def __init__(self) -> None:
        self._version = FIRST
        self._objects: dict[Key, _Held] = {}
        self._log: list[Entry] = []
        self._events: dict[tuple[Key, str, str, str], Event] = {}
        self._newest_told = 0
        self._told: list[_Told] = []
        self._sent = 0
        self._outbox: dict[int, Waiting] = {}

    def copy(self) -> MemoryLedger:
        other = MemoryLedger()
        other._version = self._version
        other._objects, other._log, other._events = self._objects.copy(), self._log.copy(), self._events.copy()
        other._newest_told, other._told = self._newest_told, self._told.copy()
        other._sent, other._outbox = self._sent, self._outbox.copy()
        return other

    def newest(self) -> int:
        return self._version

    def floor(self) -> int:
        return self._log[0].version - 1 if self._log else self._version

    def find(self, key: Key) -> bytes | None:
        held = self._objects.get(key)
        return None if held is None else held.document

    def place(self, uid: str) -> Key | None:
        return next((key for key, held in self._objects.items() if held.uid == uid), None)

    def dependents(self, uid: str) -> list[tuple[Key, bytes]]:
        return [(key, held.document) for key, held in self._objects.items() if uid in held.owners]

    def scan(
        self, kind: GroupKind, namespace: str | None, after: tuple[str, str], version: int
    ) -> Iterator[tuple[Key, bytes]]:
        then: dict[Key, bytes | None] = {key: held.document for key, held in self._objects.items()}
        for entry in reversed(self._log):  # back to the instant, change by change
            if entry.version > version:
                then[entry.key] = entry.old
        for key, document in sorted(then.items(), key=lambda item: item[0]):
            wanted = key.kind == kind and namespace in (None, key.namespace) and key[1:] > after
            if wanted and document is not None:
                yield key, document

    def entries(self, kind: GroupKind, namespace: str | None, after: int, limit: int) -> list[Entry]:
        found = [
            entry
            for entry in self._log
            if entry.version > after and entry.key.kind == kind and namespace in (None, entry.key.namespace)
        ]
        return found[:limit]

    def append(self, entry: Entry, uid: str, owners: frozenset[str]) -> None:
        self._version = entry.version
        self._log.append(entry)
        if entry.type is ChangeType.DELETED:
            del self._objects[entry.key]
        else:
            self._objects[entry.key] = _Held(uid, owners, entry.new)

    def prune(self, version: int, at: float) -> None:
        del self._log[: next((i for i, entry in enumerate(self._log) if entry.version > version), len(self._log))]
        del self._log[: next((i for i, entry in enumerate(self._log) if entry.at >= at), len(self._log) - 1)]

    def event(self, about: Key, uid: str, severity: str, reason: str) -> Event | None:
        return self._events.get((about, uid, severity, reason))

    def put_event(self, event: Event) -> None:
        key = (event.about, event.uid, event.severity.value, event.reason)
        self._events.pop(key, None)  # the last told stands last
        self._events[key] = event

    def events(self, about: Key | None, limit: int) -> list[Event]:
        found = [event for event in reversed(self._events.values()) if about in (None, event.about)]
        return sorted(found, key=lambda event: -event.last)[:limit]

    def trim_events(self, most: int, since: float) -> None:
        kept = [item for item in self._events.items() if item[1].last >= since]
        kept = sorted(kept, key=lambda item: item[1].last)[-most:]
        self._events = {key: event for key, event in self._events.items() if (key, event) in kept}

    def newest_told(self) -> int:
        return self._newest_told

    def told_floor(self) -> int:
        return self._told[0].number - 1 if self._told else self._newest_told

    def is_told(self, identity: str) -> bool:
        return any(told.identity == identity for told in self._told)

    def put_told(self, identity: str, at: float, namespace: str, occurrence: bytes) -> int:
        self._newest_told += 1
        self._told.append(_Told(self._newest_told, identity, at, namespace, occurrence))
        return self._newest_told

    def told(self, namespace: str | None, after: int, limit: int) -> list[tuple[int, bytes]]:
        return [row for row in self._of(namespace) if row[0] > after][:limit]

    def last_told(self, namespace: str | None, limit: int) -> list[tuple[int, bytes]]:
        return self._of(namespace)[-limit:]

    def trim_told(self, most: int, since: float) -> None:
        del self._told[: max(0, len(self._told) - most)]
        while self._told and self._told[0].at < since:
            del self._told[0]

    def put_waiting(self, lane: str, at: float, occurrence: bytes, channel: bytes) -> None:
        self._sent += 1
        self._outbox[self._sent] = Waiting(self._sent, lane, at, at, 0, occurrence, channel)

    def waiting(self, number: int) -> Waiting | None:
        return self._outbox.get(number)

    def postpone(self, number: int, due: float) -> None:
        row = self._outbox[number]
        self._outbox[number] = msgspec.structs.replace(row, due=due, attempts=row.attempts + 1)

    def drop(self, number: int) -> None:
        self._outbox.pop(number, None)

    def heads_due(self, now: float, limit: int) -> list[Waiting]:
        return sorted((row for row in self._heads() if row.due <= now), key=lambda row: (row.due, row.number))[:limit]

    def next_due(self, now: float) -> float | None:
        return min((row.due for row in self._heads() if row.due > now), default=None)

    def surplus(self, most: int, since: float) -> list[Waiting]:
        old = [row for row in self._outbox.values() if row.at < since]
        young = [row for row in self._outbox.values() if row.at >= since]
        if len(young) > most:
            [(longest, _)] = Counter(row.lane for row in young).most_common(1)  # of several the one that began first
            old += [row for row in young if row.lane == longest][: len(young) - most]
        return old

    def _of(self, namespace: str | None) -> list[tuple[int, bytes]]:
        return [(told.number, told.occurrence) for told in self._told if namespace in (None, told.namespace)]

    def _heads(self) -> list[Waiting]:
        heads: dict[str, Waiting] = {}
        for row in self._outbox.values():
            heads.setdefault(row.lane, row)
        return list(heads.values())


class MemoryStore(LocalStore):
    """State that goes with the object."""

    def __init__(
        self,
        settings: StoreSettings | None = None,
        *,
        clock: Callable[[], float] | None = None,
        new_uid: Callable[[], str] | None = None,
    ) -> None:
        clock, new_uid = clock or ManualClock(), new_uid or NumberedUids()
        super().__init__(settings or StoreSettings(), clock=clock, new_uid=new_uid, newest=FIRST, newest_told=0)
        self._ledger = MemoryLedger()
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        self._end_watches()

    async def _read(self, work: Callable[[Ledger], T]) -> T:
        await self._turn()
        return work(self._ledger)

    async def _write(self, work: Work[T], keep: bool) -> T:
        await self._turn()
        ledger = self._ledger.copy()
        answer, committed = work(ledger)
        if keep:
            self._ledger = ledger
            self._publish(committed)
        return answer

    async def _turn(self) -> None:
        """Let others run, as who waits for a disk does: a test must not pass because nothing came between."""
        await asyncio.sleep(0)
        if self._closed:
            raise ShuttingDown
