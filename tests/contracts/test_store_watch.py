"""What every store promises of watches: nothing is lost, nothing is silent, and what is slow is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tidegate.protocol.errors import InvalidRequest, ResourceExpired, ShuttingDown
from tidegate.resources.selector import parse_selector
from tidegate.resources.store import ALL, Change, ChangeType, MergePatch, Query
from tidegate.testing.stores import KIND, Setup, in_loop, key, next_of, service, told

IN = Query(selector=parse_selector("in=yes"))


@in_loop
async def test_a_watch_tells_what_happens(setup: Setup) -> None:
    """Creation, change, status and deletion, in order, each with the resource and the version of that write."""
    async with setup.open() as store:
        since = (await store.list(KIND)).version
        async with store.watch(KIND, since=since) as changes:
            writes = [
                await store.create(service()),
                await store.patch(key(), MergePatch({"spec": {"x": 1}})),
                await store.replace_status(service() | {"status": {"x": 1}}),
                await store.delete(key()),
            ]
            seen = await next_of(changes, 4)
        assert [told(change) for change in seen] == [
            ("ADDED", "iris"),
            ("MODIFIED", "iris"),
            ("MODIFIED", "iris"),
            ("DELETED", "iris"),
        ]
        assert [change.document for change in seen] == writes
        assert [change.version for change in seen] == [write["metadata"]["resourceVersion"] for write in writes]


@in_loop
async def test_a_watch_goes_on_from_a_version(setup: Setup) -> None:
    """What was written after it comes first, then what is written from now on; nothing twice, nothing missing."""
    async with setup.open(watch_batch=2) as store:
        await store.create(service("a"))
        since = (await store.list(KIND)).version
        for name in "bcdef":
            await store.create(service(name))
        async with store.watch(KIND, since=since) as changes:
            await store.create(service("g"))
            assert [name for _, name in map(told, await next_of(changes, 3))] == ["b", "c", "d"]
            await store.create(service("h"))
            assert [name for _, name in map(told, await next_of(changes, 4))] == ["e", "f", "g", "h"]


@pytest.mark.parametrize("since", [None, "", "0"])
@in_loop
async def test_a_watch_from_nothing_tells_what_is_there_first(setup: Setup, since: str | None) -> None:
    """Each resource is ADDED as it is now, then come the changes."""
    async with setup.open(watch_batch=2) as store:
        for name in "cabed":
            await store.create(service(name, labels={"in": "no" if name == "e" else "yes"}))
        await store.patch(key("a"), MergePatch({"spec": {"now": 1}}))
        async with store.watch(KIND, IN, since=since) as changes:
            await store.delete(key("b"))
            seen = await next_of(changes, 5)
        added = [("ADDED", name) for name in "abcd"]
        assert [told(change) for change in seen] == [*added, ("DELETED", "b")]
        assert seen[0].document["spec"] == {"predictor": {"minReplicas": 1}, "now": 1}
        assert seen[0].version == seen[0].document["metadata"]["resourceVersion"] == "7"


@in_loop
async def test_what_leaves_the_selection_is_deleted_to_who_watches_it(setup: Setup) -> None:
    """It comes with what it was when selected and the version of the change; what enters is ADDED."""
    async with setup.open() as store:
        await store.create(service(labels={"in": "yes"}))
        async with store.watch(KIND, IN) as changes:
            await anext(changes)
            await store.patch(key(), MergePatch({"metadata": {"labels": {"in": "no"}}, "spec": {"secret": 1}}))
            left = await anext(changes)
            assert told(left) == ("DELETED", "iris")
            assert left.document["metadata"]["labels"] == {"in": "yes"}
            assert "secret" not in left.document["spec"]
            assert left.version == left.document["metadata"]["resourceVersion"] == "3"
            await store.patch(key(), MergePatch({"spec": {"unseen": 1}}))
            await store.patch(key(), MergePatch({"metadata": {"labels": {"in": "yes"}}}))
            assert told(await anext(changes)) == ("ADDED", "iris")
            await store.patch(key(), MergePatch({"spec": {"seen": 1}}))
            assert told(await anext(changes)) == ("MODIFIED", "iris")


@in_loop
async def test_the_log_tells_the_same_as_a_live_watch(setup: Setup) -> None:
    """Who watches later from the same version sees what who watched all the time has seen, selection included."""
    async with setup.open() as store:
        since = (await store.list(KIND)).version
        async with store.watch(KIND, IN, since=since) as live:
            for number in range(6):
                await store.create(service(f"s{number}", labels={"in": "yes"}))
                await store.patch(key(f"s{number}"), MergePatch({"metadata": {"labels": {"in": "no"}}}))
                await store.delete(key(f"s{number}"))
            seen = await next_of(live, 12)
        async with store.watch(KIND, IN, since=since) as later:
            assert await next_of(later, 12) == seen


@in_loop
async def test_a_watch_is_of_a_kind_and_namespace(setup: Setup) -> None:
    """What is written elsewhere is not told, live or from the log."""
    async with setup.open() as store:
        since = (await store.list(KIND)).version
        async with store.watch(KIND, Query("default"), since=since) as live:
            await store.create(service("a", namespace="other"))
            await store.create(service("b") | {"kind": "ServingRollout"})
            await store.create(service("c"))
            assert told(await anext(live)) == ("ADDED", "c")
        async with store.watch(KIND, Query("default"), since=since) as later:
            assert told(await anext(later)) == ("ADDED", "c")


@in_loop
async def test_a_dry_run_and_a_refused_write_are_not_told(setup: Setup) -> None:
    """Who watches hears of what is stored, and of nothing else."""
    async with setup.open() as store, store.watch(KIND) as changes:
        await store.create(service("dry"), dry_run=True)
        with pytest.raises(InvalidRequest):
            await store.create(service("bad", labels=3))
        await store.create(service("real"))
        assert told(await anext(changes)) == ("ADDED", "real")


@in_loop
async def test_changes_that_are_no_longer_kept_are_410(setup: Setup) -> None:
    """A watch from below the window is refused on entering, one from its edge is not."""
    async with setup.open(max_changes=3) as store:
        for name in "abcde":
            await store.create(service(name))
        with pytest.raises(
            ResourceExpired, match=r"^resourceVersion 2 is too old, changes are kept since 3: list again$"
        ):
            await store.watch(KIND, since="2").__aenter__()
        async with store.watch(KIND, since="3") as changes:
            assert [name for _, name in map(told, await next_of(changes, 3))] == ["c", "d", "e"]


@in_loop
async def test_the_window_has_an_age(setup: Setup) -> None:
    """What was written too long ago is forgotten at the next write; the newest is never."""
    async with setup.open(max_change_age=60) as store:
        await store.create(service("a"))
        await store.create(service("b"))
        setup.clock.now += 61
        async with store.watch(KIND, since="2") as changes:
            assert told(await anext(changes)) == ("ADDED", "b")
        await store.create(service("c"))
        with pytest.raises(ResourceExpired):
            await store.watch(KIND, since="2").__aenter__()
        async with store.watch(KIND, since="3") as changes:
            assert told(await anext(changes)) == ("ADDED", "c")


@in_loop
async def test_a_version_from_the_future_is_an_error(setup: Setup) -> None:
    """As after the state was put back to a copy: silence would look like peace."""
    async with setup.open() as store:
        await store.create(service())
        with pytest.raises(ResourceExpired, match=r"^resourceVersion 3 is above the newest, 2: list again$"):
            await store.watch(KIND, since="3").__aenter__()


@pytest.mark.parametrize("since", ["x", "-1", "1.0", "²", "9" * 19, " 1"])
@in_loop
async def test_what_is_no_version_is_refused(setup: Setup, since: str) -> None:
    """400, with the value."""
    async with setup.open() as store:
        with pytest.raises(
            InvalidRequest, match=r"^resourceVersion is '.*', expected the number that a list or a change"
        ):
            await store.watch(KIND, since=since).__aenter__()


@in_loop
async def test_a_slow_watch_is_ended_and_the_others_are_not(setup: Setup) -> None:
    """Who does not read is ended with 410 when its queue is full, and holds no changes after that."""
    async with setup.open(watch_queue=3) as store, store.watch(KIND) as slow, store.watch(KIND) as quick:
        waiting = [asyncio.ensure_future(anext(slow)), asyncio.ensure_future(anext(quick))]
        await store.create(service("first"))
        assert [told(await task) for task in waiting] == [("ADDED", "first")] * 2
        for number in range(4):
            await store.create(service(f"s{number}"))
            assert told(await anext(quick)) == ("ADDED", f"s{number}")
        with pytest.raises(ResourceExpired, match=r"^the watch is more than 3 changes behind and has ended: watch"):
            await anext(slow)


@in_loop
async def test_a_slow_watch_can_go_on_from_what_it_read(setup: Setup) -> None:
    """Within the window nothing is lost by it."""
    async with setup.open(watch_queue=2) as store:
        async with store.watch(KIND) as slow:
            reading = asyncio.ensure_future(anext(slow))
            await store.create(service("first"))
            last = (await reading).version
            for number in range(3):
                await store.create(service(f"s{number}"))
            with pytest.raises(ResourceExpired):
                await anext(slow)
        async with store.watch(KIND, since=last) as again:
            assert [name for _, name in map(told, await next_of(again, 3))] == ["s0", "s1", "s2"]


@in_loop
async def test_who_falls_behind_while_catching_up_is_ended(setup: Setup) -> None:
    """The log moves on without those who do not read."""
    async with setup.open(max_changes=4, watch_batch=1) as store:
        await store.create(service("a"))
        await store.create(service("b"))
        async with store.watch(KIND, since="1") as changes:
            assert told(await anext(changes)) == ("ADDED", "a")
            for number in range(5):
                await store.create(service(f"s{number}"))
            with pytest.raises(ResourceExpired, match=r"is too old"):
                await anext(changes)


@in_loop
async def test_bookmarks_tell_how_far_a_watch_is(setup: Setup) -> None:
    """One ends what is there; another comes when many changes did not concern the watch, and it can go on from it."""
    async with setup.open(bookmark_every=5, max_changes=6) as store:
        await store.create(service("mine", labels={"in": "yes"}))
        await store.create(service("else"))
        async with store.watch(KIND, IN, bookmarks=True) as changes:
            first, second = await next_of(changes, 2)
            assert (told(first), second.type) == (("ADDED", "mine"), ChangeType.BOOKMARK)
            assert second.document == {"metadata": {"resourceVersion": "3"}}
            reading = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            for number in range(12):
                await store.patch(key("else"), MergePatch({"spec": {"n": number}}))
            mark = await reading
            assert (mark.type, mark.version) == (ChangeType.BOOKMARK, "8")
            mark = await anext(changes)
            assert (mark.type, mark.version) == (ChangeType.BOOKMARK, "13")
        await store.patch(key("mine"), MergePatch({"spec": {"n": 1}}))
        async with store.watch(KIND, IN, since=mark.version) as again:
            assert told(await anext(again)) == ("MODIFIED", "mine")


@in_loop
async def test_without_asking_there_is_no_bookmark(setup: Setup) -> None:
    """Only who asks for them gets them."""
    async with setup.open(bookmark_every=1) as store, store.watch(KIND, IN) as changes:
        for name in "abc":
            await store.create(service(name))
        await store.create(service("d", labels={"in": "yes"}))
        assert told(await anext(changes)) == ("ADDED", "d")


@in_loop
async def test_a_read_that_is_cancelled_loses_nothing(setup: Setup) -> None:
    """Whoever reads with a time limit can read on after it, while it waits and while it catches up."""

    async def given_up(changes: AsyncIterator[Change]) -> None:
        reading = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    async with setup.open(watch_batch=1) as store:
        async with store.watch(KIND) as changes:
            await given_up(changes)
            await given_up(changes)
            for name in "abc":
                await store.create(service(name))
            assert [name for _, name in map(told, await next_of(changes, 3))] == ["a", "b", "c"]
        async with store.watch(KIND, since="1") as changes:
            assert told(await anext(changes)) == ("ADDED", "a")
            await given_up(changes)
            assert [name for _, name in map(told, await next_of(changes, 2))] == ["b", "c"]


@in_loop
async def test_what_a_watcher_does_to_a_document_is_its_own(setup: Setup) -> None:
    """Two who watch the same get documents of their own."""
    async with setup.open() as store, store.watch(KIND) as one, store.watch(KIND) as other:
        readings = [asyncio.ensure_future(anext(changes)) for changes in (one, other)]
        await store.create(service())
        first, second = [await reading for reading in readings]
        first.document["spec"].clear()
        assert second.document["spec"] == service()["spec"]


@in_loop
async def test_a_store_that_closes_ends_its_watches(setup: Setup) -> None:
    """Who waits for a change is told that the server is shutting down, after what had been written."""
    async with setup.open() as store:
        watch = store.watch(KIND)
        changes = await watch.__aenter__()
        reading = asyncio.ensure_future(anext(changes))
        await store.create(service("a"))
        assert told(await reading) == ("ADDED", "a")
        await store.create(service("b"))
        waiting = await store.watch(KIND, since="3").__aenter__()
        reading = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0)
    assert told(await anext(changes)) == ("ADDED", "b")
    with pytest.raises(ShuttingDown):
        await anext(changes)
    with pytest.raises(ShuttingDown):
        await reading


@in_loop
async def test_a_watch_that_was_left_tells_nothing(setup: Setup) -> None:
    """After the end of its block it ends like any iterator."""
    async with setup.open() as store:
        async with store.watch(KIND, ALL) as changes:
            await store.create(service())
            await anext(changes)
            await store.delete(key())
        with pytest.raises(StopAsyncIteration):
            await anext(changes)
