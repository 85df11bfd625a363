"""Watching: what is told, and when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from tidegate.control.watch import WatchSettings, snapshot, watch


def test_a_snapshot_is_of_each_model(tmp_path: Path) -> None:
    """Every entry of a directory with all files below it, links followed; hidden ones and empty folders are none."""
    deep = tmp_path / "m" / "1" / "variables"
    deep.mkdir(parents=True)
    (deep / "data").write_text("x")
    (tmp_path / ".draft").write_text("x")
    (tmp_path / "empty").mkdir()
    lone = tmp_path / "lone.fake.json"
    os.symlink(deep / "data", lone)
    found = snapshot([tmp_path])
    assert {path: [name for name, _ in listing] for path, listing in found.items()} == {
        str(tmp_path / "m"): ["1/variables/data"],
        str(lone): [""],
    }
    assert found[str(lone)][0][1].size == 1
    assert snapshot([lone, tmp_path / "gone"]) == {str(lone): found[str(lone)]}


def test_a_directory_that_leads_into_itself_ends(tmp_path: Path) -> None:
    """At a depth that no model has."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "file").write_text("x")
    os.symlink(tmp_path / "m", tmp_path / "m" / "again")
    ((_, listing),) = snapshot([tmp_path]).items()
    assert len(listing) == 16


def test_changes_are_told_once_they_are_over(tmp_path: Path) -> None:
    """First all paths, for what changed before; then those that changed."""

    async def main() -> None:
        told: asyncio.Queue[list[Path]] = asyncio.Queue()

        async def follow(paths: Iterable[Path]) -> None:
            told.put_nowait(list(paths))

        (tmp_path / "a").write_text("1")
        settings = WatchSettings(watch_interval=0.01, watch_settle=0.02)
        watching = asyncio.create_task(watch(lambda: snapshot([tmp_path]), follow, settings))
        async with asyncio.timeout(30):
            assert await told.get() == [tmp_path / "a"]
            (tmp_path / "b").write_text("1")
            assert await told.get() == [tmp_path / "b"]
            (tmp_path / "a").unlink()
            assert await told.get() == [tmp_path / "a"]
        watching.cancel()
        await asyncio.wait({watching})

    asyncio.run(main())
