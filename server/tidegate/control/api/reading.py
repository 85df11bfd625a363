"""Getting and listing: the stored resource, the parts of it that are asked for by themselves, and events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegate.control.api.columns import COLUMNS, Column
from tidegate.control.api.content import as_list
from tidegate.control.api.events import (
    MOST,
    Requirement,
    about_of,
    api_version_of,
    event_document,
    parse_fields,
    selects,
)
from tidegate.control.api.parameters import ListOptions
from tidegate.control.api.scale import scale_of
from tidegate.control.api.served import RESOURCES
from tidegate.control.api.table import table
from tidegate.control.api.target import Target
from tidegate.protocol.errors import ResourceNotFound, shown
from tidegate.resources.document import Document, Key
from tidegate.resources.store import Query, Store


class Reader:
    """The reads of an API. ``clock`` gives seconds since 1970."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def get(self, target: Target, options: ListOptions, *, as_table: bool) -> Document:
        """One resource, or its scale, or a table of it.

        Raises:
            ResourceNotFound: there is none.
        """
        stored = await self._store.get(Key(target.served.group_kind, target.namespace, target.name))
        columns = target.served.columns
        if target.subresource is not None and target.subresource.name == "scale":
            stored, columns = scale_of(stored), COLUMNS["Scale"]
        return self._table([stored], columns, {}, options) if as_table else stored

    async def list(self, target: Target, options: ListOptions, *, as_table: bool) -> Document:
        """A page of a collection. Raises as ``Store.list``."""
        page = await self._store.list(
            target.served.group_kind, query_of(target, options), limit=options.limit, more=options.more
        )
        metadata: Document = {"resourceVersion": page.version}
        if page.more:
            metadata["continue"] = page.more
        return self._shown(target, page.items, metadata, options, as_table)

    async def events(self, target: Target, fields: str, options: ListOptions, *, as_table: bool) -> Document:
        """What was told of the resources in a namespace, or of all; the latest first.

        Raises:
            InvalidRequest: ``fields`` is no selector.
        """
        requirements = parse_fields(fields)
        found = [document for document in await self._events(target, requirements) if selects(requirements, document)]
        return self._shown(target, found, {"resourceVersion": ""}, options, as_table)

    async def event(self, target: Target) -> Document:
        """Raises:
        ResourceNotFound: there is no event of this name.
        """
        for document in await self._events(target):
            if document["metadata"]["name"] == target.name:
                return document
        raise ResourceNotFound(f"Event '{shown(target.name, 128)}'")

    async def _events(self, target: Target, requirements: Sequence[Requirement] = ()) -> Sequence[Document]:
        about = about_of(requirements, (kind for kind, _ in _KNOWN))
        told = await self._store.events(about, limit=MOST)
        documents = [event_document(event, api_version_of(event.about.kind, _KNOWN)) for event in told]
        return [each for each in documents if target.namespace in ("", each["metadata"]["namespace"])]

    def _shown(
        self, target: Target, items: Sequence[Document], metadata: Document, options: ListOptions, as_table: bool
    ) -> Document:
        if as_table:
            return self._table(items, target.served.columns, metadata, options)
        return as_list(items, target.served.api_version, target.served.kind, metadata)

    def _table(
        self, items: Sequence[Document], columns: Sequence[Column], metadata: Document, options: ListOptions
    ) -> Document:
        return table(items, columns, metadata, self._clock(), options.include)


def query_of(target: Target, options: ListOptions) -> Query:
    """What of a kind a request is about."""
    return Query(target.namespace or None, options.selector)


_KNOWN = [(served.group_kind, served.api_version) for served in RESOURCES]
