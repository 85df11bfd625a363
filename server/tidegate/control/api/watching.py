"""A watch as an answer: a line of JSON for each change, until its time is over, the server ends, or it is too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from starlette.types import Send

from tidegate.control.api.parameters import ListOptions
from tidegate.control.api.served import Served
from tidegate.control.api.status import failure
from tidegate.control.api.table import Include, table
from tidegate.protocol.errors import Overloaded, ShuttingDown, TidegateError
from tidegate.resources.document import Document
from tidegate.resources.store import Change, ChangeType, Query, Store

INITIAL_END = "k8s.io/initial-events-end"
"""Annotation of the bookmark after the last of what was there."""


class Watches:
    """All watches of an API, so that there are not too many, and none when it ends."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[asyncio.Timeout] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def close(self) -> None:
        """End all of them now, as if their time were over."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for timeout in self._running:
            timeout.reschedule(now)

    @contextmanager
    def counted(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """While entered, a watch runs, in whose timeout this is.

        Raises:
            ShuttingDown, Overloaded: there can be no more.
        """
        if self._closed:
            raise ShuttingDown
        if len(self._running) >= self._most:
            raise Overloaded(f"the server has reached its limit of {self._most} watches", retry_after=1.0)
        self._running.add(timeout)
        try:
            yield
        finally:
            self._running.discard(timeout)


class Lines:
    """The lines of one watch. Pure: changes in, bytes out."""

    def __init__(self, served: Served, options: ListOptions, as_table: bool) -> None:
        self._served = served
        self._include = options.include
        self._as_table = as_table
        self._headed = True
        self._initial = bool(options.initial)

    def line(self, change: Change, now: float) -> bytes:
        document = change.document
        if change.type is ChangeType.BOOKMARK:
            document = self._bookmark(change.version)
        if self._as_table:
            document = self._table(change, document, now)
        return encoded(change.type.value, document)

    def _bookmark(self, version: str) -> Document:
        metadata: Document = {"resourceVersion": version, "creationTimestamp": None}
        if self._initial:
            metadata["annotations"] = {INITIAL_END: "true"}
            self._initial = False
        return {"kind": self._served.kind, "apiVersion": self._served.api_version, "metadata": metadata}

    def _table(self, change: Change, document: Document, now: float) -> Document:
        headed, self._headed = self._headed, False
        # Whoever looks for the end of what was there finds it in the row's metadata.
        include = Include.METADATA if change.type is ChangeType.BOOKMARK else self._include
        metadata = {"resourceVersion": change.version}
        return table([document], self._served.columns, metadata, now, include, headed=headed)


def encoded(kind: str, document: Document) -> bytes:
    """One event of a watch on its line."""
    return msgspec.json.encode({"type": kind, "object": document}) + b"\n"


async def stream(
    store: Store,
    watches: Watches,
    served: Served,
    query: Query,
    options: ListOptions,
    as_table: bool,
    clock: Callable[[], float],
    send: Send,
) -> None:
    """Answer with the changes of a query.

    Nothing is sent before the store has agreed to tell them, so that a version that is too old is a 410. One that
    becomes too old later, as a slow reader's does, is the last event.

    Raises:
        TidegateError: before anything was sent.
    """
    lines = Lines(served, options, as_table)
    started = False
    try:
        async with asyncio.timeout(options.timeout) as timeout:
            with watches.counted(timeout):
                since = await _since(store, served, query, options)
                async with store.watch(served.group_kind, query, since=since, bookmarks=options.bookmarks) as changes:
                    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                    started = True
                    await _send(send, b"")  # whoever waits for the first change sees that the watch has begun
                    async for change in changes:
                        await _send(send, lines.line(change, clock()))
    except TimeoutError:
        if not timeout.expired():
            raise
    except ShuttingDown:
        if not started:
            raise
    except TidegateError as error:
        if not started:
            raise
        await _send(send, encoded("ERROR", failure(error)))
    if not started:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _since(store: Store, served: Served, query: Query, options: ListOptions) -> str | None:
    """The version to watch from; None begins with what is there, as a watch does that names none."""
    if options.initial:
        return None
    version = options.version or "0"
    if version == "0" and options.initial is False:
        return (await store.list(served.group_kind, query, limit=1)).version
    return version


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
