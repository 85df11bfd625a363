"""One watch from its first change on: what is there, then what the log has, then what is published.

Each step reads a bounded number of changes, so a watch holds little however much it has missed. Between the last look
at the log and the queue nothing can be lost: both happen in one turn of the event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from tidegate.control.store.ledger import Entry
from tidegate.control.store.listing import parsed_version
from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.watchers import Unread, Watcher, Watchers, concerns
from tidegate.resources.document import GroupKind, version_of
from tidegate.resources.store import Change, ChangeType, Page, Query


class Lister(Protocol):
    """``Store.list``."""

    def __call__(self, kind: GroupKind, query: Query, *, limit: int | None, more: str | None) -> Awaitable[Page]: ...


Missed = Callable[[GroupKind, Query, int, int], Awaitable[tuple[Sequence[Entry], int]]]
"""The next entries after a version, and the version that is seen with them."""


class Watch:
    """An iterator of changes, entered before it is read. A read that is cancelled loses nothing."""

    def __init__(
        self,
        kind: GroupKind,
        query: Query,
        since: str | None,
        bookmarks: bool,
        sources: tuple[Lister, Missed, Watchers],
        settings: StoreSettings,
    ) -> None:
        self._kind = kind
        self._query = query
        self._since = since
        self._bookmarks = bookmarks
        self._list, self._missed, self._watchers = sources
        self._settings = settings
        self._version = 0
        self._told = 0
        self._more: str | None = None
        self._ready: deque[Change] = deque()
        self._watcher: Watcher | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self._version = parsed_version(self._since or "0")
        if self._version == 0:
            await self._replay()
        else:
            self._told = self._version
            await self._catch_up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._ready.clear()
        if self._watcher is not None:
            self._watchers.detach(self._watcher)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            if self._watcher is not None:
                change = self._watcher.take()
                if change is not None:
                    return change
                await self._watcher.arrival()
            elif self._more is not None:
                await self._replay()
            elif self._version < self._watchers.newest:
                await self._catch_up()
            else:
                self._attach()
        raise StopAsyncIteration

    async def _replay(self) -> None:
        """The next of what is there, as ADDED; a bookmark tells that this was all."""
        page = await self._list(self._kind, self._query, limit=self._settings.watch_batch, more=self._more)
        self._more = page.more
        self._version = int(page.version)
        self._ready.extend(Change(ChangeType.ADDED, version_of(item), item) for item in page.items)
        if page.more is None:
            self._bookmark()

    async def _catch_up(self) -> None:
        """The next of what the log has."""
        entries, self._version = await self._missed(self._kind, self._query, self._version, self._settings.watch_batch)
        changes = [change.read() for entry in entries if (change := concerns(entry, self._query))]
        self._ready.extend(changes)
        if changes:
            self._told = int(changes[-1].version)
        if self._version - self._told >= self._settings.bookmark_every:
            self._bookmark()

    def _bookmark(self) -> None:
        self._told = self._version
        if self._bookmarks:
            self._ready.append(Unread(ChangeType.BOOKMARK, self._version, None).read())

    def _attach(self) -> None:
        self._watcher = Watcher(self._kind, self._query, self._version, self._bookmarks, self._settings)
        self._watchers.attach(self._watcher)
