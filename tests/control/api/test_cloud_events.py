"""The log of occurrences at the admin port: listed, followed, resumed, and for whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.identity.identity import Identity, Proof
from tidegate.testing.api import Api, OpenDoor, Watched
from tidegate.testing.stores import in_loop, key, occurrence

HERE = "/tidegate/v1/namespaces/default/cloudevents"
ALL = "/tidegate/v1/cloudevents"


async def tell(api: Api, *names: str, namespace: str = "default") -> None:
    for name in names:
        await api.store.tell(occurrence(name, about=key(namespace=namespace)))


async def seen(following: Watched, count: int) -> list[str]:
    """The next ids of a stream."""
    events = [await following.next() for _ in range(count)]
    return [event["id"] for event in events if event is not None]


async def ids(api: Api, path: str, **headers: str) -> list[str]:
    answer = await api.ask("GET", path, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    return [json.loads(line)["id"] for line in answer.text.splitlines()]


@in_loop
async def test_what_is_kept_is_a_cloud_event_on_each_line() -> None:
    """With its position as ``sequence``."""
    async with Api.open() as api:
        await tell(api, "a")
        answer = await api.ask("GET", HERE)
        event = answer.json()
        assert (event["specversion"], event["id"], event["type"]) == ("1.0", "a", "dev.tidegate.rollout.succeeded")
        assert event["sequence"] == "000000000001"
        assert event["data"]["message"] == "revision 2 has all of the traffic"


@in_loop
async def test_a_list_is_of_a_namespace_and_bounded() -> None:
    """After a position, or the last ones; the header of server-sent events says the same as ``since``."""
    async with Api.open() as api:
        await tell(api, "a", "b")
        await tell(api, "x", namespace="other")
        await tell(api, "c")
        assert await ids(api, HERE) == ["a", "b", "c"]
        assert await ids(api, ALL) == ["a", "b", "x", "c"]
        assert await ids(api, f"{HERE}?limit=2") == ["a", "b"]
        assert await ids(api, f"{HERE}?since=000000000002") == ["c"]
        assert await ids(api, HERE, last_event_id="2") == ["c"]
        assert await ids(api, f"{HERE}?tail=2") == ["b", "c"]
        assert await ids(api, f"{HERE}?tail=0") == []


@in_loop
async def test_a_long_list_comes_in_parts() -> None:
    """As many as are asked for, though they are read 500 at a time."""
    async with Api.open() as api:
        names = [str(number) for number in range(1100)]
        for namespace in ("other", "default"):
            await tell(api, *(f"{namespace} {name}" for name in names), namespace=namespace)
        assert await ids(api, f"{HERE}?limit=10000") == [f"default {name}" for name in names]
        assert await ids(api, f"{HERE}?limit=501") == [f"default {name}" for name in names[:501]]
        assert len(await ids(api, f"{HERE}?limit=1000")) == 1000
        assert len(await ids(api, HERE)) == 500
        assert await ids(api, f"{HERE}?tail=500") == [f"default {name}" for name in names[-500:]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("since=x", "the parameter 'since' is 'x', expected a whole number up to"),
        ("since=-1", "the parameter 'since' is '-1', expected"),
        ("since=9999999999999999999", "the parameter 'since' is"),
        ("tail=²", "the parameter 'tail' is '²', expected a whole number up to 500"),
        ("limit=0", "the parameter 'limit' is '0', expected a whole number from 1 to 10000"),
        ("limit=10001", "the parameter 'limit' is '10001', expected a whole number up to 10000"),
        ("follow=yes", "the parameter 'follow' is 'yes', expected true or false"),
        ("since=1&tail=1", "'since' and 'tail' are given, expected one of them"),
    ],
)
def test_a_parameter_that_is_none_is_told(query: str, message: str) -> None:
    """By its name, with its value."""

    @in_loop
    async def run() -> None:
        async with Api.open() as api:
            answer = await api.ask("GET", f"{HERE}?{query}")
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(message)

    run()


@in_loop
async def test_a_position_that_is_no_longer_kept_is_410() -> None:
    """Before anything is sent, also for who follows."""
    async with Api.open(max_occurrences=2) as api:
        await tell(api, *"abcd")
        for query in ("since=1", "since=1&follow=true", "since=9"):
            answer = await api.ask("GET", f"{HERE}?{query}")
            assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


@in_loop
async def test_who_follows_gets_what_comes() -> None:
    """After what is kept, without gaps, of his namespace, until the server ends."""
    async with Api.open() as api:
        await tell(api, "a")
        async with api.watching(f"{HERE}?follow=true") as following:
            assert await seen(following, 1) == ["a"]
            await tell(api, "x", namespace="other")
            await tell(api, "b", "c")
            assert await seen(following, 2) == ["b", "c"]
            api.app.close()
            assert await following.next() is None
        answer = await api.ask("GET", f"{HERE}?follow=true")
        assert answer.status_code == 503


@in_loop
async def test_who_follows_sees_that_it_has_begun() -> None:
    """Also where there is nothing yet; with tail=0 nothing of what is kept comes."""
    async with Api.open() as api:
        await tell(api, "a")
        async with api.watching(f"{ALL}?follow=true&tail=0") as following:
            await following.open.wait()
            assert following.status == 200
            await tell(api, "b")
            assert await seen(following, 1) == ["b"]


@in_loop
async def test_a_store_that_closes_ends_who_follows() -> None:
    """As a stream that is over, not as an error."""
    async with Api.open() as api, api.watching(f"{ALL}?follow=true") as following:
        await following.open.wait()
        await api.store.close()
        assert await following.next() is None


@in_loop
async def test_who_is_too_slow_is_told_so_at_the_end() -> None:
    """The log has forgotten what he has not read: a Status, as at the end of a watch."""
    async with Api.open(max_occurrences=2) as api, api.watching(f"{HERE}?follow=true") as following:
        await following.open.wait()
        following.slow.clear()
        await tell(api, "a")
        assert await seen(following, 1) == ["a"]
        await tell(api, *"bcde")
        following.slow.set()
        last = await following.next()
        assert last is not None
        assert (last["kind"], last["reason"]) == ("Status", "Expired")
        assert await following.next() is None


@pytest.mark.parametrize(("role", "status"), [("view", 200), (None, 403)])
def test_reading_takes_the_role_view(role: Any, status: int) -> None:
    """As every read does."""

    @in_loop
    async def run() -> None:
        identity = Identity("ann", Proof.KEY, role=role)
        async with Api.open(door=OpenDoor(identity)) as api:
            assert (await api.ask("GET", HERE)).status_code == status

    run()


@in_loop
async def test_it_is_read_only() -> None:
    """405 names what is expected."""
    async with Api.open() as api:
        answer = await api.ask("POST", HERE)
        assert answer.status_code == 405
        assert answer.json()["message"].endswith("expected GET")
