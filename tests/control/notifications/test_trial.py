"""Trying channels on demand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.control.notifications.courier import Courier
from tidegate.control.notifications.trial import Trial, Tried
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import InvalidRequest, ResourceNotFound
from tidegate.testing.channels import SLACK_URL, MemorySecrets, Receiver
from tidegate.testing.store import ManualClock, MemoryStore
from tidegate.testing.stores import in_loop, service

NOTIFY: list[dict[str, Any]] = [
    {"slack": {"secretRef": "team"}, "events": ["nothing.*"]},
    {"teams": {"secretRef": "none"}},
    {"webhook": {"url": "https://hooks.example/secret/path"}},
]


async def trial(receiver: Receiver, notify: list[dict[str, Any]] | None = NOTIFY) -> Trial:
    store = MemoryStore()
    await store.create(service(spec={"notify": notify} if notify is not None else {}))
    secrets = MemorySecrets({("default", "team"): SLACK_URL})
    return Trial(store, Courier(secrets, OutgoingSettings(), receiver), clock=ManualClock())


@in_loop
async def test_each_channel_tells_what_came_of_it() -> None:
    """All of them, whatever their filters; nothing of it is an occurrence."""
    receiver = Receiver()
    receiver.will_answer("https://hooks.example/secret/path", 410)
    assert await (await trial(receiver)).try_channels("default", "iris") == [
        Tried(0, "slack by the secret team", "delivered", "it answered 200"),
        Tried(1, "teams by the secret none", "failed", "there is no secret 'default/none'"),
        Tried(2, "the webhook at https://hooks.example", "failed", "it answered 410"),
    ]
    event = msgspec.json.decode(receiver.sent[-1].body)
    assert (event["type"], event["subject"]) == ("dev.tidegate.notify.test", "iris")


@in_loop
async def test_one_channel_can_be_meant() -> None:
    """By its position in the manifest."""
    receiver = Receiver()
    [tried] = await (await trial(receiver)).try_channels("default", "iris", 0)
    assert (tried.channel, tried.outcome) == (0, "delivered")
    assert len(receiver.sent) == 1


@in_loop
async def test_two_trials_are_two_messages() -> None:
    """A receiver that leaves out what it has had shows both."""
    receiver = Receiver()
    trying = await trial(receiver)
    for _ in range(2):
        await trying.try_channels("default", "iris", 2)
    assert len({sent.headers["webhook-id"] for sent in receiver.sent}) == 2


@in_loop
async def test_what_is_not_there_cannot_be_tried() -> None:
    """The service, its channels, the one of them."""
    with pytest.raises(ResourceNotFound, match=r"^ModelService 'default/other' is not found$"):
        await (await trial(Receiver())).try_channels("default", "other")
    with pytest.raises(InvalidRequest, match=r"^ModelService 'default/iris' has no channels in spec.notify$"):
        await (await trial(Receiver(), None)).try_channels("default", "iris")
    with pytest.raises(InvalidRequest, match=r"has 3 channels in spec.notify, there is no 3: the first is 0$"):
        await (await trial(Receiver())).try_channels("default", "iris", 3)
