"""What is special to the store in SQLite: its file, its directory, its threads."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tidegate.control.store.schema import APPLICATION, STEPS, migrate
from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.sqlite import FILE, SqliteStore
from tidegate.protocol.errors import Overloaded, StateUnavailable, StateUnusable
from tidegate.resources.store import MergePatch, Severity
from tidegate.testing.stores import KIND, in_loop, key, owned_by, service, told


@asynccontextmanager
async def opened(path: Path, **settings: float) -> AsyncIterator[SqliteStore]:
    async with await SqliteStore.open(path, StoreSettings(**settings)) as store:  # type: ignore[arg-type]
        yield store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@in_loop
async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """Resources, their owners, the log, events and the number of the last version."""
    async with opened(tmp_path / "new" / "state") as store:
        owner = await store.create(service())
        await store.create(service("child", ownerReferences=owned_by(owner)))
        event = await store.record(key(), "uid", Severity.NORMAL, "Made", "it was made")
        before = await store.list(KIND)
    async with opened(tmp_path / "new" / "state") as store:
        assert await store.list(KIND) == before
        assert list(await store.events()) == [event]
        async with store.watch(KIND, since="2") as changes:
            assert told(await anext(changes)) == ("ADDED", "child")
        await store.delete(key())
        assert (await store.list(KIND)).items == []


@in_loop
async def test_a_version_is_not_given_again_after_a_restart(tmp_path: Path) -> None:
    """Not even when everything was deleted and the log pruned to its last entry."""
    async with opened(tmp_path, max_changes=1) as store:
        await store.create(service())
        last = await store.delete(key())
    async with opened(tmp_path, max_changes=1) as store:
        answer = await store.create(service())
        assert int(answer["metadata"]["resourceVersion"]) == int(last["metadata"]["resourceVersion"]) + 1


@in_loop
async def test_the_state_is_its_users_alone(tmp_path: Path) -> None:
    """Directory 0700, every file 0600, also where somebody had opened them wider."""
    directory = tmp_path / "state"
    async with opened(directory) as store:
        await store.create(service())
        assert mode(directory) == 0o700
        assert {mode(path) for path in directory.iterdir()} == {0o600}
    (directory / FILE).chmod(0o644)
    async with opened(directory) as store:
        await store.get(key())
        assert {mode(path) for path in directory.iterdir()} == {0o600}


@in_loop
async def test_writes_reach_the_disk(tmp_path: Path) -> None:
    """The settings that durability stands on: WAL, synchronous FULL, foreign keys."""
    async with opened(tmp_path) as store:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            found = await store._writer.call(lambda connection, p=pragma: connection.execute(f"PRAGMA {p}").fetchone())  # type: ignore[misc]
            assert found == (value,)


@in_loop
async def test_a_second_store_is_refused_in_the_same_process(tmp_path: Path) -> None:
    """The lock knows no difference, and the first one goes on."""
    async with opened(tmp_path) as store:
        with pytest.raises(StateUnusable, match=r"is in use by process"):
            await SqliteStore.open(tmp_path)
        await store.create(service())
    async with opened(tmp_path) as store:
        await store.get(key())


@in_loop
async def test_what_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    """A file in its place is named, with the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match=r"^the state directory '.*file' cannot be used: "):
        await SqliteStore.open(tmp_path / "file")


@in_loop
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It stays as it is, and the directory is free again."""
    (tmp_path / FILE).write_text("not a database, but long enough to be read as the head of one" * 10)
    for _ in range(2):
        with pytest.raises(StateUnusable, match=r"is damaged: file is not a database"):
            await SqliteStore.open(tmp_path)
    assert (tmp_path / FILE).read_text().startswith("not a database")


@in_loop
async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """Its tables are not touched."""
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
    with pytest.raises(StateUnusable, match=r"is another program's: name another directory"):
        await SqliteStore.open(tmp_path)


@in_loop
async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """An older program does not write into tables that it does not know."""
    async with opened(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("INSERT INTO steps VALUES (?, 0)", (len(STEPS) + 1,))
        connection.commit()
    with pytest.raises(StateUnusable) as caught:
        await SqliteStore.open(tmp_path)
    assert f"is from a newer tidegate (step {len(STEPS) + 1}, this one knows {len(STEPS)})" in caught.value.message


def test_steps_bring_an_old_file_up(tmp_path: Path) -> None:
    """Only those that it has not seen are done, once, and what it holds stays."""
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        first = ("CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
        migrate(connection, "x.db", 1.0, (first,))
        later = (first, ("ALTER TABLE a ADD COLUMN y DEFAULT 5",), ("INSERT INTO a VALUES (2, 6)",))
        for _ in range(2):
            migrate(connection, "x.db", 2.0, later)
        assert connection.execute("SELECT * FROM a").fetchall() == [(1, 5), (2, 6)]
        assert connection.execute("SELECT * FROM steps").fetchall() == [(1, 1.0), (2, 2.0), (3, 2.0)]
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)


def test_a_step_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A step is done whole or not at all, so that it can be tried again; the steps before it stay."""
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        first = ("CREATE TABLE a (x)",)
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, "x.db", 1.0, (first, ("CREATE TABLE b (x)", "nonsense")))
        assert connection.execute("SELECT number FROM steps").fetchall() == [(1,)]
        migrate(connection, "x.db", 2.0, (first, ("CREATE TABLE b (x)",)))
        assert connection.execute("SELECT number FROM steps").fetchall() == [(1,), (2,)]


