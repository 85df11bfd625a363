"""Who owns which field after a write. Pure: documents in, documents out, the time an argument.

A write that does not apply (create, replace, patch) takes what it changes. ``apply`` is what server-side apply makes
of a document: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.control.api.fields import (
    ANCIENT,
    APPLY,
    MAX_UPDATERS,
    NOTHING,
    UPDATE,
    Field,
    Fields,
    Owner,
    changed,
    leaves,
    read_owners,
    show,
    touched,
    write_owners,
)
from tidegate.protocol.errors import FieldConflict
from tidegate.resources.document import Document, same

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Where ``kubectl apply`` keeps what it sent."""
KUBECTL = "kubectl"
"""The manager of ``kubectl apply --server-side``, which may take over what ``kubectl apply`` had set."""


def updated(old: Document | None, new: Document, manager: str, time: str) -> Document:
    """``new`` with the managedFields that follow from its differences to ``old``. None for ``old``: it is created.

    Entries that were sent otherwise than they are stored are taken as they were sent: that is how ownership is given
    away, and how kubectl takes over from its older self.
    """
    owners = _stored(old, new)
    written, removed = changed(old or {"metadata": {}}, new)
    present = frozenset(leaves(new))
    owners = [_without(owner, written | removed) for owner in owners]
    if written:
        owners = _given(owners, Owner(manager, UPDATE, new["apiVersion"], written, time), add=True)
    return _with(new, _tidy(owners, present))


def applied(live: Document | None, wanted: Document, manager: str, *, force: bool, time: str) -> Document:
    """The document after ``manager`` applied ``wanted``: what he says is so, what he said before and no more is gone.

    The managedFields are part of it already; whoever then changes the result by defaults calls ``settled``.

    Raises:
        FieldConflict: another one has set a field to another value, and it is not forced.
    """
    new = copy.deepcopy(live) if live is not None else {**_address(wanted), "metadata": {**wanted["metadata"]}}
    owners = (read_owners(live) or []) if live is not None else []
    said = leaves(wanted)
    fields = frozenset(said)
    mine = (manager, APPLY)
    before = next((owner.fields for owner in owners if owner.identity == mine), NOTHING)
    conflicts = _conflicts(live or {}, said, [owner for owner in owners if owner.identity != mine])
    if conflicts and not force:
        conflicts = _not_taken_over(live or {}, conflicts, manager)
    if conflicts and not force:
        raise FieldConflict([(show(field), owner.manager) for owner, field in conflicts])
    lost = frozenset(field for field, value in said.items() if not _has(live or {}, field, value))
    others = [_without(owner, lost) for owner in owners if owner.identity != mine]
    kept = frozenset[Field]().union(*(owner.fields for owner in others))
    unsaid = before - fields
    for field in sorted(unsaid - touched(unsaid, fields | kept)):
        _remove(new, field)
    for field, value in said.items():
        _set(new, field, value)
    own = Owner(manager, APPLY, wanted["apiVersion"], fields, time)
    if manager == KUBECTL and live is not None and _last_applied(live) is not None:
        _set(new, ("metadata", "annotations", LAST_APPLIED), _as_applied(wanted))
    stored = next((owner for owner in owners if owner.identity == mine), None)
    if stored is not None and stored.fields == fields and stored.api_version == own.api_version:
        own = stored  # applied once more: nothing is written
    return _with(new, [owner for owner in [*others, own] if owner.fields])


def settled(applied: Document, admitted: Document) -> Document:
    """What admission made of an applied document, without owners of fields that it has not."""
    owners = read_owners(applied) or []
    return _with(admitted, _tidy(owners, frozenset(leaves(admitted))))


def _stored(old: Document | None, new: Document) -> list[Owner]:
    held = (read_owners(old) or []) if old is not None else []
    sent = read_owners(new)
    return held if sent is None else sent


