"""Rows in columns, whatever stands in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tidegate.cli.tables import GAP, Layout, as_table, cell, columns_of, lines_of, rows_of
from tidegate.control.api.columns import AGE

CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12))
TABLE = {
    "kind": "Table",
    "columnDefinitions": [{"name": "Name"}, {"name": "Ready", "priority": 0}, {"name": "Reason", "priority": 1}],
    "rows": [{"cells": ["a", "True", "fine"], "object": {"metadata": {"namespace": "n"}}}, {"cells": ["b"]}],
}


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5))
def test_every_column_begins_at_one_place(rows: list[tuple[object, ...]]) -> None:
    """However wide the signs of a row are, and no line has signs that a terminal would obey."""
    columns = ("A", "BB", "C")
    lines = lines_of(columns, rows)
    assert len(lines) == len(rows) + 1
    widths = [max(cell_len(cell(row[at])) for row in [columns, *rows]) for at in range(3)]
    starts = [0, widths[0] + GAP, widths[0] + widths[1] + 2 * GAP]
    for line, row in zip(lines, [columns, *rows], strict=True):
        assert line.isprintable()
        assert line == line.rstrip()
        for start, value in zip(starts, row, strict=True):
            before = next((at for at in range(len(line) + 1) if cell_len(line[:at]) == start), len(line))
            assert line[before:].startswith(cell(value).rstrip()) or cell_len(line) < start


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "<none>"), ("", ""), (True, "true"), (0, "0"), ("a\nb", r"a\nb"), ("\x1b[31m", r"\x1b[31m")],
    ids=lambda value: repr(value),
)
def test_a_cell_is_one_word_of_a_line(value: object, shown: str) -> None:
    """As kubectl has it, where it does."""
    assert cell(value) == shown


def test_a_table_of_the_server_says_its_columns() -> None:
    """Those of lower rank where it is wide; a cell that is missing is none."""
    assert columns_of(TABLE, wide=False, namespaces=False) == ["NAME", "READY"]
    assert columns_of(TABLE, wide=True, namespaces=True) == ["NAMESPACE", "NAME", "READY", "REASON"]
    assert rows_of(TABLE, TABLE, wide=False, namespaces=False) == [["a", "True"], ["b", None]]
    assert rows_of(TABLE, TABLE, wide=True, namespaces=True, prefix="x.dev") == [
        ["n", "x.dev/a", "True", "fine"],
        ["", "x.dev/b", None, None],
    ]


def test_a_row_that_comes_later_keeps_to_the_columns() -> None:
    """Its definitions are in the first event of a watch only."""
    layout = Layout(("NAME", "READY"))
    layout.widen([["iris", "False"]])
    assert [layout.head(), layout.line(["iris", "False"]), layout.line(["a-longer-one", "True"])] == [
        "NAME   READY",
        "iris   False",
        "a-longer-one   True",
    ]


def test_what_the_server_does_not_know_how_to_show_has_a_name_and_an_age() -> None:
    """As kubectl shows it."""
    document = {"metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:00Z"}}
    table = as_table([document, {"metadata": {"name": "b"}}], 90.0)
    assert rows_of(table, table, wide=False, namespaces=False) == [["a", "90s"], ["b", "<unknown>"]]


@pytest.mark.parametrize("seconds", [-60, 0, 200, 100_000_000])
def test_ages_are_the_server_s(seconds: int) -> None:
    """Also of what is years old, and of what a clock that is ahead has made."""
    document = {"metadata": {"name": "a", "creationTimestamp": "1980-01-01T00:00:00Z"}}
    now = 315_532_800.0 + seconds
    assert as_table([document], now)["rows"][0]["cells"][1] == AGE.read(document, now)
