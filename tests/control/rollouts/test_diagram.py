"""The page of the state machine is the table that the server goes by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.control.rollouts.diagram import DIAGRAMS, PAGE, generated, mermaid, table
from tidegate.control.rollouts.machine import TABLE
from tidegate.control.rollouts.state import State

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_what_the_table_says() -> None:
    """Otherwise scripts/generate-schemas was not run."""
    assert (ROOT / PAGE).read_text() == generated()[PAGE]


def test_each_row_is_in_one_diagram() -> None:
    """None is missing, and none is drawn twice."""
    assert [sum(belongs(row) for _, belongs in DIAGRAMS) for row in TABLE] == [1] * len(TABLE)


@pytest.mark.parametrize(("title", "belongs"), DIAGRAMS)
def test_every_arrow_is_one_that_mermaid_can_read(title: str, belongs: object) -> None:
    """From a node that is declared, if it stands for several states, to a state; a label ends at a colon."""
    assert callable(belongs)
    rows = [row for row in TABLE if belongs(row)]
    first, *lines = mermaid(rows).splitlines()
    assert first == "stateDiagram-v2"
    declared = {match[1] for line in lines if (match := re.fullmatch(r'    state "[\w, -]+" as (\w+)', line))}
    arrows = [line for line in lines if "-->" in line]
    assert len(declared) + len(arrows) == len(lines)
    drawn: list[tuple[str, str]] = []
    for line in arrows:
        match = re.fullmatch(r"    (\w+|\[\*\]) --> (\w+) : [^:;]+", line)
        assert match, line
        assert match[1] in declared | set(State) | {"[*]"}
        drawn.append((match[1], match[2]))
    assert len(drawn) == len(set(drawn))
    wanted = {(source, row.target) for row in rows for source in row.sources if source is not None}
    assert {(state, State(target)) for node, target in drawn if node != "[*]" for state in node.split("_")} == wanted


def test_a_row_is_a_line() -> None:
    """With each of its states, its event, its guard and its effect."""
    lines = table(TABLE).splitlines()[2:]
    for row, line in zip(TABLE, lines, strict=True):
        sources, event, guard, target, _ = (cell.strip() for cell in line.strip("|").split("|"))
        assert sources.count("`") == 2 * len([source for source in row.sources if source is not None])
        assert (event, target) == (row.event, f"`{row.target}`")
        assert guard == (row.guard.name or "–")


def test_every_state_is_explained() -> None:
    """In the table of states."""
    told = re.findall(r"^\| `(\w+)` \| \w[^|]+\. \|$", generated()[PAGE], re.MULTILINE)
    assert told == [str(state) for state in State]
