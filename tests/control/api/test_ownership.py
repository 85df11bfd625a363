"""Who owns which field, for documents of any shape."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.api.fields import (
    ANCIENT,
    MAX_UPDATERS,
    Owner,
    changed,
    leaves,
    read_owners,
    touched,
    write_owners,
)
from tidegate.control.api.ownership import KUBECTL, LAST_APPLIED, applied, updated
from tidegate.protocol.errors import FieldConflict
from tidegate.resources.document import Document, same

NAMES = st.sampled_from(["a", "b", "c.d/e", "f:g"])
SCALARS = st.one_of(st.integers(-2, 2), st.booleans(), st.sampled_from(["", "x"]), st.lists(st.integers(0, 1)))
VALUES = st.recursive(SCALARS, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
SPECS = st.dictionaries(NAMES, VALUES, max_size=3)
FIELDS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


def document(spec: object, **metadata: Any) -> Document:
    return {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n", **metadata}, "spec": spec}


def owned(document: Document, manager: str, operation: str = "Apply") -> frozenset[tuple[str, ...]]:
    found = [owner.fields for owner in read_owners(document) or [] if owner.identity == (manager, operation)]
    return found[0] if found else frozenset()


def apply(live: Document | None, spec: object, manager: str = "me", *, force: bool = False) -> Document:
    return applied(live, document(spec), manager, force=force, time="t")


@given(st.frozensets(FIELDS, max_size=6))
def test_fields_survive_being_written(fields: frozenset[tuple[str, ...]]) -> None:
    """As FieldsV1, and read again; of a field and one within it the inner one remains."""
    leaf = frozenset(f for f in fields if not any(f != g and g[: len(f)] == f for g in fields))
    [entry] = write_owners([Owner("me", "Apply", "g/v1", fields, "t")])
    [read] = read_owners(document({}, managedFields=[entry])) or []
    assert read == Owner("me", "Apply", "g/v1", leaf, "t")


def overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one of them is the other, or holds it."""
    short = min(len(one), len(other))
    return one[:short] == other[:short]


@given(st.frozensets(FIELDS, max_size=5), st.frozensets(FIELDS, max_size=5))
def test_touched_is_what_overlaps(fields: frozenset[tuple[str, ...]], by: frozenset[tuple[str, ...]]) -> None:
    """With some of the others, in either direction."""
    assert touched(fields, by) == {f for f in fields if any(overlap(f, g) for g in by)}


@given(SPECS, SPECS)
def test_what_changed_is_what_differs(old: Document, new: Document) -> None:
    """Putting what was written and taking what was removed makes the one out of the other."""
    before, after = leaves(document(old)), leaves(document(new))
    written, removed = changed(document(old), document(new))
    assert {f for f in after if f not in before or not same(before[f], after[f])} == written
    assert before.keys() - after.keys() == removed


@given(SPECS, SPECS)
def test_who_applies_owns_what_he_said_and_gets_it(live: Document, spec: Document) -> None:
    """Each leaf of what was applied is in the document with its value, and his."""
    result = apply(document(live), spec)
    wanted = leaves(document(spec))
    for field, value in wanted.items():
        assert same(leaves(result)[field], value)
    assert owned(result, "me") == frozenset(wanted)


@given(SPECS, SPECS)
def test_applying_again_changes_nothing(live: Document, spec: Document) -> None:
    """Not even the time of the entry."""
    once = apply(document(live), spec)
    again = applied(once, document(spec), "me", force=False, time="later")
    assert same(once, again)


@given(SPECS, SPECS)
def test_what_is_applied_no_more_is_gone(first: Document, second: Document) -> None:
    """Unless somebody else owns it, too."""
    result = apply(apply(None, first), second)
    wanted = leaves(document(second))
    for field in leaves(document(first)):
        if not any(overlap(field, other) for other in wanted):
            assert field not in leaves(result)
    assert leaves(result) == wanted


@given(SPECS, SPECS)
def test_two_appliers_conflict_where_they_disagree_and_share_the_rest(mine: Document, theirs: Document) -> None:
    """The conflict names each field with its owner; forced, the last one has it."""
    live = apply(None, theirs, "them")
    said, has = leaves(document(mine)), leaves(live)
    disputed = {f for f in said if any(overlap(f, g) for g in has) and not (f in has and same(has[f], said[f]))}
    if disputed:
        with pytest.raises(FieldConflict) as caught:
            apply(live, mine)
        assert len(caught.value.conflicts) == len(disputed)
        assert {owner for _, owner in caught.value.conflicts} == {"them"}
    result = apply(live, mine, force=True)
    assert owned(result, "me") == frozenset(said)
    assert not touched(owned(result, "them"), disputed)
    for field in has.keys() - touched(frozenset(has), disputed):
        assert field in owned(result, "them")
        assert same(leaves(result)[field], has[field])


@given(SPECS, SPECS)
def test_documents_that_are_given_stay_as_they_are(live: Document, spec: Document) -> None:
    """Both are values."""
    stored, wanted = apply(None, live, "them"), document(spec)
    copies = copy.deepcopy((stored, wanted))
    applied(stored, wanted, "me", force=True, time="t")
    updated(stored, wanted, "me", "t")
    assert (stored, wanted) == copies


