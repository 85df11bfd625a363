"""The Store port: where resources are kept, changed and watched. ``tests/contracts/test_store.py`` says all of it.

Every write is one entry of the *change log*, and its number is the ``resourceVersion`` of what was written: it grows,
and is never given again. An *event* is another thing: what people are told about a resource.

``control.store`` keeps it in SQLite, ``tidegate.testing`` in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.selector import EVERYTHING, Selector


class ChangeType(StrEnum):
    """What became of a resource in the eyes of one watcher. What leaves its selection is DELETED to it."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    """Nothing that the watcher selects: it may go on from this version later."""


class Change(msgspec.Struct, frozen=True):
    """``document`` is the resource after the change, of what left the selection the one before it; of a bookmark it
    holds the version alone. Its resourceVersion is always the change's."""

    type: ChangeType
    version: str
    document: Document


class Query(msgspec.Struct, frozen=True):
    """Which resources of a kind: those of one namespace, or of all with None, that the selector selects."""

    namespace: str | None = None
    selector: Selector = EVERYTHING


ALL = Query()


class Page(msgspec.Struct, frozen=True):
    """A part of a list, in the order of namespace and name.

    All parts show one instant, ``version``, whatever is written between them. ``more`` gets the next one; None ends.
    """

    items: list[Document]
    version: str
    more: str | None = None


class MergePatch(msgspec.Struct, frozen=True):
    """RFC 7396: what is null goes, objects are merged, everything else is replaced."""

    patch: Document


class JsonPatch(msgspec.Struct, frozen=True):
    """RFC 6902: operations on paths, all or none of them."""

    operations: list[Any]


Patch = MergePatch | JsonPatch
"""Server-side apply is none of them: the API makes a replacement of it. ``metadata.managedFields`` is data here."""


class Cascade(StrEnum):
    """What becomes of the resources that the deleted one owns."""

    BACKGROUND = "Background"
    """What no one else owns goes, too, by its own finalizers."""
    ORPHAN = "Orphan"
    """They stay, and name it as their owner no more."""


class Preconditions(msgspec.Struct, frozen=True):
    """What must hold of the stored resource, or the deletion is a conflict. None: whatever it is."""

    uid: str | None = None
    version: str | None = None


ANY = Preconditions()


class Severity(StrEnum):
    """An event's type, in Kubernetes' words."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Event(msgspec.Struct, frozen=True):
    """What people are told: the same reason about the same resource is one event that is counted.

    ``message`` is the last one; the times are seconds since 1970.
    """

    about: Key
    uid: str
    severity: Severity
    reason: str
    message: str
    count: int
    first: float
    last: float


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a resource: a CloudEvent in the log, an ``Event`` for people, a message to channels.

    Its ``id`` makes it one: told twice, it is kept and sent once.
    """

    id: str
    """Unique for ever, and the same however often it is told: ``UID of the service/rollout 3/7``."""
    type: str
    """What people filter by: ``rollout.succeeded``, ``model.failed``."""
    about: Key
    uid: str
    severity: Severity
    reason: str
    """One word, for the Event: ``RolloutSucceeded``."""
    message: str
    """One sentence."""
    time: float
    """Seconds since 1970."""
    data: dict[str, Any] = {}
    """What programs read: numbers, revisions, verdicts. Plain JSON."""


class Delivery(msgspec.Struct, frozen=True):
    """To whom an occurrence is to be sent: a channel as the manifest has it (``resources.rollout.Channel``)."""

    channel: dict[str, Any]


class Told(msgspec.Struct, frozen=True):
    """An occurrence in the log. Its ``number`` grows and is never given again: what came later has a larger one."""

    number: int
    occurrence: Occurrence


class Telling(msgspec.Struct, frozen=True):
    """A part of the log of occurrences, in its order. Whoever reads on after ``position`` misses nothing."""

    items: list[Told]
    position: int


