"""Creating, changing and deleting: each reads what is stored, decides by pure functions, and writes on that condition.

A write that meets another one in between is made anew, unless its writer named the version that it is for.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from tidegate.control.api.admission import Admitted, addressed, admit, normalised
from tidegate.control.api.namespaces import Namespaces
from tidegate.control.api.ownership import applied, settled, updated
from tidegate.control.api.parameters import DeleteOptions, WriteOptions
from tidegate.control.api.served import Served
from tidegate.control.api.settings import ApiSettings
from tidegate.control.api.target import Target
from tidegate.control.store.lifecycle import check_address
from tidegate.protocol.errors import (
    InternalError,
    InvalidRequest,
    InvalidResource,
    ResourceConflict,
    ResourceExists,
    ResourceNotFound,
    TidegateError,
    quoted,
)
from tidegate.resources.document import Document, Key, key_of, version_of
from tidegate.resources.kinds import SERVICES
from tidegate.resources.store import Query, Store

T = TypeVar("T")
Make = Callable[[Document], Document]
"""From the stored document to the one that is wanted."""
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""Of generated names: Kubernetes' letters, of which no words are made."""
GENERATED = 5


class _Raced(Exception):
    """Another write came in between; its cause is what to say if that happens again and again."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of a write: the resource, the status of the answer, and the versions for the audit log."""

    document: Document
    code: int = 200
    warnings: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    each: tuple[Outcome, ...] = ()
    """Of several resources at once, those that were there."""


