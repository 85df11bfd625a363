"""Texts with manifests: several documents, their lines, and what in a text is not read."""

from __future__ import annotations

import pytest

from tidegate.resources.bounds import MAX_DEPTH, MAX_VALUES
from tidegate.resources.decode import inspect
from tidegate.resources.manifest import MAX_BYTES, MAX_DOCUMENTS, read_manifests

TWO = b"""\
# a comment
---
kind: A
spec:
  predictor:
    containers:
      - name: c
        image: i
---

---
{"kind": "B"}
"""


def said(data: bytes) -> list[tuple[int, int, str]]:
    """Number, line and message of what cannot be read."""
    return [(each.number, each.line(()), each.fault.message) for each in read_manifests(data) if each.fault is not None]


def test_several_documents() -> None:
    """YAML and JSON, numbered without the empty ones."""
    assert [(each.number, each.value["kind"]) for each in read_manifests(TWO)] == [(1, "A"), (2, "B")]


def test_lines() -> None:
    """A value stands in the line of its name, one that is missing in that of what is around it."""
    first, second = read_manifests(TWO)
    assert first.line(()) == 3
    assert first.line(("spec", "predictor", "containers", 0, "image")) == 8
    assert first.line(("spec", "predictor", "containers", 0, "args", 3)) == 7
    assert first.line(("metadata", "name")) == 3
    assert second.line(("kind",)) == 12


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"a: 1\na: 2\n", 2, "is no valid YAML: 'a' stands twice"),
        (b"a: &x 1\nb: *x\n", 2, "is no valid YAML: aliases are not allowed"),
        (b"a: [1\n", 2, "is no valid YAML: expected ',' or ']', but got '<stream end>'"),
        (b"a: !!python/object:os.system 1\n", 1, "is no valid YAML: could not determine a constructor for…"),
        (b"? [a]\n: 1\n", 1, "is no valid YAML: a key is no text"),
        (b"a: \xff\n", 1, "is no text: byte 3 is not UTF-8"),
        (b"a: " + b"[" * 40, 1, "is no valid YAML: it is nested deeper than 32 levels"),
        (b"a: " + b"1" * 5000, 1, "is no valid YAML: Exceeds the limit…"),
        (b"#" * (MAX_BYTES + 1), 1, f"has more than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_not_read(data: bytes, line: int, problem: str) -> None:
    """With its line; nothing of it is expanded, called or kept twice."""
    [(number, where, message)] = said(data)
    start, _, _ = problem.partition("…")
    assert (number, where) == (1, line)
    assert message.startswith(f"the document {start}")


def test_a_bomb_costs_nothing() -> None:
    """Nine lines of aliases, which would be a billion values, end at the first alias."""
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
    assert [message for *_, message in said(bomb.encode())] == [
        "the document is no valid YAML: aliases are not allowed"
    ]


def test_what_is_before_it_is_still_read() -> None:
    """A text that is broken in its third document has two."""
    found = list(read_manifests(b"a: 1\n---\nb: 2\n---\nc: [\n"))
    assert [each.value for each in found] == [{"a": 1}, {"b": 2}, None]
    assert found[2].number == 3


def test_too_many_documents() -> None:
    """The bound is told in place of the rest."""
    found = list(read_manifests(b"---\na: 1\n" * (MAX_DOCUMENTS + 5)))
    assert len(found) == MAX_DOCUMENTS + 1
    assert found[-1].inspect().faults[0].message == f"the document is one of more than {MAX_DOCUMENTS}"


def test_an_empty_text_has_none() -> None:
    """Comments and separators are no documents."""
    assert list(read_manifests(b"")) == []
    assert list(read_manifests(b"---\n# nothing\n---\n")) == []


def test_values_that_are_no_plain_ones() -> None:
    """What YAML's own tags make, and what a program may hand over."""
    [document] = read_manifests(b"a: !!binary aGk=\n")
    assert [fault.message for fault in document.inspect().faults] == [
        "a is a bytes, expected text, a number, true, false, a list or a mapping"
    ]
    assert [fault.message for fault in inspect({"a": float("nan")}).faults] == [
        "a is a float, expected text, a number, true, false, a list or a mapping"
    ]
    assert [fault.message for fault in inspect({1: 2}).faults] == ["the document has a key that is no text"]


def test_a_document_that_contains_itself() -> None:
    """Or is too deep, or too large: told at once."""
    endless: list[object] = []
    endless.append(endless)
    assert inspect(endless).faults[0].problem == f"is nested deeper than {MAX_DEPTH} levels"
    assert inspect([0] * (MAX_VALUES + 1)).faults[0].problem == f"has more than {MAX_VALUES} values"
