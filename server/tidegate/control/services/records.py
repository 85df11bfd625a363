"""ServingRollouts, which are there to be read alone: written where they differ, and forgotten when there are many.

What was written last is remembered, so that nothing is read or written while nothing changes.
"""

from __future__ import annotations

from contextlib import suppress

from tidegate.protocol.errors import ResourceConflict, ResourceExists, ResourceNotFound
from tidegate.resources.document import Document, Key, key_of, same
from tidegate.resources.selector import parse_selector
from tidegate.resources.store import Query, Store

REMEMBERED = 4096
TRIES = 5
"""For somebody else may write or delete a record between its being read and written."""


class Records:
    """Those of all services. ``history`` is how many a service keeps."""

    def __init__(self, store: Store, history: int) -> None:
        self._store = store
        self._history = history
        self._written: dict[Key, Document] = {}

    async def write(self, document: Document) -> None:
        """Have it stored so, status included.

        Raises:
            StateUnavailable, ShuttingDown: it cannot be.
        """
        key = key_of(document)
        if same(self._written.get(key), document):
            return
        for _ in range(TRIES):
            with suppress(ResourceConflict, ResourceNotFound):
                await self._replace(key, document)
                break
        else:
            return  # the next look tries again, if there is one: nobody waits for a record
        if len(self._written) >= REMEMBERED:
            self._written.clear()
        self._written[key] = document

    async def _replace(self, key: Key, document: Document) -> None:
        stored = await self._stored(key, document)
        if not same(stored.get("status"), document["status"]):
            await self._store.replace_status({**stored, "status": document["status"]})

    async def _stored(self, key: Key, document: Document) -> Document:
        with suppress(ResourceNotFound):
            return await self._store.get(key)
        try:
            created = await self._store.create({name: value for name, value in document.items() if name != "status"})
        except ResourceExists:
            return await self._store.get(key)
        await self._prune(document)
        return created

    async def _prune(self, document: Document) -> None:
        """Forget the oldest of the same service."""
        key, labels = key_of(document), document["metadata"]["labels"]
        selector = parse_selector(",".join(f"{name}={value}" for name, value in labels.items()))
        page = await self._store.list(key.kind, Query(key.namespace, selector))
        alike = sorted(page.items, key=lambda each: int(each["spec"]["number"]))
        for old in alike[: max(len(alike) - self._history, 0)]:
            self._written.pop(key_of(old), None)
            with suppress(ResourceNotFound):
                await self._store.delete(key_of(old))
