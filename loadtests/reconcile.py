"""What the control plane of services costs: a start with many of them, a list, one change until its status is written.

One process, SQLite under a temporary directory (``--directory`` takes another disk). Nothing runs: replicas are ready
at once, and what a reference means is told at once. Prints median and 99th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np

from tidegate.control.services.reconciler import Reconciler
from tidegate.control.store.sqlite import SqliteStore
from tidegate.resources.document import Document
from tidegate.resources.store import MergePatch
from tidegate.testing.actuator import FakeActuator
from tidegate.testing.resolver import FakeResolver
from tidegate.testing.rollouts import FakeExaminer, FakeObserver
from tidegate.testing.services import OURS, key_of_service, model_service

AT_ONCE = 100
"""Writes that wait together while services are made."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the control plane of services.")
    parser.add_argument("--services", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--count", type=int, default=200, help="changes per figure (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where the state lies (default: a temporary directory)")
    return parser.parse_args()


def service(number: int) -> Document:
    return model_service("a", name=f"s{number:05}")


def show(name: str, taken: list[float]) -> None:
    p50, p99 = np.percentile(taken, [50, 99])
    print(f"  {name:<48} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms   n {len(taken)}")


def reconciler(store: SqliteStore) -> Reconciler:
    return Reconciler(
        store,
        FakeActuator(starts_in=0.0, ends_in=0.0),
        FakeResolver({"a": "a", "b": "b"}),
        FakeObserver(),
        FakeExaminer(),
        publish=lambda traffic: None,
        withdraw=lambda namespace, service: None,
    )


async def make(store: SqliteStore, count: int) -> None:
    """Services that are all ready."""
    subject = reconciler(store)
    await subject.start()
    start = time.perf_counter()
    async with store.watch(OURS, since=(await store.list(OURS)).version) as changes:
        for first in range(0, count, AT_ONCE):
            waiting = {f"s{number:05}" for number in range(first, min(first + AT_ONCE, count))}
            await asyncio.gather(*(store.create(service(int(name[1:]))) for name in waiting))
            while waiting:
                document = (await anext(changes)).document
                if is_settled(document):
                    waiting.discard(document["metadata"]["name"])
    print(f"  create all, until all are ready: {(time.perf_counter() - start) / count * 1e3:.2f} ms each")
    await subject.stop()


def is_settled(document: Document) -> bool:
    """Whether status is that of the spec, and the newest revision answers."""
    status = document.get("status", {})
    told = {each["type"]: each["status"] for each in status.get("conditions", ())}
    current: bool = status.get("observedGeneration") == document["metadata"]["generation"]
    return current and told.get("LatestDeploymentReady") == "True"


async def change(store: SqliteStore, number: int, patch: Document) -> float:
    """Milliseconds from the begin of a write until a watcher has the status that belongs to it."""
    key = key_of_service(service(number))
    async with store.watch(OURS, since=(await store.list(OURS, limit=1)).version) as changes:
        start = time.perf_counter()
        written = await store.patch(key, MergePatch(patch))
        async for told in changes:
            document = told.document
            if document["metadata"]["name"] == key.name and is_settled(document):
                assert document["metadata"]["generation"] == written["metadata"]["generation"]
                break
        return (time.perf_counter() - start) * 1e3


async def measure(directory: Path, options: argparse.Namespace) -> None:
    print(f"{options.services} services")
    async with await SqliteStore.open(directory) as store:
        await make(store, options.services)
        taken: list[float] = []
        for _ in range(10):
            start = time.perf_counter()
            await store.list(OURS)
            taken.append((time.perf_counter() - start) * 1e3)
        show("list all", taken)
        subject = reconciler(store)
        start = time.perf_counter()
        await subject.start()
        print(f"  a start, until each was looked at: {time.perf_counter() - start:.2f} s")
        await asyncio.sleep(1.0)
        scaled = [await change(store, n, {"spec": {"predictor": {"replicas": 2}}}) for n in range(options.count)]
        show("scale, until status is written", scaled)
        model = {"spec": {"predictor": {"model": {"storageUri": "b"}}}}
        edited = [await change(store, n, model) for n in range(options.count)]
        show("another model, until the new revision has all", edited)
        await subject.stop()


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        await measure(Path(directory), options)


if __name__ == "__main__":
    asyncio.run(main(arguments()))
