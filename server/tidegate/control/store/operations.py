"""What a store does, over the ledger of one transaction: each write decides, and appends what became of it."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.control.store.ledger import Committed, Entry, Ledger
from tidegate.control.store.lifecycle import (
    check_address,
    check_metadata,
    created,
    disowned,
    leaving,
    marked,
    replaced,
    stamped,
    with_status,
)
from tidegate.control.store.patches import patched
from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.telling import Tellings
from tidegate.protocol.errors import InvalidResource, ResourceConflict, ResourceExists, ResourceNotFound, shown
from tidegate.resources.document import (
    Document,
    Key,
    check_json,
    finalizers_of,
    from_bytes,
    key_of,
    owners_of,
    same,
    to_bytes,
)
from tidegate.resources.store import Cascade, ChangeType, Event, Patch, Preconditions, Severity


class Operations:
    """The writes of one transaction. ``entries`` is what it appended, which watchers are told once it is committed."""

    def __init__(self, ledger: Ledger, settings: StoreSettings, now: float, new_uid: Callable[[], str]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._now = now
        self._new_uid = new_uid
        self.entries: list[Entry] = []
        self.tellings = Tellings(ledger, settings, now)

    @property
    def committed(self) -> Committed:
        """What others are told of it once it is done."""
        return Committed(self.entries, self.tellings.newest)

    def create(self, document: Document) -> Document:
        key = self._checked(document)
        if self._ledger.find(key) is not None:
            raise ResourceExists(str(key))
        return self._append(ChangeType.ADDED, key, None, created(document, self._new_uid(), self._now))

    def replace(self, document: Document) -> Document:
        key = self._checked(document)
        held = self._held(key)
        return self._put(key, held, replaced(from_bytes(held), document))

    def replace_status(self, document: Document) -> Document:
        key = self._checked(document)
        held = self._held(key)
        return self._put(key, held, with_status(from_bytes(held), document))

    def patch(self, key: Key, patch: Patch, status: bool) -> Document:
        held = self._held(key)
        old = from_bytes(held)
        new = check_address(key, patched(old, patch, self._settings))
        self._checked(new)
        return self._put(key, held, with_status(old, new) if status else replaced(old, new))

    def delete(self, key: Key, preconditions: Preconditions, cascade: Cascade) -> Document:
        held = self._held(key)
        old = from_bytes(held)
        metadata = old["metadata"]
        for field, wanted in (("uid", preconditions.uid), ("resourceVersion", preconditions.version)):
            if wanted is not None and wanted != metadata[field]:
                raise ResourceConflict(str(key), field, metadata[field], wanted)
        if cascade is Cascade.ORPHAN:
            for dependent, encoded in self._ledger.dependents(metadata["uid"]):
                self._append(ChangeType.MODIFIED, dependent, encoded, disowned(from_bytes(encoded), metadata["uid"]))
        if not finalizers_of(old):
            return self._remove(key, held, old)
        if leaving(old):
            return old
        return self._append(ChangeType.MODIFIED, key, held, marked(old, self._now))

    def record(self, about: Key, uid: str, severity: Severity, reason: str, message: str) -> Event:
        return self.tellings.record(about, uid, severity, reason, message)

    def prune(self) -> None:
        """Forget what the log need not keep any more."""
        if self.entries:
            settings = self._settings
            self._ledger.prune(self._ledger.newest() - settings.max_changes, self._now - settings.max_change_age)

    def _checked(self, document: Document) -> Key:
        """The key of a document that is one in JSON and whose metadata is as it should be."""
        check_json(document)
        if not isinstance(document, dict):
            raise InvalidResource("the document", f"is a {type(document).__name__}, expected an object")
        key = key_of(document)
        check_metadata(document)
        return key

    def _held(self, key: Key) -> bytes:
        held = self._ledger.find(key)
        if held is None:
            raise ResourceNotFound(str(key))
        return held

    def _put(self, key: Key, held: bytes, new: Document) -> Document:
        """Write the next state of an object, unless it is the present one; the last finalizer's removal removes it."""
        old = from_bytes(held)
        if same(old, new):
            return old
        if leaving(new) and not finalizers_of(new):
            return self._remove(key, held, new)
        return self._append(ChangeType.MODIFIED, key, held, new)

    def _remove(self, key: Key, held: bytes, last: Document) -> Document:
        """Remove an object, and what only it owned, and what only that owned."""
        answer = self._append(ChangeType.DELETED, key, held, last)
        gone = [last["metadata"]["uid"]]
        while gone:
            owner = gone.pop()
            for dependent, encoded in self._ledger.dependents(owner):
                if self._leave(dependent, encoded, owner):
                    gone.append(from_bytes(encoded)["metadata"]["uid"])
        return answer

    def _leave(self, key: Key, held: bytes, owner: str) -> bool:
        """Do to an object what follows from the removal of an owner, and tell whether it is removed, too."""
        old = from_bytes(held)
        if leaving(old):
            return False
        without = disowned(old, owner)
        if owners_of(without):
            self._append(ChangeType.MODIFIED, key, held, without)
        elif finalizers_of(old):
            self._append(ChangeType.MODIFIED, key, held, marked(old, self._now))
        else:
            self._append(ChangeType.DELETED, key, held, old)
            return True
        return False

    def _append(self, kind: ChangeType, key: Key, held: bytes | None, new: Document) -> Document:
        owners = frozenset(reference["uid"] for reference in owners_of(new))
        if kind is not ChangeType.DELETED:
            self._check_owners(key, owners, held)
        version = self._ledger.newest() + 1
        encoded = to_bytes(stamped(new, version), self._settings.max_document)
        entry = Entry(version, self._now, kind, key, held, encoded)
        self._ledger.append(entry, new["metadata"]["uid"], owners)
        self.entries.append(entry)
        return from_bytes(encoded)

    def _check_owners(self, key: Key, owners: frozenset[str], held: bytes | None) -> None:
        """A new owner must be there: what goes with a resource that is gone already would stay for ever."""
        known = {reference["uid"] for reference in owners_of(from_bytes(held))} if held is not None else set()
        for uid in sorted(owners - known):
            place = self._ledger.place(uid)
            if place is None or place.namespace not in ("", key.namespace):
                raise InvalidResource(
                    "metadata.ownerReferences", f"names the uid '{shown(uid)}', which no resource that can own it has"
                )
