"""A watch that goes on: what its reader knows is what is, wherever it was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.client.continuing import Known, pause
from tidegate.client.resource_calls import Document, Listing, ResourceChange
from tidegate.client.retry import RetryPolicy

NAMES = ("a", "b", "c")


def resource(name: str, version: int) -> Document:
    return {"kind": "X", "metadata": {"name": name, "namespace": "default", "resourceVersion": str(version)}}


def table_of(document: Document) -> Document:
    """The same as a Table's row, as people's clients ask for it."""
    return {"kind": "Table", "rows": [{"cells": [document["metadata"]["name"]], "object": document}]}


class Truth:
    """What a server has, and the events of what happens to it."""

    def __init__(self, as_table: bool) -> None:
        self.version = 0
        self.held: dict[str, Document] = {}
        self.shown = table_of if as_table else lambda document: document

    def write(self, name: str) -> ResourceChange:
        self.version += 1
        kind = "MODIFIED" if name in self.held else "ADDED"
        self.held[name] = resource(name, self.version)
        return ResourceChange(kind, self.shown(self.held[name]))

    def delete(self, name: str) -> ResourceChange | None:
        if name not in self.held:
            return None
        self.version += 1
        del self.held[name]
        return ResourceChange("DELETED", self.shown(resource(name, self.version)))

    def listing(self) -> Listing:
        return Listing([self.shown(each) for each in self.held.values()], str(self.version))


@given(
    st.lists(st.tuples(st.sampled_from(["write", "delete", "expire"]), st.sampled_from(NAMES), st.booleans())),
    st.booleans(),
)
def test_the_reader_knows_what_is(happenings: list[tuple[str, str, bool]], as_table: bool) -> None:
    """Whatever was missed until a watch came too late: the list after it tells the difference, and nothing twice."""
    truth, known = Truth(as_table), Known()
    told: dict[str, str] = {}

    def read(change: ResourceChange) -> None:
        document = change.document
        found = document["rows"][0]["object"] if as_table else document
        name, version = found["metadata"]["name"], found["metadata"]["resourceVersion"]
        assert (change.type == "ADDED") is (name not in told)
        if change.type == "DELETED":
            del told[name]
        else:
            assert told.get(name) != version
            told[name] = version

    for change in known.listed(truth.listing()):
        read(change)
    for what, name, heard in happenings:
        if what == "expire":
            known.expired()
        else:
            event = truth.write(name) if what == "write" else truth.delete(name)
            if known.version and heard and event is not None:
                for change in known.changed(event):
                    read(change)
            elif event is not None:
                known.expired()  # what was not heard is found by listing
        if not known.version:
            for change in known.listed(truth.listing()):
                read(change)
    assert told == {name: each["metadata"]["resourceVersion"] for name, each in truth.held.items()}


def test_a_bookmark_moves_the_version_and_tells_nothing() -> None:
    """So that a quiet watch goes on from where the server is."""
    known = Known("3")
    assert list(known.changed(ResourceChange("BOOKMARK", resource("a", 9)))) == []
    assert known.version == "9"


def test_a_list_that_is_known_is_not_told_again() -> None:
    """Only what has changed since, and what is gone."""
    known = Known(Listing([resource("a", 1), resource("b", 2)], "2"))
    known.expired()
    changes = list(known.listed(Listing([resource("b", 3)], "5")))
    assert [(change.type, change.document["metadata"]["name"]) for change in changes] == [
        ("MODIFIED", "b"),
        ("DELETED", "a"),
    ]


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.0), (1, 0.05), (2, 0.1), (3, 0.2), (50, 2.0), (10_000, 2.0)])
def test_a_watch_that_keeps_ending_waits_longer(failures: int, seconds: float) -> None:
    """Up to the policy's longest; one that has told something is begun again at once."""
    assert pause(RetryPolicy(), failures) == pytest.approx(seconds)