@given(SPECS, SPECS)
def test_who_updates_owns_what_he_changed(old: Document, new: Document) -> None:
    """And nobody else does any more."""
    stored = apply(None, old, "them")
    result = updated(stored, document(new), "me", "t")
    written, removed = changed(stored, document(new))
    assert owned(result, "me", "Update") == written
    assert not touched(owned(result, "them"), written | removed)
    assert owned(result, "them") <= frozenset(leaves(result))


@given(SPECS)
def test_an_update_that_changes_nothing_keeps_the_owners(spec: Document) -> None:
    """So that it is no write."""
    stored = apply(None, spec, "them")
    assert same(updated(stored, document(spec), "me", "later"), stored)


def test_ownership_can_be_given_away() -> None:
    """By sending other entries than there are: kubectl takes over from its older self like this."""
    stored = updated(None, document({"a": 1}), "old", "t")
    entry = {**stored["metadata"]["managedFields"][0], "manager": "new", "operation": "Apply"}
    given_away = updated(stored, document({"a": 1}, managedFields=[entry]), "me", "t")
    assert owned(given_away, "new") == {("spec", "a")}
    reset = updated(stored, document({"a": 1}, managedFields=[{}]), "me", "t")
    assert "managedFields" not in reset["metadata"]
    for unreadable in (1, [1], [{"manager": "x"}], [{**entry, "operation": "Steal"}], [{**entry, "fieldsV1": 1}]):
        kept = updated(stored, document({"a": 1}, managedFields=unreadable), "me", "t")
        assert owned(kept, "old", "Update") == {("spec", "a")}


def test_very_many_fields_are_work_in_proportion() -> None:
    """Where each was held against each other one, this would take minutes: who conflicts, takes over and lets go."""
    one, other = ({f"f{number}": value for number in range(40_000)} for value in (1, 2))
    live = apply(None, one)
    with pytest.raises(FieldConflict) as caught:
        apply(live, other, "you")
    assert len(caught.value.conflicts) == len(one)
    taken = apply(live, other, "you", force=True)
    assert not owned(taken, "me")
    assert apply(taken, {"last": 1}, "you")["spec"] == {"last": 1}
    last = msgspec.json.encode(document(one)).decode()
    moved = updated(None, document(one, annotations={LAST_APPLIED: last}), "kubectl-client-side-apply", "t")
    assert apply(moved, other, KUBECTL)["spec"] == other


def test_a_list_is_one_field() -> None:
    """Whoever changes an element has all of it."""
    live = apply(None, {"a": [1, 2]}, "them")
    with pytest.raises(FieldConflict, match=r"apply failed with 1 conflict: spec\.a is owned by 'them'"):
        apply(live, {"a": [1, 3]})


def test_labels_are_owned_and_bookkeeping_is_not() -> None:
    """Nor is the status."""
    sent = document({}, labels={"a": "b"}, annotations={}, generation=3, uid="u") | {"status": {"x": 1}}
    assert leaves(sent) == {("metadata", "labels", "a"): "b", ("metadata", "annotations"): {}, ("spec",): {}}


def test_many_updaters_become_one_entry() -> None:
    """The oldest of them, as in Kubernetes."""
    stored = None
    spec: Document = {}
    for number in range(MAX_UPDATERS + 3):
        spec = {**spec, f"f{number}": number}
        stored = updated(stored, document(spec), f"m{number}", f"t{number:02}")
    assert stored is not None
    owners = read_owners(stored) or []
    assert len(owners) == MAX_UPDATERS + 1
    assert owned(stored, ANCIENT, "Update") == {("spec", f"f{number}") for number in range(3)}


LAST = '{"apiVersion":"g/v1","kind":"K","metadata":{"name":"n"},"spec":{"a":1,"b":1}}'
KEY = "kubectl.kubernetes.io/last-applied-configuration"


def test_kubectl_takes_over_on_the_server_what_it_applied_from_the_client() -> None:
    """What its annotation has, and is still so; and the annotation follows what it applies now."""
    live = updated(None, document({"a": 1, "b": 2}, annotations={KEY: LAST}), "kubectl-client-side-apply", "t")
    result = apply(live, {"a": 5}, "kubectl")
    assert result["spec"]["a"] == 5
    assert '"spec":{"a":5}' in result["metadata"]["annotations"][KEY]
    with pytest.raises(FieldConflict, match=r"spec\.b"):
        apply(live, {"b": 5}, "kubectl")  # somebody has changed it since
    with pytest.raises(FieldConflict, match=r"spec\.a"):
        apply(live, {"a": 5}, "another")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"metadata": 1}'])
def test_an_annotation_that_is_none_of_kubectls_gives_no_rights(text: str) -> None:
    """Anybody can write one."""
    live = updated(None, document({"a": 1}, annotations={KEY: text}), "them", "t")
    with pytest.raises(FieldConflict):
        apply(live, {"a": 5}, "kubectl")
