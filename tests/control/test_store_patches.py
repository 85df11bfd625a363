"""Patches that somebody made up: each is applied or refused, and nothing else happens."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.store.patches import patched
from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import InvalidResource, PayloadTooLarge
from tidegate.resources.store import JsonPatch, MergePatch
from tidegate.testing.stores import service

json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
paths = st.sampled_from(
    ["", "/", "/spec", "/spec/a", "/spec/a/0", "/spec/a/-", "/spec/a/-1", "/spec/a/x", "/kind/0", "~", "a"]
)
operations = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]) | json,
        "path": paths | json,
        "from": paths | json,
        "value": json,
    },
)


@given(st.lists(operations | json, max_size=5) | json)
def test_any_json_patch_is_applied_or_refused(made_up: Any) -> None:
    """Whatever the library raises for it is one error of ours, and the document stays as it was."""
    document = service(spec={"a": [1, {"b": 2}]})
    before = copy.deepcopy(document)
    with suppress(InvalidResource, PayloadTooLarge):
        patched(document, JsonPatch(made_up), StoreSettings())
    assert document == before


@given(json, json)
def test_any_merge_patch_is_applied_or_refused(target: Any, patch: Any) -> None:
    """It is RFC 7396's function, and changes neither of its arguments."""
    document = service(spec=target)
    before = copy.deepcopy((document, patch))
    try:
        result = patched(document, MergePatch({"spec": patch}), StoreSettings())
    except InvalidResource:
        return
    assert isinstance(result, dict)
    if patch is None:
        assert "spec" not in result
    elif not isinstance(patch, dict):
        assert result["spec"] == patch
    else:
        assert all(name not in result["spec"] for name, value in patch.items() if value is None)
    assert repr((document, patch)) == repr(before)