class Writer:
    """The writes of an API. ``clock`` gives seconds since 1970."""

    def __init__(self, store: Store, namespaces: Namespaces, settings: ApiSettings, clock: Callable[[], float]) -> None:
        self._store = store
        self._namespaces = namespaces
        self._attempts = settings.max_attempts
        self._clock = clock

    async def create(self, target: Target, body: object, options: WriteOptions) -> Outcome:
        """A new resource.

        Raises:
            ResourceExists: there is one of the name, or a service of another kind has it.
            InvalidManifest, InvalidRequest, ResourceNotFound: what was sent is none, or there is no such namespace.
        """
        document = _named(addressed(target.served, body, target.namespace, None))
        admitted = admit(target.served, document, None, options.validation)
        new = updated(None, admitted.document, options.manager, self._time())
        return await self._create(target.served, new, admitted, options)

    async def replace(self, target: Target, body: object, options: WriteOptions) -> Outcome:
        """All but the status, in the place of what is stored.

        Raises:
            ResourceNotFound, ResourceConflict, InvalidManifest, InvalidRequest: see ``Store.replace``.
        """
        document = addressed(target.served, body, target.namespace, target.name)
        return await self.change(target, lambda old: document, options)

    async def change(self, target: Target, make: Make, options: WriteOptions) -> Outcome:
        """What ``make`` makes of the stored resource, in its place. Raises as ``replace``."""

        async def attempt(old: Document) -> Outcome:
            wanted = check_address(key_of(old), make(old))
            _agree(old, wanted)
            admitted = admit(target.served, wanted, old, options.validation)
            new = updated(old, admitted.document, options.manager, self._time())
            return await self._replace(old, new, admitted, options)

        return await self._persistently(lambda: self._store.get(_key(target)), attempt)

    async def change_status(self, target: Target, make: Make, options: WriteOptions) -> Outcome:
        """The status of what ``make`` makes of the stored resource, and nothing else of it. Raises as ``replace``."""

        async def attempt(old: Document) -> Outcome:
            wanted = check_address(key_of(old), make(old))
            _agree(old, wanted)
            if not isinstance(status := wanted.get("status"), dict | None):
                raise InvalidResource("status", f"is {quoted(status)}, expected an object")
            held = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version_of(old)}}
            try:
                stored = await self._store.replace_status(held, dry_run=options.dry_run)
            except ResourceConflict as conflict:
                raise _Raced from conflict
            return Outcome(stored, before=version_of(old), after=version_of(stored))

        return await self._persistently(lambda: self._store.get(_key(target)), attempt)

    async def apply(self, target: Target, body: object, options: WriteOptions) -> Outcome:
        """Server-side apply.

        Raises:
            FieldConflict: others have set some of the fields, and it is not forced. And as ``create`` and ``replace``.
        """
        wanted = addressed(target.served, body, target.namespace, target.name)
        if wanted["metadata"].get("managedFields"):
            raise InvalidRequest("metadata.managedFields is set, expected none in what is applied")
        wanted = normalised(wanted)

        key = _key(target)

        async def attempt(old: Document | None) -> Outcome:
            _agree(old, wanted)
            merged = applied(old, wanted, options.manager, force=options.force, time=self._time())
            admitted = admit(target.served, merged, old, options.validation)
            new = settled(merged, admitted.document)
            if old is not None:
                return await self._replace(old, new, admitted, options)
            try:
                return await self._create(target.served, new, admitted, options)
            except ResourceExists as exists:
                if await self._found(key) is None:  # it is another kind's name
                    raise
                raise _Raced from exists

        return await self._persistently(lambda: self._found(key), attempt)

    async def delete(self, target: Target, options: DeleteOptions) -> Outcome:
        """Let a resource go. Raises as ``Store.delete``, and Forbidden or ResourceConflict for a namespace in use."""
        key = _key(target)
        if self._namespaces.are(target.served):
            gone = await self._namespaces.delete(key, options)
        else:
            gone = await self._store.delete(
                key, preconditions=options.preconditions, cascade=options.cascade, dry_run=options.dry_run
            )
        return Outcome(gone, after=version_of(gone))

    async def delete_all(self, target: Target, query: Query, options: DeleteOptions) -> list[Outcome]:
        """Let all go that a query selects."""
        gone = []
        for document in (await self._store.list(target.served.group_kind, query)).items:
            one = Target(target.served, document["metadata"].get("namespace", ""), document["metadata"]["name"])
            try:
                gone.append(await self.delete(one, options))
            except ResourceNotFound:
                continue  # with its owner, or by somebody else
        return gone

    async def _create(self, served: Served, new: Document, admitted: Admitted, options: WriteOptions) -> Outcome:
        async with self._namespaces.entered(new):
            await self._check_free(served, new)
            stored = await self._store.create(new, dry_run=options.dry_run)
        return Outcome(stored, 201, admitted.warnings, after=version_of(stored))

    async def _replace(self, old: Document, new: Document, admitted: Admitted, options: WriteOptions) -> Outcome:
        held = {**new, "metadata": {**new["metadata"], "resourceVersion": version_of(old)}}
        try:
            stored = await self._store.replace(held, dry_run=options.dry_run)
        except ResourceConflict as conflict:
            raise _Raced from conflict
        return Outcome(stored, 200, admitted.warnings, version_of(old), version_of(stored))

    async def _persistently(
        self, read: Callable[[], Awaitable[T]], attempt: Callable[[T], Awaitable[Outcome]]
    ) -> Outcome:
        """Attempt it with what is stored, and anew with what is stored then where somebody else was faster."""
        for left in reversed(range(self._attempts)):
            try:
                return await attempt(await read())
            except _Raced as raced:
                if not left and isinstance(raced.__cause__, TidegateError):
                    raise raced.__cause__ from None
        raise InternalError

    async def _found(self, key: Key) -> Document | None:
        try:
            return await self._store.get(key)
        except ResourceNotFound:
            return None

    async def _check_free(self, served: Served, document: Document) -> None:
        """That no service of another kind has the name."""
        if served.group_kind not in SERVICES:
            return
        for kind in SERVICES:
            key = Key(kind, document["metadata"].get("namespace", ""), document["metadata"]["name"])
            if kind != served.group_kind and await self._found(key) is not None:
                raise ResourceExists(str(key))

    def _time(self) -> str:
        return datetime.fromtimestamp(int(self._clock()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(target: Target) -> Key:
    return Key(target.served.group_kind, target.namespace, target.name)


def _agree(old: Document | None, wanted: Document) -> None:
    """That what is wanted is for what is stored, as far as it says so.

    Raises:
        ResourceConflict: it is not.
        ResourceNotFound: nothing is stored.
    """
    for field in ("uid", "resourceVersion"):
        said = wanted["metadata"].get(field)
        if not said:
            continue
        if old is None:
            raise ResourceNotFound(str(key_of(wanted)))
        if said != old["metadata"].get(field):
            raise ResourceConflict(str(key_of(wanted)), field, str(old["metadata"].get(field)), str(said))


def _named(document: Document) -> Document:
    """The document with a name that is made from ``generateName``, where it has only that."""
    metadata = document["metadata"]
    prefix = metadata.get("generateName")
    if metadata.get("name") or not isinstance(prefix, str) or not prefix:
        return document
    suffix = "".join(secrets.choice(SUFFIX) for _ in range(GENERATED))
    return {**document, "metadata": {**metadata, "name": prefix[: 253 - GENERATED] + suffix}}
