"""Whose fields are whose after an undo: what it wrote is the user's own again when he applies a manifest. Pure.

An undo writes what a revision was made of, so it owns those fields, and server-side apply would refuse the manifest
that is applied next, and keep what the undo has set beside it. Both are the same person's doing, and so is a manifest
that ``tidegate serve`` was started with. So the fields change hands first, as kubectl has it for what it once applied
from the client
(https://kubernetes.io/docs/reference/using-api/server-side-apply/#migration-between-client-side-and-server-side-apply).
"""

from __future__ import annotations

from typing import Any

from tidegate.client.resource_calls import MANAGER, SERVE, Document

UNDO = "tidegate-undo"
"""The manager of the fields that an undo has written."""


def taken_back(document: Document) -> list[Document] | None:
    """``managedFields`` with the fields of undoes and of a server's start given to who applies; None where there are
    none."""
    entries: list[Document] = document.get("metadata", {}).get("managedFields") or []
    taken = [each for each in entries if each.get("manager") in (UNDO, SERVE)]
    if not taken:
        return None
    rest = [each for each in entries if each not in taken]
    own = next((each for each in rest if _applies(each)), None)
    base = own or {**taken[0], "manager": MANAGER, "operation": "Apply"}
    fields: Any = base.get("fieldsV1") or {}
    for each in taken:
        fields = _merged(fields, each.get("fieldsV1") or {})
    return [*(each for each in rest if each is not own), {**base, "fieldsV1": fields}]


def _applies(entry: Document) -> bool:
    return (entry.get("manager"), entry.get("operation")) == (MANAGER, "Apply")


def _merged(one: Document, other: Document) -> Document:
    return {**one, **{name: _merged(one.get(name) or {}, fields) for name, fields in other.items()}}
