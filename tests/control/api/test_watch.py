"""Watches over HTTP: nothing is missed, nothing is silent, and all of them end with the server."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.control.api.settings import ApiSettings
from tidegate.testing.api import MERGE, SERVICES, TABLE, Api, in_virtual_time, model_service
from tidegate.testing.stores import in_loop

WATCH = f"{SERVICES}?watch=true"


@in_loop
async def test_a_watch_from_nothing_begins_with_what_is_there() -> None:
    """As kubectl get -w takes it for granted; then come the changes."""
    async with Api.open() as api:
        await api.made(model_service("a"))
        for version in ("", "&resourceVersion=0"):
            async with api.watching(WATCH + version) as watch:
                assert await watch.events(1) == [("ADDED", "a")]
                await api.ask("PATCH", f"{SERVICES}/a", {"metadata": {"labels": {"x": "y"}}}, kind=MERGE)
                assert await watch.events(1) == [("MODIFIED", "a")]
                await api.ask("PATCH", f"{SERVICES}/a", {"metadata": {"labels": None}}, kind=MERGE)
        async with api.watching(WATCH) as watch:
            await watch.open.wait()
            await api.ask("DELETE", f"{SERVICES}/a")
            assert await watch.events(2) == [("ADDED", "a"), ("DELETED", "a")]


@in_loop
async def test_a_watch_goes_on_from_a_list() -> None:
    """What was written in between comes, and nothing else."""
    async with Api.open() as api:
        await api.made(model_service("a"))
        version = (await api.got(SERVICES))["metadata"]["resourceVersion"]
        await api.made(model_service("b"))
        async with api.watching(f"{WATCH}&resourceVersion={version}") as watch:
            await api.made(model_service("c"))
            assert await watch.events(2) == [("ADDED", "b"), ("ADDED", "c")]


@in_loop
async def test_initial_events_end_with_a_bookmark() -> None:
    """For clients that list by watching; without them a watch begins now."""
    async with Api.open() as api:
        await api.made(model_service("a"))
        more = "&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
        async with api.watching(f"{WATCH}&sendInitialEvents=true{more}") as watch:
            assert await watch.events(1) == [("ADDED", "a")]
            event = await watch.next()
            assert event is not None
            assert event["type"] == "BOOKMARK"
            assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            assert (event["object"]["kind"], event["object"]["metadata"]["resourceVersion"]) == ("ModelService", "3")
            await api.made(model_service("b"))
            assert await watch.events(1) == [("ADDED", "b")]
        async with api.watching(f"{WATCH}&sendInitialEvents=true&resourceVersion=4{more}") as watch:
            assert await watch.events(2) == [("ADDED", "a"), ("ADDED", "b")]
        async with api.watching(f"{WATCH}&sendInitialEvents=false") as watch:
            await watch.open.wait()
            await api.made(model_service("c"))
            assert await watch.events(1) == [("ADDED", "c")]


@in_loop
async def test_bookmarks_tell_how_far_the_log_has_come() -> None:
    """Where changes that do not concern a watcher go by."""
    async with Api.open(bookmark_every=2) as api:
        query = f"{WATCH}&fieldSelector=metadata.name%3Da&resourceVersion=2&allowWatchBookmarks=true"
        async with api.watching(query) as watch:
            await watch.open.wait()
            for name in ("b", "c", "d"):
                await api.made(model_service(name))
            event = await watch.next()
            assert event is not None
            assert (event["type"], event["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", "4")
            assert "annotations" not in event["object"]["metadata"]


@in_loop
async def test_what_leaves_the_selection_is_deleted() -> None:
    """And what enters it is added."""
    async with Api.open() as api:
        await api.made(model_service("a", metadata={"labels": {"in": "yes"}}))
        async with api.watching(f"{WATCH}&labelSelector=in%3Dyes") as watch:
            for label in ("no", "yes"):
                await api.ask("PATCH", f"{SERVICES}/a", {"metadata": {"labels": {"in": label}}}, kind=MERGE)
            assert await watch.events(3) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


@in_loop
async def test_one_resource_can_be_watched() -> None:
    """By its own path, too."""
    async with Api.open() as api:
        await api.made(model_service("a"))
        await api.made(model_service("b"))
        async with api.watching(f"{SERVICES}/b?watch=true") as watch:
            assert await watch.events(1) == [("ADDED", "b")]
            await api.ask("DELETE", f"{SERVICES}/a")
            await api.ask("DELETE", f"{SERVICES}/b")
            assert await watch.events(1) == [("DELETED", "b")]


@in_loop
async def test_a_watch_in_tables_has_its_columns_once() -> None:
    """Each event is a table of one row."""
    async with Api.open() as api:
        await api.made(model_service("a"))
        async with api.watching(WATCH, {"accept": TABLE}) as watch:
            first = await watch.next()
            await api.ask("DELETE", f"{SERVICES}/a")
            second = await watch.next()
        assert first is not None
        assert second is not None
        assert (first["object"]["kind"], first["object"]["rows"][0]["cells"][0]) == ("Table", "a")
        assert first["object"]["columnDefinitions"]
        assert second["object"]["columnDefinitions"] == []
        assert second["type"] == "DELETED"


@pytest.mark.parametrize(("version", "code", "reason"), [("1000", 410, "Expired"), ("x", 400, "BadRequest")])
@in_loop
async def test_a_version_that_is_not_kept_is_refused_before_anything_is_sent(
    version: str, code: int, reason: str
) -> None:
    """One above the newest as well: the state was put back."""
    async with Api.open() as api, api.watching(f"{WATCH}&resourceVersion={version}") as watch:
        status = await watch.next()
        assert status is not None
        assert (watch.status, status["reason"]) == (code, reason)
        assert await watch.next() is None


@in_loop
async def test_a_version_that_has_been_pruned_is_refused() -> None:
    """410: list again."""
    async with Api.open(max_changes=2) as api:
        for name in "abcdef":
            await api.made(model_service(name))
        async with api.watching(f"{WATCH}&resourceVersion=3") as watch:
            await watch.open.wait()
            assert watch.status == 410


@in_loop
async def test_who_reads_too_slowly_is_told_and_ended() -> None:
    """By an ERROR of 410, after what had already been taken for him."""
    async with Api.open(watch_queue=2) as api:
        async with api.watching(f"{WATCH}&resourceVersion=2") as watch:
            await watch.open.wait()
            watch.slow.clear()
            for name in "abcdef":
                await api.made(model_service(name))
            watch.slow.set()
            seen = []
            while (event := await watch.next()) is not None:
                seen.append(event)
        assert seen[-1]["type"] == "ERROR"
        assert (seen[-1]["object"]["code"], seen[-1]["object"]["reason"]) == (410, "Expired")


@in_virtual_time
async def test_a_watch_ends_when_its_time_is_over() -> None:
    """Without an error."""
    async with Api.open() as api, api.watching(f"{WATCH}&timeoutSeconds=30") as watch:
        assert await watch.next() is None
        assert watch.status == 200


@in_loop
async def test_all_watches_end_with_the_server() -> None:
    """Those that run end well; there are no new ones."""
    async with Api.open() as api, api.watching(WATCH) as one, api.watching(WATCH) as two:
        await asyncio.gather(one.open.wait(), two.open.wait())
        api.app.close()
        assert (await one.next(), await two.next()) == (None, None)
        async with api.watching(WATCH) as late:
            await late.open.wait()
            assert late.status == 503


@in_loop
async def test_watches_end_with_the_store() -> None:
    """As with the server."""
    async with Api.open() as api, api.watching(WATCH) as watch:
        await watch.open.wait()
        await api.store.close()
        assert await watch.next() is None


@in_loop
async def test_the_number_of_watches_is_bounded() -> None:
    """One more is 503, until another one ends."""
    async with Api.open(settings=ApiSettings(max_watches=1)) as api:
        async with api.watching(WATCH) as first:
            await first.open.wait()
            async with api.watching(WATCH) as second:
                status = await second.next()
                assert status is not None
                assert (second.status, status["details"]["retryAfterSeconds"]) == (503, 1)
        async with api.watching(WATCH) as third:
            await third.open.wait()
            assert third.status == 200


@in_loop
async def test_a_selector_beside_a_name_is_refused() -> None:
    """It would mean nothing."""
    async with Api.open() as api:
        reply = await api.ask("GET", f"{SERVICES}/a?watch=true&labelSelector=x")
        assert reply.status_code == 400
