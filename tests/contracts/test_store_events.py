"""What every store promises of events, which are what people are told."""

from __future__ import annotations

import pytest

from tidegate.protocol.errors import InvalidResource
from tidegate.resources.store import Event, Severity, Store
from tidegate.testing.stores import KIND, Setup, in_loop, key


async def tell(store: Store, name: str, reason: str, message: str = "it happened", uid: str = "u") -> Event:
    return await store.record(key(name), uid, Severity.NORMAL, reason, message)


@in_loop
async def test_an_event_is_told(setup: Setup) -> None:
    """It is about a resource, has a reason and a message, and when it happened."""
    async with setup.open() as store:
        event = await store.record(key(), "u", Severity.WARNING, "ReplicaLost", "replica 3 ended")
        now = setup.clock.now
        assert event == Event(key(), "u", Severity.WARNING, "ReplicaLost", "replica 3 ended", 1, now, now)
        assert list(await store.events()) == [event]


@in_loop
async def test_the_same_reason_is_counted(setup: Setup) -> None:
    """Once more is the same event, with the latest message; another reason, severity or successor is another event."""
    async with setup.open() as store:
        first = setup.clock.now
        await tell(store, "a", "Lost", "one")
        setup.clock.now += 5
        again = await tell(store, "a", "Lost", "two")
        assert (again.count, again.message, again.first, again.last) == (2, "two", first, first + 5)
        await tell(store, "a", "Ready")
        await tell(store, "a", "Lost", uid="successor")
        await store.record(key("a"), "u", Severity.WARNING, "Lost", "three")
        assert sorted(event.count for event in await store.events()) == [1, 1, 1, 2]


@in_loop
async def test_the_latest_event_comes_first(setup: Setup) -> None:
    """Of all resources or of one, and no more than asked for; what happens again is the latest again."""
    async with setup.open() as store:
        for name, reason in (("a", "One"), ("b", "Two"), ("a", "Three"), ("a", "One")):
            await tell(store, name, reason)
        assert [event.reason for event in await store.events()] == ["One", "Three", "Two"]
        assert [event.reason for event in await store.events(key("a"))] == ["One", "Three"]
        assert [event.reason for event in await store.events(limit=2)] == ["One", "Three"]
        assert list(await store.events(key("c"))) == []


@in_loop
async def test_events_are_bounded(setup: Setup) -> None:
    """Over the number, and beyond the age, those go that have not happened for the longest time."""
    async with setup.open(max_events=3, max_event_age=60) as store:
        for reason in ("One", "Two", "Three", "One", "Four"):
            await tell(store, "a", reason)
        assert [event.reason for event in await store.events()] == ["Four", "One", "Three"]
        setup.clock.now += 61
        await tell(store, "a", "Five")
        assert [event.reason for event in await store.events()] == ["Five"]


@in_loop
async def test_an_event_is_short_and_on_one_line(setup: Setup) -> None:
    """A long message is cut, a line break is shown; a reason is a word."""
    async with setup.open() as store:
        event = await tell(store, "a", "Long", "a\nb" + "x" * 2000)
        assert len(event.message) <= 1024
        assert event.message.startswith("a\\nb")
        with pytest.raises(InvalidResource, match=r"^reason is 'two words', expected a word such as ReplicaLost$"):
            await tell(store, "a", "two words")


@in_loop
async def test_events_are_no_part_of_the_change_log(setup: Setup) -> None:
    """They use up no version."""
    async with setup.open() as store:
        await tell(store, "a", "One")
        assert (await store.list(KIND)).version == "1"
