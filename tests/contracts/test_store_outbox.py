"""What every store promises of the outbox: in with the occurrence or not at all, in order per channel, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.protocol.errors import InvalidResource
from tidegate.resources.store import Delivery, Outbox, Store, Unsent
from tidegate.testing.stores import Setup, in_loop, key, occurrence

SLACK = {"slack": {"secretRef": "team"}, "events": ["*"]}
HOOK = {"webhook": {"url": "https://hooks.example/T/very-secret"}}


async def tell(store: Store, name: str, *channels: dict[str, Any], **fields: Any) -> None:
    assert await store.tell(occurrence(name, **fields), [Delivery(channel) for channel in channels])


def waiting(outbox: Outbox) -> list[str]:
    return [unsent.occurrence.id for unsent in outbox.due]


@in_loop
async def test_a_delivery_waits_until_it_is_told_what_became_of_it(setup: Setup) -> None:
    """It is due at once, with its occurrence and channel; delivered, it is gone."""
    async with setup.open() as store:
        await tell(store, "a", SLACK)
        outbox = await store.outbox(setup.clock.now, 10)
        [unsent] = outbox.due
        assert unsent == Unsent(
            number=unsent.number, lane=unsent.lane, occurrence=occurrence("a"), channel=SLACK, attempts=0
        )
        assert (outbox.then, outbox.position) == (None, 1)
        assert await store.outbox(setup.clock.now, 10) == outbox
        await store.delivered(unsent.number)
        assert await store.outbox(setup.clock.now, 10) == Outbox([], None, 1)


@in_loop
async def test_what_was_told_before_is_not_sent_again(setup: Setup) -> None:
    """Neither while it waits nor after it arrived."""
    async with setup.open() as store:
        await tell(store, "a", SLACK)
        assert not await store.tell(occurrence("a"), [Delivery(HOOK)])
        [unsent] = (await store.outbox(setup.clock.now, 10)).due
        await store.delivered(unsent.number)
        assert not await store.tell(occurrence("a"), [Delivery(SLACK)])
        assert waiting(await store.outbox(setup.clock.now, 10)) == []


@in_loop
async def test_a_channel_that_is_no_json_leaves_nothing(setup: Setup) -> None:
    """Not the occurrence, not its Event, not the delivery before it."""
    async with setup.open() as store:
        with pytest.raises(InvalidResource, match=r"^channel\.x is nan"):
            await store.tell(occurrence("a"), [Delivery(SLACK), Delivery({"x": float("nan")})])
        assert (await store.occurrences()).items == []
        assert list(await store.events()) == []
        assert (await store.outbox(setup.clock.now, 10)).due == []


@in_loop
async def test_a_channel_gets_one_after_the_other(setup: Setup) -> None:
    """What is behind another in its lane is not due before that is gone; other lanes go on."""
    async with setup.open() as store:
        await tell(store, "a", SLACK, HOOK)
        await tell(store, "b", SLACK | {"events": ["other.*"]})  # the same channel: filters do not make it another
        await tell(store, "c", SLACK, about=key(namespace="other"))  # another team's secret of the same name
        outbox = await store.outbox(setup.clock.now, 10)
        assert waiting(outbox) == ["a", "a", "c"]
        assert len({unsent.lane for unsent in outbox.due}) == 3
        assert await store.postponed(outbox.due[0].number, setup.clock.now + 5, "it answered 503")
        outbox = await store.outbox(setup.clock.now, 10)
        assert (waiting(outbox), outbox.then) == (["a", "c"], setup.clock.now + 5)
        outbox = await store.outbox(setup.clock.now + 5, 10)
        assert waiting(outbox) == ["a", "c", "a"]  # the longest due first
        assert outbox.due[2].attempts == 1
        await store.delivered(outbox.due[2].number)
        assert waiting(await store.outbox(setup.clock.now, 10)) == ["a", "b", "c"]
        assert waiting(await store.outbox(setup.clock.now, 2)) == ["a", "b"]


@in_loop
async def test_what_fails_is_told_as_a_warning(setup: Setup) -> None:
    """About the resource, with the channel and the reason, and without the path of a URL; it is gone then."""
    async with setup.open() as store:
        await tell(store, "a", HOOK)
        [unsent] = (await store.outbox(setup.clock.now, 10)).due
        await store.failed(unsent.number, "it answered 404")
        assert (await store.outbox(setup.clock.now, 10)).due == []
        event = (await store.events(key()))[0]
        assert (event.severity, event.reason, event.uid) == ("Warning", "NotificationFailed", "u")
        assert (
            event.message == "rollout.succeeded was not sent to the webhook at https://hooks.example: it answered 404"
        )
        await store.failed(unsent.number, "once more")
        await store.delivered(unsent.number)
        assert (await store.events(key()))[0].count == 1


@in_loop
async def test_a_delay_is_told_if_it_is_to_be(setup: Setup) -> None:
    """What only people can mend is a warning while it waits; what mends itself is none."""
    async with setup.open() as store:
        await tell(store, "a", SLACK)
        [unsent] = (await store.outbox(setup.clock.now, 10)).due
        assert await store.postponed(unsent.number, setup.clock.now + 1, "it answered 503")
        assert [event.reason for event in await store.events(key())] == ["RolloutSucceeded"]
        assert await store.postponed(unsent.number, setup.clock.now + 2, "there is no secret", warn=True)
        event = next(each for each in await store.events(key()) if each.reason == "NotificationDelayed")
        assert event.message == ("rollout.succeeded cannot be sent yet to slack by the secret team: there is no secret")


@in_loop
async def test_what_is_tried_for_too_long_is_given_up(setup: Setup) -> None:
    """When the next attempt would be after its age."""
    async with setup.open(max_delivery_age=60) as store:
        await tell(store, "a", SLACK)
        [unsent] = (await store.outbox(setup.clock.now, 10)).due
        assert await store.postponed(unsent.number, setup.clock.now + 60, "it answered 503")
        assert not await store.postponed(unsent.number, setup.clock.now + 61, "it answered 502")
        assert (await store.outbox(setup.clock.now + 100, 10)).due == []
        event = next(each for each in await store.events(key()) if each.reason == "NotificationFailed")
        assert event.message.endswith(": it answered 502; tried 2 times within 60 s")
        assert not await store.postponed(unsent.number, setup.clock.now, "it is gone")


@in_loop
async def test_the_outbox_is_bounded(setup: Setup) -> None:
    """Over the number the oldest of the longest lane goes, so a dead channel costs no other; over the age all go."""
    async with setup.open(max_deliveries=3, max_delivery_age=60) as store:
        await tell(store, "a", HOOK)
        for name in "bcd":
            await tell(store, name, SLACK)
        event = next(each for each in await store.events(key()) if each.reason == "NotificationFailed")
        assert event.message.endswith("was not sent to slack by the secret team: more than 3 wait to be sent")
        assert waiting(await store.outbox(setup.clock.now, 10)) == ["a", "c"]
        setup.clock.now += 61
        await tell(store, "e", SLACK)
        assert waiting(await store.outbox(setup.clock.now, 10)) == ["e"]
        event = next(each for each in await store.events(key()) if each.reason == "NotificationFailed")
        assert (event.count, event.message.rpartition(": ")[2]) == (4, "it waited for 60 s")
