"""Resources as text: YAML or JSON, with what only machines read left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tidegate.client.resource_calls import Document

BOOKKEEPING = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
"""What the server writes into metadata, and no one means to change."""


def dump(value: Any, output: str) -> str:
    """A value as ``yaml`` or ``json``, with a newline at its end."""
    if output == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def readable(document: Document) -> Document:
    """A resource without ``managedFields``, which are longer than all the rest."""
    metadata = {name: value for name, value in document.get("metadata", {}).items() if name != "managedFields"}
    return _ordered({**document, "metadata": metadata})


def wanted(document: Document) -> Document:
    """What of a resource somebody has asked for: without its status and the server's bookkeeping."""
    metadata = {name: value for name, value in document.get("metadata", {}).items() if name not in BOOKKEEPING}
    return _ordered({name: value for name, value in document.items() if name != "status"} | {"metadata": metadata})


def as_list(documents: Sequence[Document]) -> Document:
    """Several resources as one document, in Kubernetes' form."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(documents)}


def _ordered(document: Document) -> Document:
    """In the order that people write it in."""
    first = [name for name in ("apiVersion", "kind", "metadata", "spec", "status") if name in document]
    return {name: document[name] for name in (*first, *(each for each in document if each not in first))}
