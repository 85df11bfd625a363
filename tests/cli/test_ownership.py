"""Who owns what after an undo. Pure."""

from __future__ import annotations

from typing import Any

from tidegate.cli.ownership import taken_back


def entry(manager: str, operation: str, fields: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "tidegate.dev/v1", "fieldsV1": fields}


def managed(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}}


OTHER = entry("kubectl", "Update", {"f:spec": {"f:c": {}}})
UNDONE = entry("tidegate-undo", "Update", {"f:spec": {"f:a": {"f:x": {}}, "f:b": {}}})


def test_nothing_is_done_where_nothing_was_undone() -> None:
    """Whoever else owns what."""
    assert taken_back({"metadata": {}}) is None
    assert taken_back(managed(OTHER, entry("tidegate", "Apply", {}))) is None


def test_the_fields_of_an_undo_are_the_applier_s() -> None:
    """Beside his own; others keep theirs."""
    own = entry("tidegate", "Apply", {"f:spec": {"f:a": {"f:y": {}}}})
    assert taken_back(managed(own, OTHER, UNDONE)) == [
        OTHER,
        {**own, "fieldsV1": {"f:spec": {"f:a": {"f:x": {}, "f:y": {}}, "f:b": {}}}},
    ]


def test_who_has_not_applied_yet_becomes_the_applier() -> None:
    """A service that was made in another way."""
    assert taken_back(managed(OTHER, UNDONE)) == [OTHER, {**UNDONE, "manager": "tidegate", "operation": "Apply"}]
