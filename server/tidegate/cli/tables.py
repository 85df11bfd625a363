"""Rows in columns as kubectl prints them: as wide as their widest cell, three spaces between. Pure.

A server's own Table says which columns a kind has; what it does not know how to show has a name and an age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from tidegate.client.resource_calls import Document, metadata_of
from tidegate.protocol.errors import shown
from tidegate.resources.age import age as age  # also for whoever makes rows of his own

GAP = 3
WIDEST = 1000
"""Characters of one cell; what is longer is cut."""


class Layout:
    """The columns of a table that is still growing: a row that comes later keeps to them where it fits."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._widths = [cell_len(column) for column in columns]

    def __repr__(self) -> str:
        return f"<Layout {' '.join(self._columns)}>"

    @property
    def columns(self) -> Sequence[str]:
        return self._columns

    def widen(self, rows: Sequence[Sequence[object]]) -> None:
        """Make room for these rows."""
        for row in rows:
            for at, value in enumerate(row[: len(self._widths)]):
                self._widths[at] = max(self._widths[at], cell_len(cell(value)))

    def head(self) -> str:
        """The line with the names of the columns."""
        return self.line(self._columns)

    def line(self, row: Sequence[object]) -> str:
        """One row."""
        texts = [cell(value) for value in row[: len(self._widths)]]
        padded = [text + " " * (width - cell_len(text)) for text, width in zip(texts, self._widths, strict=False)]
        return (" " * GAP).join(padded).rstrip()


def lines_of(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A whole table, its head first."""
    layout = Layout(columns)
    layout.widen(rows)
    return [layout.head(), *map(layout.line, rows)]


def cell(value: object) -> str:
    """A value as it stands in a cell: on one line, and nothing in it that a terminal would obey."""
    if value is None or value == "":
        return "<none>" if value is None else ""
    return ("true" if value else "false") if isinstance(value, bool) else shown(value, WIDEST)


def columns_of(table: Document, *, wide: bool, namespaces: bool) -> list[str]:
    """The names of a Table's columns, in capitals. Those of lower rank are shown if it is ``wide``."""
    names = [str(each.get("name", "")).upper() for each in _chosen(table, wide)]
    return ["NAMESPACE", *names] if namespaces else names


def rows_of(
    table: Document, definitions: Document, *, wide: bool, namespaces: bool, prefix: str = ""
) -> list[list[Any]]:
    """The cells of its rows, by the columns that ``definitions`` (a Table, often the same) has.

    ``prefix`` is put before a row's name, so that it can be told which kind it is of.
    """
    shown_at = [at for at, each in enumerate(definitions.get("columnDefinitions") or ()) if _is_shown(each, wide)]
    rows = []
    for row in table.get("rows") or ():
        cells = row.get("cells") or []
        chosen = [cells[at] if at < len(cells) else None for at in shown_at]
        if chosen and prefix:
            chosen[0] = f"{prefix}/{chosen[0]}"
        if namespaces:
            chosen.insert(0, metadata_of({"kind": "Table", "rows": [row]}).get("namespace") or "")
        rows.append(chosen)
    return rows


def as_table(documents: Sequence[Document], now: float) -> Document:
    """Resources as a Table of their names and ages, for a server that makes none."""
    return {
        "kind": "Table",
        "columnDefinitions": [{"name": "Name"}, {"name": "Age"}],
        "rows": [
            {
                "cells": [metadata_of(each).get("name"), age(metadata_of(each).get("creationTimestamp"), now)],
                "object": each,
            }
            for each in documents
        ],
    }


def _chosen(table: Document, wide: bool) -> Iterator[Mapping[str, Any]]:
    return (each for each in table.get("columnDefinitions") or () if _is_shown(each, wide))


def _is_shown(definition: Mapping[str, Any], wide: bool) -> bool:
    return wide or not definition.get("priority")
