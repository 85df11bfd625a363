"""SQLite's store and processes: what was acknowledged survives a kill, and one process alone has the state."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidegate.control.store.sqlite import FILE, SqliteStore
from tidegate.protocol.errors import StateUnusable
from tidegate.testing.stores import KIND

pytestmark = pytest.mark.e2e

WRITER = Path(__file__).with_name("crash_writer.py")
TELLER = Path(__file__).with_name("telling_writer.py")
LONGEST = 0.01
"""Seconds at most between the last acknowledgement that is waited for and the kill: several writes."""


def killed(directory: Path, chance: random.Random) -> list[tuple[str, str, int]]:
    """What a writer acknowledged until it was killed: a word, a name and a version each."""
    process = subprocess.Popen([sys.executable, WRITER, directory], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(chance.randrange(40))]
        select.select([], [], [], chance.uniform(0, LONGEST))
    finally:
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        process.stdout.close()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return [(word, name, int(version)) for word, name, version in whole]


async def stored(directory: Path) -> tuple[dict[str, int], int]:
    """The version of each resource by its name, and the store's newest."""
    async with await SqliteStore.open(directory) as store:
        page = await store.list(KIND)
    versions = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in page.items}
    return versions, int(page.version)


def family(name: str, held: dict[str, int]) -> set[str]:
    return {one for one in held if one == name or one.startswith(f"{name}-")}


def check_file(file: Path) -> None:
    """Each object is what the log says that it became, and SQLite finds nothing wrong."""
    connection = sqlite3.connect(file)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        differ = "SELECT count(*) FROM objects JOIN changes USING (version) WHERE new != document OR type = 'DELETED'"
        assert connection.execute(differ).fetchone() == (0,)
    finally:
        connection.close()


def kill_often(directory: Path, times: int, seed: int) -> None:
    """Kill a writer time and again, and hold what is left against what it had acknowledged."""
    chance = random.Random(seed)
    held: dict[str, int] = {}
    newest = 1
    for _ in range(times):
        for word, name, version in killed(directory, chance):
            assert version > newest
            newest = version
            if word == "written":
                held[name] = version
            else:
                gone = family(name, held)
                newest += len(gone - {name})  # a version for each child, which the writer does not tell
                held = {one: held[one] for one in held.keys() - gone}
        found, last = asyncio.run(stored(directory))
        check_file(directory / FILE)
        # One write was under way: it is there whole, or not at all.
        more, less = found.keys() - held.keys(), held.keys() - found.keys()
        assert len(more) <= 1
        assert not less or (not more and any(less == family(name, held) for name in less))
        assert {name: found[name] for name in found.keys() - more} == {name: held[name] for name in held.keys() - less}
        held, newest = found, last


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Killed 30 times at random: each acknowledged write is there, none is half done, no version is given again."""
    kill_often(tmp_path / "state", 30, seed=1)


@pytest.mark.soak
def test_what_was_acknowledged_survives_300_times(tmp_path: Path) -> None:
    """The same, 300 times."""
    kill_often(tmp_path / "state", 300, seed=int.from_bytes(os.urandom(4)))


async def sent_from(directory: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """The log, and all that its outbox has to send, taken out as it would be sent."""
    async with await SqliteStore.open(directory) as store:
        log = [told.occurrence.id for told in (await store.occurrences(limit=10_000)).items]
        sent = []
        while due := (await store.outbox(time.time() + 1.0, 10)).due:
            for unsent in due:
                sent.append((unsent.channel["slack"]["secretRef"], unsent.occurrence.id))
                await store.delivered(unsent.number)
    return log, sent


def test_what_was_told_is_sent_after_kill_9(tmp_path: Path) -> None:
    """Killed between telling and sending, ten times: each occurrence in the log is to be sent once to each channel, in
    order, and none that was acknowledged is missing."""
    chance = random.Random(2)
    expected: list[str] = []
    sent: list[tuple[str, str]] = []
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, TELLER, tmp_path / "state", str(len(expected))], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(chance.randrange(1, 10))]
        select.select([], [], [], chance.uniform(0, LONGEST))
        process.kill()
        acknowledged += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        log, more = asyncio.run(sent_from(tmp_path / "state"))
        sent += more
        known = len(expected) + sum(line.endswith("\n") for line in acknowledged)
        assert known <= len(log) <= known + 1  # one was under way: it is there whole, or not at all
        expected = [str(number) for number in range(len(log))]
        assert log == expected
    for channel in ("one", "two"):
        assert [identity for to, identity in sent if to == channel] == expected


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """While one process has the state directory another is told which, and gets it when that one has ended."""
    directory = tmp_path / "state"
    process = subprocess.Popen([sys.executable, WRITER, directory], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        with pytest.raises(StateUnusable) as caught:
            asyncio.run(stored(directory))
        assert caught.value.message == (
            f"the state directory '{directory}' is in use by process {process.pid}: "
            "stop that, or name another directory"
        )
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert asyncio.run(stored(directory))[0]
