"""Who watches: each gets the changes of its query from a bounded queue, and is ended when it falls too far behind.

All of this happens in the event loop. Nothing is decoded and nothing waits when a change is published; a watcher makes
a document of its own when it takes the change.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import msgspec

from tidegate.control.store.ledger import Entry
from tidegate.control.store.lifecycle import stamped
from tidegate.control.store.listing import seen
from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import ResourceExpired, TidegateError
from tidegate.resources.document import GroupKind, from_bytes
from tidegate.resources.store import Change, ChangeType, Query


class Unread(msgspec.Struct, frozen=True):
    """A change that nobody has read yet."""

    type: ChangeType
    version: int
    document: bytes | None
    """None: a bookmark."""

    def read(self) -> Change:
        document = from_bytes(self.document) if self.document is not None else {"metadata": {}}
        return Change(self.type, str(self.version), stamped(document, self.version))


def concerns(entry: Entry, query: Query) -> Unread | None:
    """What an entry of the log is to a watcher, if anything."""
    kind = seen(entry, query)
    if kind is None:
        return None
    left = kind is ChangeType.DELETED and entry.type is not ChangeType.DELETED
    return Unread(kind, entry.version, entry.old if left else entry.new)


class Watcher:
    """The queue of one watcher that has caught up with the log until ``version``."""

    def __init__(self, kind: GroupKind, query: Query, version: int, bookmarks: bool, settings: StoreSettings) -> None:
        self._kind = kind
        self._query = query
        self._bookmark_every = settings.bookmark_every if bookmarks else 0
        self._most = settings.watch_queue
        self._told = version
        self._seen = version
        self._queue: deque[Unread] = deque()
        self._end: TidegateError | None = None
        self._arrival = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Watcher of {self._kind.name}, {len(self._queue)} changes behind version {self._seen}>"

    def offer(self, entry: Entry) -> None:
        if entry.version <= self._seen or self._end is not None:
            return
        self._seen = entry.version
        change = concerns(entry, self._query) if entry.key.kind == self._kind else None
        if change is not None:
            self._put(change)
        elif self._bookmark_every and entry.version - self._told >= self._bookmark_every:
            if self._queue and self._queue[-1].type is ChangeType.BOOKMARK:
                self._queue.pop()
            self._put(Unread(ChangeType.BOOKMARK, entry.version, None))

    def end(self, error: TidegateError) -> None:
        """Nothing comes after what waits now but this."""
        self._end = self._end or error
        self._arrival.set()

    def take(self) -> Change | None:
        """The next change; None where there is none yet."""
        if self._queue:
            return self._queue.popleft().read()
        if self._end is not None:
            raise self._end
        self._arrival.clear()
        return None

    async def arrival(self) -> None:
        await self._arrival.wait()

    def _put(self, change: Unread) -> None:
        if len(self._queue) >= self._most:
            self._queue.clear()
            behind = f"the watch is more than {self._most} changes behind and has ended"
            self.end(ResourceExpired(f"{behind}: watch again from the last change that was read, or list again"))
            return
        self._told = change.version
        self._queue.append(change)
        self._arrival.set()


class Watchers:
    """All who watch one store, and the version that they have been told of."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self._end: TidegateError | None = None
        self._watchers: set[Watcher] = set()

    def __len__(self) -> int:
        return len(self._watchers)

    def publish(self, entries: Sequence[Entry]) -> None:
        """Tell what one transaction has committed. Called in the order of the transactions."""
        for entry in entries:
            for watcher in self._watchers:
                watcher.offer(entry)
            self.newest = entry.version

    def attach(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)
        if self._end is not None:
            watcher.end(self._end)

    def detach(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def close(self, error: TidegateError) -> None:
        """End all who watch, and who come later."""
        self._end = error
        for watcher in self._watchers:
            watcher.end(error)
