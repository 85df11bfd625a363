"""Trying channels at the admin port."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.control.notifications.trial import Tried
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.protocol.errors import ResourceNotFound
from tidegate.testing.api import Api, OpenDoor
from tidegate.testing.stores import in_loop

TEST = "/tidegate/v1/namespaces/default/services/iris/notify/test"


class Tries:
    """Iris has one channel that takes everything."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int | None]] = []

    async def try_channels(self, namespace: str, service: str, channel: int | None = None) -> list[Tried]:
        self.asked.append((namespace, service, channel))
        if service != "iris":
            raise ResourceNotFound(f"ModelService '{namespace}/{service}'")
        return [Tried(0, "slack by the secret team", "delivered", "it answered 200")]


@in_loop
async def test_a_trial_tells_what_came_of_each_channel() -> None:
    """And is in the audit log, for something was done."""
    trial = Tries()
    async with Api.open(trial=trial) as api:
        answer = await api.ask("POST", f"{TEST}?channel=0")
        assert answer.status_code == 200
        assert answer.json() == {
            "channels": [
                {
                    "channel": 0,
                    "name": "slack by the secret team",
                    "outcome": "delivered",
                    "message": "it answered 200",
                }
            ]
        }
        await api.ask("POST", TEST)
        assert trial.asked == [("default", "iris", 0), ("default", "iris", None)]
        record = api.audit.written[-1]
        assert (record.resource, record.namespace, record.name) == ("modelservices/notify", "default", "iris")
        assert (record.verb, record.code) == ("create", 200)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", TEST, 405, f"GET is not allowed for '{TEST}', expected POST"),
        ("POST", TEST.replace("iris", "rose"), 404, "ModelService 'default/rose' is not found"),
        ("POST", f"{TEST}?channel=x", 400, "the parameter 'channel' is 'x', expected a whole number from 0"),
        ("POST", f"{TEST}?channel=10000", 400, "the parameter 'channel' is '10000', expected a whole number from 0"),
        ("POST", f"{TEST}?channel=00000000001", 400, "the parameter 'channel' is '00000000001', expected"),
    ],
)
def test_what_cannot_be_tried_is_told(method: str, path: str, status: int, message: str) -> None:
    """As a Status."""

    @in_loop
    async def run() -> None:
        async with Api.open(trial=Tries()) as api:
            answer = await api.ask(method, path)
            assert answer.status_code == status
            assert answer.json()["message"].startswith(message)

    run()


@pytest.mark.parametrize(("role", "status"), [(None, 403), (Role.VIEW, 403), (Role.EDIT, 200)])
def test_a_trial_takes_the_role_edit(role: Any, status: int) -> None:
    """It sends something; whoever may name the channels may try them."""

    @in_loop
    async def run() -> None:
        async with Api.open(trial=Tries(), door=OpenDoor(Identity("ann", Proof.KEY, role=role))) as api:
            assert (await api.ask("POST", TEST)).status_code == status
            assert api.audit.written[-1].code == status

    run()


@in_loop
async def test_without_anybody_who_tries_there_is_no_such_path() -> None:
    """As for logs."""
    async with Api.open() as api:
        assert (await api.ask("POST", TEST)).status_code == 404