def _given(owners: Sequence[Owner], more: Owner, *, add: bool) -> list[Owner]:
    rest = [owner for owner in owners if owner.identity != more.identity]
    held = next((owner.fields for owner in owners if owner.identity == more.identity), NOTHING)
    return [*rest, msgspec.structs.replace(more, fields=held | more.fields if add else more.fields)]


def _without(owner: Owner, fields: Fields) -> Owner:
    lost = touched(owner.fields, fields)
    return msgspec.structs.replace(owner, fields=owner.fields - lost) if lost else owner


def _tidy(owners: Sequence[Owner], present: Fields) -> list[Owner]:
    """Entries that own something, of fields that are there; of those who do not apply the oldest as one."""
    kept = [msgspec.structs.replace(owner, fields=owner.fields & present) for owner in owners]
    kept = [owner for owner in kept if owner.fields]
    updaters = [owner for owner in kept if owner.operation == UPDATE and owner.manager != ANCIENT]
    if len(updaters) <= MAX_UPDATERS:
        return kept
    oldest = sorted(updaters, key=lambda owner: owner.time)[: len(updaters) - MAX_UPDATERS]
    kept = [owner for owner in kept if owner not in oldest]
    for owner in oldest:
        kept = _given(kept, msgspec.structs.replace(owner, manager=ANCIENT), add=True)
    return kept


def _conflicts(live: Document, said: dict[Field, Any], others: Sequence[Owner]) -> list[tuple[Owner, Field]]:
    """The fields that others own and that are said to be something else, each with one who owns it."""
    found: dict[Field, Owner] = {}
    differing = frozenset(field for field, value in said.items() if not _has(live, field, value))
    for owner in others:
        for field in touched(differing, owner.fields):
            found.setdefault(field, owner)
    return [(found[field], field) for field in sorted(found)]


def _not_taken_over(live: Document, conflicts: list[tuple[Owner, Field]], manager: str) -> list[tuple[Owner, Field]]:
    """The conflicts that remain where kubectl applies on the server what it has applied from the client.

    What its last-applied annotation has, and is still so, is its own, under whatever name it was written.
    """
    last = _last_applied(live)
    if manager != KUBECTL or last is None:
        return conflicts
    own = {field for field, value in leaves(last).items() if _has(live, field, value)}
    own.add(("metadata", "annotations", LAST_APPLIED))
    return [(owner, field) for owner, field in conflicts if field not in own]


def _last_applied(document: Document) -> Document | None:
    text = (document["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not isinstance(text, str):
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("metadata"), dict) else None


def _as_applied(document: Document) -> str:
    kept = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if annotations := kept.get("annotations"):
        kept["annotations"] = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    return msgspec.json.encode({**document, "metadata": kept}, order="sorted").decode() + "\n"


def _address(document: Document) -> Document:
    return {"apiVersion": document["apiVersion"], "kind": document["kind"]}


def _with(document: Document, owners: Sequence[Owner]) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if owners:
        metadata["managedFields"] = write_owners(owners)
    return {**document, "metadata": metadata}


def _has(document: Document, field: Field, value: Any) -> bool:
    place: Any = document
    for name in field:
        if not isinstance(place, dict) or name not in place:
            return False
        place = place[name]
    return same(place, value)


def _set(document: Document, field: Field, value: Any) -> None:
    place = document
    for name in field[:-1]:
        inner = place.get(name)
        if not isinstance(inner, dict):
            inner = place[name] = {}
        place = inner
    place[field[-1]] = copy.deepcopy(value)


def _remove(document: Document, field: Field) -> None:
    """Take a field away, and the objects that are empty without it."""
    places: list[Document] = [document]
    for name in field[:-1]:
        inner = places[-1].get(name)
        if not isinstance(inner, dict):
            return
        places.append(inner)
    places[-1].pop(field[-1], None)
    for place, name in zip(reversed(places[:-1]), reversed(field[:-1]), strict=True):
        if len(field) > 1 and place[name] == {} and place is not document:
            del place[name]
