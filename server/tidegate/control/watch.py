"""Watching the served paths: a shell around ``Settle``, which decides when a change on disk is over.

It polls, and only where that is asked for. inotify would cost nothing in between, but does not see what other machines
write (NFS, a mounted bucket), which is where shared models lie.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tidegate.storage.settle import Listing, Settle, Snapshot, Stamp

DEPTH = 16
"""Levels of directories below a served path that are looked at."""


class WatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and how patiently.

    Raises:
        ValueError: the interval is none.
    """

    watch_interval: float = 5.0
    """Seconds between two looks at the disk. A look is one ``stat`` per file."""
    watch_settle: float = 2.0
    """Seconds for which a model must have stayed the same before it is taken: whoever writes it writes for a while."""

    def __post_init__(self) -> None:
        if self.watch_interval <= 0:
            raise ValueError(f"watch_interval is {self.watch_interval:g}, expected a number of seconds above 0")


async def watch(
    look: Callable[[], Snapshot], follow: Callable[[Iterable[Path]], Coroutine[Any, Any, None]], settings: WatchSettings
) -> None:
    """Tell ``follow`` the paths that have changed, for ever. ``look`` blocks, and is called in a thread.

    A change is followed while others settle, each in a task of its own.
    """
    loop = asyncio.get_running_loop()
    known = await asyncio.to_thread(look)
    settle = Settle(settings.watch_settle, known)
    async with asyncio.TaskGroup() as following:
        following.create_task(follow([Path(path) for path in known]))  # what has changed since the start
        while True:
            due = loop.time() + settings.watch_interval
            await asyncio.sleep(max(min(due, settle.next_at or due) - loop.time(), 0))
            changes = settle.observe(await asyncio.to_thread(look), loop.time())
            if changes:
                paths = [Path(path) for path in (*changes.added, *changes.changed, *changes.removed)]
                following.create_task(follow(paths))


def snapshot(paths: Iterable[Path]) -> Snapshot:
    """What lies at the paths now: each file that was named, and each entry of the directories that were."""
    found: dict[str, Listing] = {}
    for path in paths:
        path = Path(os.path.abspath(path))
        watched = _visible(path) if path.is_dir() else [path]
        for each in watched:
            if listing := tuple(sorted(_files(each, "", DEPTH))):
                found[str(each)] = listing
    return found


def _files(path: Path, name: str, depth: int) -> Iterator[tuple[str, Stamp]]:
    with suppress(OSError):  # it went meanwhile, and will be missed by the next look
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            yield name, Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
        elif depth:
            for child in _visible(path):
                yield from _files(child, f"{name}/{child.name}" if name else child.name, depth - 1)


def _visible(path: Path) -> list[Path]:
    with suppress(OSError):
        return [child for child in path.iterdir() if not child.name.startswith(".")]
    return []
