"""What the store of resources costs: reads, lists, writes that are on the disk, and telling those who watch.

One process, SQLite under a temporary directory (``--directory`` takes another disk), resources of about a kilobyte.
Prints median and 99th percentile; the file system's own cost of a sync is measured beside, as writes stand on it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from tidegate.control.store.sqlite import SqliteStore
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.selector import parse_selector
from tidegate.resources.store import MergePatch, Query

KIND = GroupKind("tidegate.dev", "ModelService")
PADDING = "x" * 600
AT_ONCE = 500
"""Writes that wait together; each is a transaction and a sync of its own."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the store of resources.")
    parser.add_argument("--services", type=int, nargs="+", default=[1000, 10_000], help="(default: %(default)s)")
    parser.add_argument("--count", type=int, default=500, help="calls per figure (default: %(default)s)")
    parser.add_argument("--watchers", type=int, default=100, help="who watches at once (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where the state lies (default: a temporary directory)")
    return parser.parse_args()


def service(number: int) -> Document:
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": f"s{number:05}", "namespace": "default", "labels": {"team": str(number % 100)}},
        "spec": {"predictor": {"minReplicas": 1, "model": {"storageUri": PADDING}}},
    }


def key(number: int) -> Key:
    return Key(KIND, "default", f"s{number:05}")


async def measured(name: str, count: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Print the milliseconds of each call, one after the other."""
    taken: list[float] = []
    for number in range(count):
        start = time.perf_counter()
        await call(number)
        taken.append((time.perf_counter() - start) * 1e3)
    show(name, taken)


def show(name: str, taken: list[float]) -> None:
    p50, p99 = np.percentile(taken, [50, 99])
    print(f"  {name:<34} p50 {p50:8.3f} ms   p99 {p99:8.3f} ms   n {len(taken)}")


def sync_cost(directory: Path, count: int) -> None:
    """What it takes to write 4 KiB and have them on the disk, without a database."""
    taken: list[float] = []
    file = os.open(directory / "probe", os.O_RDWR | os.O_CREAT)
    try:
        for _ in range(count):
            start = time.perf_counter()
            os.write(file, b"x" * 4096)
            os.fdatasync(file)
            taken.append((time.perf_counter() - start) * 1e3)
    finally:
        os.close(file)
        os.unlink(directory / "probe")
    show("write 4 KiB and sync, no database", taken)


async def fan_out(store: SqliteStore, watchers: int, count: int) -> None:
    """From the begin of a write until the last of all who watch has read the change."""
    since = (await store.list(KIND, limit=1)).version
    contexts = [store.watch(KIND, since=since) for _ in range(watchers)]
    watches = [await context.__aenter__() for context in contexts]

    async def write(number: int) -> None:
        await asyncio.gather(
            store.patch(key(number), MergePatch({"spec": {"told": number}})), *(anext(changes) for changes in watches)
        )

    await measured(f"write until {watchers} watchers have it", count, write)
    for context in contexts:
        await context.__aexit__(None, None, None)


async def measure(directory: Path, services: int, options: argparse.Namespace) -> None:
    print(f"{services} services")
    sync_cost(directory, options.count)
    async with await SqliteStore.open(directory / f"state-{services}") as store:
        start = time.perf_counter()
        for first in range(0, services, AT_ONCE):
            await asyncio.gather(*(store.create(service(n)) for n in range(first, min(first + AT_ONCE, services))))
        took = time.perf_counter() - start
        print(f"  create all, {AT_ONCE} at once            {services / took:8.0f} writes/s")
        await measured("get", options.count, lambda n: store.get(key(n % services)))
        lists = max(options.count // 50, 5)
        await measured("list all", lists, lambda _: store.list(KIND))
        await measured("first page of 500", lists, lambda _: store.list(KIND, limit=500))
        selected = Query(selector=parse_selector("team=7"))
        await measured("list by label, a hundredth", lists, lambda _: store.list(KIND, selected))
        await measured("patch", options.count, lambda n: store.patch(key(n), MergePatch({"spec": {"n": n}})))
        status: Document = {"status": {"ready": True}}
        await measured("status", options.count, lambda n: store.replace_status(service(n) | status))
        await fan_out(store, options.watchers, options.count)


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for services in options.services:
            await measure(Path(directory), services, options)


if __name__ == "__main__":
    asyncio.run(main(arguments()))