@in_loop
async def test_a_file_that_somebody_locks_is_unavailable(tmp_path: Path) -> None:
    """Writes wait for a while and then say so, reads go on, and once the lock is gone writes do, too."""
    async with opened(tmp_path, busy_timeout=0.01) as store:
        await store.create(service())
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StateUnavailable, match=r"cannot be used now: database is locked$") as caught:
                await store.delete(key())
            assert caught.value.retryable
            await store.get(key())
            other.execute("ROLLBACK")
        await store.delete(key())


@in_loop
async def test_a_full_disk_refuses_and_nothing_is_half_done(tmp_path: Path) -> None:
    """A write that does not fit is unavailable, undone whole, and not told to who watches."""
    async with opened(tmp_path) as store:
        await store.create(service("a"))
        await store._writer.call(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())
        async with store.watch(KIND, since="2") as changes:
            with pytest.raises(StateUnavailable, match=r"cannot be used now: database or disk is full$"):
                await store.create(service("b", spec={"x": "x" * 500_000}))
            assert len((await store.list(KIND)).items) == 1
            await store._writer.call(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchall())
            answer = await store.create(service("c"))
            assert answer["metadata"]["resourceVersion"] == "3"
            assert told(await anext(changes)) == ("ADDED", "c")


@in_loop
async def test_what_waits_for_the_disk_is_bounded(tmp_path: Path) -> None:
    """Over the bound the answer is immediate and says when to come back; a place that is left is free again."""
    async with opened(tmp_path, max_waiting=2) as store:
        gate = threading.Event()
        held = asyncio.ensure_future(store._writer.call(lambda _: gate.wait()))
        waiting = asyncio.ensure_future(store.create(service("a")))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"^2 calls wait for the state's disk, there is no room now$") as caught:
            await store.create(service("b"))
        assert caught.value.retry_after is not None
        gate.set()
        await asyncio.gather(held, waiting)
        await store.create(service("b"))


@in_loop
async def test_a_cancelled_write_is_done_whole_or_not_at_all(tmp_path: Path) -> None:
    """One that waits is not done; one that has begun is done, and who watches hears of it."""
    async with opened(tmp_path) as store:
        gate, begun = threading.Event(), threading.Event()

        def slow_clock() -> float:
            begun.set()
            gate.wait()
            return 0.0

        async with store.watch(KIND, since="1") as changes:
            store._clock = slow_clock
            first = asyncio.ensure_future(store.create(service("begun")))
            second = asyncio.ensure_future(store.create(service("waiting")))
            await asyncio.to_thread(begun.wait)
            first.cancel()
            second.cancel()
            assert all(
                isinstance(e, asyncio.CancelledError)
                for e in await asyncio.gather(first, second, return_exceptions=True)
            )
            gate.set()
            assert told(await anext(changes)) == ("ADDED", "begun")
            await store.create(service("later"))
            assert told(await anext(changes)) == ("ADDED", "later")


@in_loop
async def test_closing_finishes_what_was_begun(tmp_path: Path) -> None:
    """Writes that wait are done, closing twice is closing, and no thread is left."""
    threads = threading.active_count()
    store = await SqliteStore.open(tmp_path)
    writes = [asyncio.ensure_future(store.create(service(f"s{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    await asyncio.gather(*writes)
    assert threading.active_count() == threads
    assert sorted(os.listdir(tmp_path)) == ["lock", FILE]
    async with opened(tmp_path) as store:
        assert len((await store.list(KIND)).items) == 20


@in_loop
async def test_many_writers_of_one_resource_lose_nothing(tmp_path: Path) -> None:
    """Patches without a version each apply to the latest state."""
    async with opened(tmp_path) as store:
        await store.create(service(spec={}))
        patches = [store.patch(key(), MergePatch({"spec": {f"k{n}": n}})) for n in range(50)]
        await asyncio.gather(*patches)
        assert (await store.get(key()))["spec"] == {f"k{n}": n for n in range(50)}