class Unsent(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that waits in the outbox. Its ``lane`` has all those to one channel, which go one after the other."""

    number: int
    lane: str
    occurrence: Occurrence
    channel: dict[str, Any]
    attempts: int
    """How often it was tried in vain."""


class Outbox(msgspec.Struct, frozen=True):
    """What is to be sent now: of each lane the first. ``then`` is when the next will be due, None where nothing waits.

    Whatever is told after ``position`` can change that; ``Store.told_after`` waits for it.
    """

    due: list[Unsent]
    then: float | None
    position: int


class Store(Protocol):
    """Documents that it takes are not changed and not kept; those that it gives belong to who gets them.

    With ``dry_run`` a write is checked and answered as always, and not done: its answer has the version from before.
    Every call may raise ``StateUnavailable``, and ``ShuttingDown`` once the store closes.
    """

    async def get(self, key: Key) -> Document:
        """The resource as it is now.

        Raises:
            ResourceNotFound: there is none.
        """
        ...

    async def list(
        self, kind: GroupKind, query: Query = ALL, *, limit: int | None = None, more: str | None = None
    ) -> Page:
        """Resources, at most ``limit`` of them. ``more`` is from the page before, of the same query.

        Raises:
            InvalidRequest: the limit is no count, or ``more`` is not from such a page.
            ResourceExpired: the instant of the first page is no longer kept.
        """
        ...

    async def create(self, document: Document, *, dry_run: bool = False) -> Document:
        """Keep a new resource, without its status.

        Raises:
            ResourceExists: there is one of its name.
            InvalidResource: it cannot be kept.
        """
        ...

    async def replace(self, document: Document, *, dry_run: bool = False) -> Document:
        """Put all but the status in the place of what is stored. What changes nothing is no write.

        Raises:
            ResourceNotFound: there is none of its name.
            ResourceConflict: it names a resourceVersion or uid that is not the stored one's.
            InvalidResource: it cannot be kept, or changes what cannot change.
        """
        ...

    async def replace_status(self, document: Document, *, dry_run: bool = False) -> Document:
        """Put the status in the place of the stored one, and nothing else of the document. Raises as ``replace``."""
        ...

    async def patch(self, key: Key, patch: Patch, *, status: bool = False, dry_run: bool = False) -> Document:
        """Change the stored resource as it is at that moment: all but its status, or with ``status`` that alone.

        A resourceVersion within the patch is a precondition. Raises as ``replace``, and InvalidResource where the
        patch cannot be applied.
        """
        ...

    async def delete(
        self,
        key: Key,
        *,
        preconditions: Preconditions = ANY,
        cascade: Cascade = Cascade.BACKGROUND,
        dry_run: bool = False,
    ) -> Document:
        """Let a resource go, at once or, where it has finalizers, when the last of them is removed.

        Returns it as it was at last; ``metadata.deletionTimestamp`` says that it waits for its finalizers.

        Raises:
            ResourceNotFound: there is none.
            ResourceConflict: a precondition does not hold.
        """
        ...

    def watch(
        self, kind: GroupKind, query: Query = ALL, *, since: str | None = None, bookmarks: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Changes after the version ``since``, in their order, for ever. With None or '0' what is there is ADDED first.

        Raises, on entering or later:
            InvalidRequest: ``since`` is no version.
            ResourceExpired: changes after ``since`` are no longer kept, it is above the newest, or whoever reads the
                changes is too far behind. List again, and watch from there.
        """
        ...

    async def record(self, about: Key, uid: str, severity: Severity, reason: str, message: str) -> Event:
        """Tell people something about a resource, which need not be there any more."""
        ...

    async def events(self, about: Key | None = None, *, limit: int = 500) -> Sequence[Event]:
        """What was told, the latest first."""
        ...

    async def tell(self, occurrence: Occurrence, deliveries: Sequence[Delivery] = ()) -> bool:
        """Keep what happened, record its Event, and put its deliveries into the outbox: all of it, or nothing.

        Returns whether it is new; what was told before is not told again, for as long as the log remembers it. Both
        log and outbox are bounded in number and age. What leaves the outbox because of that is a Warning about its
        resource, ``NotificationFailed``; where there are too many, the oldest of the longest lane leaves.

        Raises:
            InvalidResource: it cannot be kept, or its reason is no word.
            PayloadTooLarge: it is too large.
        """
        ...

    async def occurrences(self, *, since: int | None = 0, limit: int = 500, namespace: str | None = None) -> Telling:
        """What was told after a position: 0 begins with the first that is kept; with None it is the last ``limit``.

        Raises:
            InvalidRequest: the limit is no count.
            ResourceExpired: not all that was told after ``since`` is kept, or it is above the newest.
        """
        ...

    async def told_after(self, position: int) -> None:
        """Return once anything was told after a position, in whatever namespace; at once if it was.

        Raises:
            ShuttingDown: the store closes before.
        """
        ...

    async def outbox(self, now: float, limit: int) -> Outbox:
        """What is due, the longest due first, at most ``limit`` of it. It stays until it is told what became of it."""
        ...

    async def delivered(self, number: int) -> None:
        """A delivery has arrived and leaves the outbox. One that is there no more is passed over, here and below."""
        ...

    async def postponed(self, number: int, until: float, why: str, *, warn: bool = False) -> bool:
        """A delivery was tried in vain, and is due again ``until``. With ``warn`` that is a Warning about its resource,
        ``NotificationDelayed``. One that is too old by then leaves the outbox, as it does with ``failed``.

        Returns whether it stays.
        """
        ...

    async def failed(self, number: int, why: str) -> None:
        """A delivery leaves the outbox, with a Warning about its resource, ``NotificationFailed``, which says why."""
        ...
