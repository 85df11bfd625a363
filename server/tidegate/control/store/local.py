"""The Store port over a ledger: each call is one transaction, and what it committed is told to who watches."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from tidegate.control.store.ledger import Committed, Entry, Ledger
from tidegate.control.store.listing import missed, page
from tidegate.control.store.operations import Operations
from tidegate.control.store.pulse import Pulse
from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.telling import outbox, telling
from tidegate.control.store.watch import Watch
from tidegate.control.store.watchers import Watchers
from tidegate.protocol.errors import InvalidRequest, ResourceNotFound, ShuttingDown
from tidegate.resources.document import Document, GroupKind, Key, from_bytes
from tidegate.resources.store import (
    ALL,
    ANY,
    Cascade,
    Change,
    Delivery,
    Event,
    Occurrence,
    Outbox,
    Page,
    Patch,
    Preconditions,
    Query,
    Severity,
    Telling,
)

T = TypeVar("T")
Work = Callable[[Ledger], tuple[T, Committed]]
"""What is done in one transaction: its answer, and what others are told of it."""


def new_uid() -> str:
    return str(uuid.uuid4())


class LocalStore(ABC):
    """A Store but for where its ledger is. ``clock`` gives seconds since 1970, ``new_uid`` what no one else has."""

    def __init__(
        self,
        settings: StoreSettings,
        *,
        clock: Callable[[], float] = time.time,
        new_uid: Callable[[], str] = new_uid,
        newest: int,
        newest_told: int,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._new_uid = new_uid
        self._watchers = Watchers(newest)
        self._pulse = Pulse(newest_told)

    @abstractmethod
    async def _read(self, work: Callable[[Ledger], T]) -> T:
        """Do it in a transaction that sees one instant."""

    @abstractmethod
    async def _write(self, work: Work[T], keep: bool) -> T:
        """Do it in a transaction of its own, and tell the watchers; without ``keep`` undo it."""

    @abstractmethod
    async def close(self) -> None:
        """End every watch, finish what is being written, and let go of the state."""

    async def get(self, key: Key) -> Document:
        held = await self._read(lambda ledger: ledger.find(key))
        if held is None:
            raise ResourceNotFound(str(key))
        return from_bytes(held)

    async def list(
        self, kind: GroupKind, query: Query = ALL, *, limit: int | None = None, more: str | None = None
    ) -> Page:
        return await self._read(lambda ledger: page(ledger, kind, query, limit, more))

    async def create(self, document: Document, *, dry_run: bool = False) -> Document:
        return await self._change(lambda operations: operations.create(document), dry_run)

    async def replace(self, document: Document, *, dry_run: bool = False) -> Document:
        return await self._change(lambda operations: operations.replace(document), dry_run)

    async def replace_status(self, document: Document, *, dry_run: bool = False) -> Document:
        return await self._change(lambda operations: operations.replace_status(document), dry_run)

    async def patch(self, key: Key, patch: Patch, *, status: bool = False, dry_run: bool = False) -> Document:
        return await self._change(lambda operations: operations.patch(key, patch, status), dry_run)

    async def delete(
        self,
        key: Key,
        *,
        preconditions: Preconditions = ANY,
        cascade: Cascade = Cascade.BACKGROUND,
        dry_run: bool = False,
    ) -> Document:
        return await self._change(lambda operations: operations.delete(key, preconditions, cascade), dry_run)

    def watch(
        self, kind: GroupKind, query: Query = ALL, *, since: str | None = None, bookmarks: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        sources = (self.list, self._missed, self._watchers)
        return Watch(kind, query, since, bookmarks, sources, self._settings)

    async def record(self, about: Key, uid: str, severity: Severity, reason: str, message: str) -> Event:
        return await self._transact(
            lambda operations: operations.record(about, uid, severity, reason, message), keep=True
        )

    async def events(self, about: Key | None = None, *, limit: int = 500) -> Sequence[Event]:
        if limit < 1:
            raise InvalidRequest(f"limit is {limit}, expected a number of events above 0")
        return await self._read(lambda ledger: ledger.events(about, limit))

    async def tell(self, occurrence: Occurrence, deliveries: Sequence[Delivery] = ()) -> bool:
        return await self._transact(lambda operations: operations.tellings.tell(occurrence, deliveries), keep=True)

    async def occurrences(self, *, since: int | None = 0, limit: int = 500, namespace: str | None = None) -> Telling:
        return await self._read(lambda ledger: telling(ledger, since, limit, namespace))

    async def told_after(self, position: int) -> None:
        await self._pulse.beyond(position)

    async def outbox(self, now: float, limit: int) -> Outbox:
        return await self._read(lambda ledger: outbox(ledger, now, limit))

    async def delivered(self, number: int) -> None:
        await self._transact(lambda operations: operations.tellings.delivered(number), keep=True)

    async def postponed(self, number: int, until: float, why: str, *, warn: bool = False) -> bool:
        return await self._transact(
            lambda operations: operations.tellings.postponed(number, until, why, warn), keep=True
        )

    async def failed(self, number: int, why: str) -> None:
        await self._transact(lambda operations: operations.tellings.failed(number, why), keep=True)

    async def _missed(self, kind: GroupKind, query: Query, after: int, limit: int) -> tuple[Sequence[Entry], int]:
        return await self._read(lambda ledger: missed(ledger, kind, query, after, limit))

    async def _change(self, work: Callable[[Operations], Document], dry_run: bool) -> Document:
        return await self._transact(lambda operations: _answer(operations, work(operations), dry_run), keep=not dry_run)

    async def _transact(self, work: Callable[[Operations], T], *, keep: bool) -> T:
        def transaction(ledger: Ledger) -> tuple[T, Committed]:
            operations = Operations(ledger, self._settings, self._clock(), self._new_uid)
            answer = work(operations)
            operations.prune()
            return answer, operations.committed

        return await self._write(transaction, keep)

    def _publish(self, committed: Committed) -> None:
        """Tell what one transaction has committed. Called in the order of the transactions."""
        self._watchers.publish(committed.entries)
        if committed.told is not None:
            self._pulse.beat(committed.told)

    def _end_watches(self) -> None:
        self._watchers.close(ShuttingDown())
        self._pulse.close(ShuttingDown())


def _answer(operations: Operations, document: Document, dry_run: bool) -> Document:
    """What a dry run answers has no version of its own: the next write will get that one."""
    version = document["metadata"]["resourceVersion"]
    for entry in operations.entries if dry_run else ():
        if str(entry.version) == version:
            del document["metadata"]["resourceVersion"]
            if entry.old is not None:
                document["metadata"]["resourceVersion"] = from_bytes(entry.old)["metadata"]["resourceVersion"]
            break
    return document
