"""Sets of fields, and ``metadata.managedFields`` in which they are kept: who set which field. Pure.

Only leaves are owned: what is no object, and empty objects. A list is one leaf, however long. A field is a tuple of
names from the document's root; as FieldsV1 it is a tree of ``f:NAME`` (kubernetes-sigs/structured-merge-diff).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from tidegate.resources.document import Document, same
from tidegate.resources.faults import show_path

Field: TypeAlias = tuple[str, ...]
Fields: TypeAlias = frozenset[Field]

NOTHING: Fields = frozenset()
APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS = 10
"""Entries of those who do not apply; the oldest over it become one, as in Kubernetes."""
ANCIENT = "ancient-changes"
_UNOWNED = frozenset(("apiVersion", "kind", "status"))
_OWNED_METADATA = frozenset(("labels", "annotations", "finalizers", "ownerReferences"))


class Owner(msgspec.Struct, frozen=True):
    """One entry: who set these fields, how, and in which version of the kind."""

    manager: str
    operation: str
    api_version: str
    fields: Fields
    time: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        return self.manager, self.operation


def leaves(document: Document) -> dict[Field, Any]:
    """Everything in a document that can be owned, with its value. What is null is not there."""
    found: dict[Field, Any] = {}
    for name, value in document.items():
        if name == "metadata" and isinstance(value, dict):
            for inner in _OWNED_METADATA & value.keys():
                found.update(_leaves(value[inner], (name, inner)))
        elif name not in _UNOWNED and name != "metadata":
            found.update(_leaves(value, (name,)))
    return found


def _leaves(value: Any, path: Field) -> Iterator[tuple[Field, Any]]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from _leaves(member, (*path, name))
    elif value is not None:
        yield path, value


def touched(fields: Fields, by: Iterable[Field]) -> Fields:
    """Those of the fields that are one of the others, hold one, or are within one."""
    others = frozenset(by)
    holders = {field[:length] for field in others for length in range(1, len(field))}
    return frozenset(
        field
        for field in fields
        if field in holders or any(field[:length] in others for length in range(1, len(field) + 1))
    )


def changed(old: Document, new: Document) -> tuple[Fields, Fields]:
    """The fields that ``new`` has otherwise than ``old``, and those that it lacks."""
    before, after = leaves(old), leaves(new)
    written = frozenset(
        field for field, value in after.items() if field not in before or not same(before[field], value)
    )
    return written, frozenset(before) - frozenset(after)


def read_owners(document: Document) -> list[Owner] | None:
    """The entries of a document's managedFields; None where it has none, or what is no such list."""
    entries = document["metadata"].get("managedFields")
    if not isinstance(entries, list):
        return None
    if entries == [{}]:
        return []  # how people reset it
    try:
        return [_owner(entry) for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def write_owners(owners: Iterable[Owner]) -> list[Document]:
    """managedFields of these entries."""
    return [
        {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": owner.api_version,
            **({"time": owner.time} if owner.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(owner.fields),
        }
        for owner in owners
    ]


def _owner(entry: Document) -> Owner:
    if entry["operation"] not in (APPLY, UPDATE) or not isinstance(entry["manager"], str):
        raise ValueError(entry["operation"])
    fields = frozenset(_fields(entry["fieldsV1"], ()))
    return Owner(
        entry["manager"], entry["operation"], str(entry.get("apiVersion", "")), fields, str(entry.get("time", ""))
    )


def _tree(fields: Fields) -> Document:
    tree: Document = {}
    for field in sorted(fields):
        place = tree
        for name in field:
            place = place.setdefault(f"f:{name}", {})
    return tree


def _fields(tree: Document, path: Field) -> Iterator[Field]:
    inner = {name: below for name, below in tree.items() if name.startswith("f:")}
    if path and not inner:
        yield path
    for name, below in inner.items():
        yield from _fields(below, (*path, name[2:]))


def show(field: Field) -> str:
    """A field as an error names it."""
    return show_path(field)
