"""Namespaces: one must exist before anything is put into it, and be empty before it is deleted.

Kubernetes deletes what is in a namespace along with it. Here that is refused: a word too much would end every service
of a team, and there is no cluster administrator to stop it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tidegate.control.api.parameters import DeleteOptions
from tidegate.control.api.served import NAMESPACE, RESOURCES, Served
from tidegate.protocol.errors import Forbidden, ResourceExists, ResourceInUse
from tidegate.resources.document import DEFAULT_NAMESPACE, Document, Key
from tidegate.resources.store import Query, Store


class Namespaces:
    """The namespaces of a store. Who puts something into one and who deletes one take turns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()

    async def prepare(self) -> None:
        """See that ``default`` is there."""
        with suppress(ResourceExists):
            metadata = {"name": DEFAULT_NAMESPACE}
            await self._store.create({"apiVersion": "v1", "kind": NAMESPACE.name, "metadata": metadata})

    @staticmethod
    def are(served: Served) -> bool:
        return served.group_kind == NAMESPACE

    @asynccontextmanager
    async def entered(self, document: Document) -> AsyncIterator[None]:
        """While entered, the namespace of a document is there.

        Raises:
            ResourceNotFound: it is not.
        """
        async with self._turn:
            if namespace := document["metadata"].get("namespace"):
                await self._store.get(key_of_namespace(namespace))
            yield

    async def delete(self, key: Key, options: DeleteOptions) -> Document:
        """Delete an empty namespace.

        Raises:
            Forbidden: it is ``default``.
            ResourceInUse: it is not empty. And what ``Store.delete`` raises.
        """
        if key.name == DEFAULT_NAMESPACE:
            raise Forbidden("the namespace 'default' cannot be deleted: it is where what names no namespace goes")
        async with self._turn:
            await self._check_empty(key)
            return await self._store.delete(key, preconditions=options.preconditions, dry_run=options.dry_run)

    async def _check_empty(self, key: Key) -> None:
        for served in RESOURCES:
            if served.namespaced and served.model is not None:
                page = await self._store.list(served.group_kind, Query(key.name), limit=1)
                if page.items:
                    name = page.items[0]["metadata"]["name"]
                    raise ResourceInUse(f"{key} still holds {served.kind} '{name}': delete what is in it first")


def key_of_namespace(name: str) -> Key:
    return Key(NAMESPACE, "", name)
