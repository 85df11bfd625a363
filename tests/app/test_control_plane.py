"""What a server reads off the status of a service at its start."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.app.control_plane import under_way


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        ({"observedGeneration": 2, "modelStatus": {"transitionStatus": "UpToDate"}}, False),
        ({"observedGeneration": 2, "modelStatus": {"transitionStatus": "InProgress"}}, True),
        ({"observedGeneration": 1, "modelStatus": {"transitionStatus": "UpToDate"}}, True),
        ({"observedGeneration": 2, "modelStatus": "gone", "conditions": ["Ready"]}, False),
        (None, True),
    ],
)
def test_a_service_is_waited_for_until_it_was_looked_at(status: Any, waits: bool) -> None:
    """And until its model is there, or not; a status that somebody wrote over holds nobody up."""
    assert under_way({"metadata": {"generation": 2}, "status": status}) is waits
