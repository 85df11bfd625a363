"""Tables (meta.k8s.io/v1), which ``kubectl get`` prints as they are. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from tidegate.control.api.columns import Column
from tidegate.resources.document import Document

KIND = {"kind": "Table", "apiVersion": "meta.k8s.io/v1"}


class Include(StrEnum):
    """What of the resource goes with each row, as ``includeObject`` names it."""

    NONE = "None"
    METADATA = "Metadata"
    OBJECT = "Object"


def table(
    items: Sequence[Document],
    columns: Sequence[Column],
    metadata: Document,
    now: float,
    include: Include = Include.METADATA,
    *,
    headed: bool = True,
) -> Document:
    """Resources as rows. The events of a watch say what the columns are once only: ``headed`` is False after that."""
    return {
        **KIND,
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in columns] if headed else [],
        "rows": [_row(item, columns, now, include) for item in items],
    }


def _row(item: Document, columns: Sequence[Column], now: float, include: Include) -> Document:
    row: Document = {"cells": [column.read(item, now) for column in columns]}
    if include is Include.OBJECT:
        row["object"] = item
    elif include is Include.METADATA:
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": item["metadata"],
        }
    return row
