"""Who is told of what."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.control.notifications.subscriptions import DEFAULT, deliveries_of
from tidegate.resources.store import Delivery

SLACK: dict[str, Any] = {"slack": {"secretRef": "team"}}
HOOK: dict[str, Any] = {"webhook": {"url": "https://hooks.example/x"}}


@pytest.mark.parametrize(
    ("events", "type", "told"),
    [
        (["rollout.*"], "rollout.succeeded", True),
        (["rollout.*"], "rollout.step.passed", True),
        (["rollout.*"], "rollouts.succeeded", False),
        (["rollout.*"], "my.rollout.succeeded", False),
        (["model.failed"], "model.failed", True),
        (["model.failed"], "model.failed.again", False),
        (["Model.*"], "model.failed", False),
        (["*"], "anything", True),
        (["x", "model.*"], "model.failed", True),
        ([], "rollout.succeeded", False),
        (None, "rollout.succeeded", True),
        (None, "model.failed", True),
        (None, "model.ready", False),
    ],
)
def test_a_channel_is_told_what_its_filters_match(events: list[str] | None, type: str, told: bool) -> None:
    """The whole type, in its case; without filters those of the manifest's default, with none of them nothing."""
    channel = SLACK if events is None else SLACK | {"events": events}
    assert deliveries_of([channel], type) == [Delivery(SLACK)] * told


def test_each_channel_is_told_once() -> None:
    """Though it is listed twice, and the filters of both match; what is no channel is passed over."""
    notify: list[Any] = [
        SLACK | {"events": ["a"]},
        HOOK | {"events": ["*"]},
        SLACK | {"events": ["*"]},
        {"events": ["*"]},
    ]
    assert deliveries_of(notify, "a") == [Delivery(SLACK), Delivery(HOOK)]
    assert deliveries_of(None, "a") == deliveries_of([], "a") == []


def test_the_default_is_the_schemas() -> None:
    """What `tidegate explain` tells holds."""
    assert DEFAULT == ("rollout.*", "model.failed")
