"""What every store promises of occurrences: kept once, told as an Event, read and followed from a position."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.protocol.errors import (
    InvalidRequest,
    InvalidResource,
    PayloadTooLarge,
    ResourceExpired,
    ShuttingDown,
)
from tidegate.resources.store import Occurrence, Severity, Store, Telling
from tidegate.testing.stores import KIND, Setup, in_loop, key, occurrence


def ids(telling: Telling) -> list[str]:
    return [told.occurrence.id for told in telling.items]


async def tell(store: Store, *names: str, **fields: Any) -> None:
    for name in names:
        assert await store.tell(occurrence(name, **fields))


@in_loop
async def test_what_happened_is_kept_and_told(setup: Setup) -> None:
    """In the log as it was told, and as an Event with its severity, reason and message."""
    async with setup.open() as store:
        told = occurrence("a", severity=Severity.WARNING, data={"from": 3, "verdicts": [{"n": 1.5}], "none": None})
        assert await store.tell(told) is True
        telling = await store.occurrences()
        assert [item.occurrence for item in telling.items] == [told]
        assert telling.position == telling.items[-1].number == 1
        [event] = await store.events(told.about)
        assert (event.uid, event.severity, event.reason) == (told.uid, Severity.WARNING, told.reason)
        assert (event.message, event.count, event.last) == (told.message, 1, setup.clock.now)


@in_loop
async def test_what_was_told_is_not_told_again(setup: Setup) -> None:
    """The same id is the same occurrence, whatever else is said: no entry, no Event, no delivery."""
    async with setup.open() as store:
        await tell(store, "a")
        assert await store.tell(occurrence("a", message="again")) is False
        assert len((await store.occurrences()).items) == 1
        assert [event.count for event in await store.events()] == [1]


@in_loop
async def test_events_of_occurrences_are_counted_like_others(setup: Setup) -> None:
    """Two with the same reason are one Event with the latest message."""
    async with setup.open() as store:
        await tell(store, "a")
        await tell(store, "b", message="the second")
        [event] = await store.events()
        assert (event.count, event.message) == (2, "the second")


@in_loop
async def test_occurrences_are_no_part_of_the_change_log(setup: Setup) -> None:
    """They use up no version."""
    async with setup.open() as store:
        await tell(store, "a")
        assert (await store.list(KIND)).version == "1"


@in_loop
async def test_the_log_is_read_on_from_a_position(setup: Setup) -> None:
    """In parts, without gaps and without anything twice; with None it is the last ones."""
    async with setup.open() as store:
        await tell(store, *"abcde")
        first = await store.occurrences(limit=2)
        second = await store.occurrences(since=first.position, limit=2)
        third = await store.occurrences(since=second.position, limit=2)
        assert [ids(part) for part in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
        last = await store.occurrences(since=None, limit=2)
        assert (ids(last), last.position) == (["d", "e"], third.position)
        assert await store.occurrences(since=last.position) == Telling([], last.position)


@in_loop
async def test_the_log_of_one_namespace(setup: Setup) -> None:
    """What was told elsewhere is left out, and the position passes over it."""
    async with setup.open() as store:
        await tell(store, "a", about=key(namespace="other"))
        await tell(store, "b")
        await tell(store, "c", "d", about=key(namespace="other"))
        telling = await store.occurrences(namespace="default")
        assert (ids(telling), telling.position) == (["b"], 4)
        assert ids(await store.occurrences(since=None, limit=5, namespace="other")) == ["a", "c", "d"]
        part = await store.occurrences(limit=1, namespace="other")
        assert ids(await store.occurrences(since=part.position, limit=1, namespace="other")) == ["c"]


@in_loop
async def test_the_log_is_bounded(setup: Setup) -> None:
    """By number and by age; a position before what is kept is 410, its edge is not."""
    async with setup.open(max_occurrences=3, max_occurrence_age=60) as store:
        await tell(store, *"abcde")
        assert ids(await store.occurrences()) == ["c", "d", "e"]
        assert ids(await store.occurrences(since=2)) == ["c", "d", "e"]
        with pytest.raises(
            ResourceExpired, match=r"^the position 1 is too old, occurrences are kept since 2: begin anew$"
        ):
            await store.occurrences(since=1)
        setup.clock.now += 61
        await tell(store, "f")
        assert ids(await store.occurrences()) == ["f"]


@in_loop
async def test_what_the_log_has_forgotten_is_new(setup: Setup) -> None:
    """An id is remembered for as long as its occurrence is."""
    async with setup.open(max_occurrences=2) as store:
        await tell(store, *"abc")
        assert await store.tell(occurrence("c")) is False
        assert await store.tell(occurrence("a")) is True


@in_loop
async def test_a_position_above_the_newest_is_an_error(setup: Setup) -> None:
    """As after the state was put back to a copy: silence would look like peace."""
    async with setup.open() as store:
        with pytest.raises(ResourceExpired, match=r"^the position 1 is above the newest, 0: begin anew$"):
            await store.occurrences(since=1)
        with pytest.raises(InvalidRequest, match=r"^limit is 0, expected a number of occurrences above 0$"):
            await store.occurrences(limit=0)


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        (occurrence(""), InvalidResource, "id is ''"),
        (occurrence("a\nb"), InvalidResource, "id is 'a"),
        (occurrence("a" * 513), InvalidResource, "id is 'a"),
        (occurrence("a", type=""), InvalidResource, "type is ''"),
        (occurrence("a", reason="two words"), InvalidResource, "reason is 'two words'"),
        (occurrence("a", data={"x": float("nan")}), InvalidResource, "data.x is nan, which JSON cannot hold"),
        (occurrence("a", data={"x": "y" * 40_000}), PayloadTooLarge, "the occurrence takes 4.* and at most 32768"),
    ],
    ids=["no-id", "two-lines", "long-id", "no-type", "no-word", "no-json", "too-large"],
)
@in_loop
async def test_what_cannot_be_kept_is_refused(
    setup: Setup, told: Occurrence, error: type[Exception], message: str
) -> None:
    """And nothing of it happens."""
    async with setup.open() as store:
        with pytest.raises(error, match=f"^{message}"):
            await store.tell(told)
        assert list(await store.events()) == []
        assert (await store.occurrences()).items == []


@in_loop
async def test_who_waits_for_the_next_is_woken(setup: Setup) -> None:
    """By what is told after the position, in whatever namespace, and at once if that has happened."""
    async with setup.open() as store:
        waiting = asyncio.ensure_future(store.told_after(0))
        await asyncio.sleep(0)
        assert not waiting.done()
        await tell(store, "a", about=key(namespace="other"))
        await waiting
        await store.told_after(0)
        later = asyncio.ensure_future(store.told_after(1))
        await store.tell(occurrence("a"))
        await store.record(key(), "u", Severity.NORMAL, "Other", "it is no occurrence")
        assert not later.done()
        later.cancel()


@in_loop
async def test_a_store_that_closes_ends_who_waits(setup: Setup) -> None:
    """With what every call says then."""
    async with setup.open() as store:
        waiting = asyncio.ensure_future(store.told_after(0))
        await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await waiting
