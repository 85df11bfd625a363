"""What the contract of a Store is held with: the stores there are, each opened in the same way, and small resources."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.sqlite import SqliteStore
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.store import Change, ChangeType, Occurrence, Severity, Store
from tidegate.testing.store import ManualClock, MemoryStore, NumberedUids

P = ParamSpec("P")
KIND = GroupKind("tidegate.dev", "ModelService")
NAMES = ("memory", "sqlite", "sqlite-memory")
PATIENCE = 60.0
"""Seconds after which what never comes is a failure."""


class Setup:
    """One kind of store, with a clock and uids that stay the same when it is opened again."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.clock = ManualClock()
        self.uids = NumberedUids()

    def open(self, **settings: Any) -> AbstractAsyncContextManager[Store]:
        """The store within bounds of one's own."""
        return self._opened(StoreSettings(**settings))

    @asynccontextmanager
    async def _opened(self, settings: StoreSettings) -> AsyncIterator[Store]:
        if self.name == "sqlite-memory":
            async with await SqliteStore.open(None, settings, clock=self.clock, new_uid=self.uids) as store:
                yield store
        elif self.name == "memory":
            memory = MemoryStore(settings, clock=self.clock, new_uid=self.uids)
            yield memory
            await memory.close()
        else:
            async with await SqliteStore.open(
                self.directory / "state", settings, clock=self.clock, new_uid=self.uids
            ) as store:
                yield store


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """A test that is a coroutine, run in an event loop of its own, for a bounded time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(PATIENCE):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


def service(name: str = "iris", *, namespace: str = "default", spec: object = None, **metadata: object) -> Document:
    """A ModelService; what stands in its spec is of no concern to a store."""
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"predictor": {"minReplicas": 1}} if spec is None else spec,
    }


def key(name: str = "iris", namespace: str = "default") -> Key:
    return Key(KIND, namespace, name)


def occurrence(identity: str = "uid/rollout 1/1", **fields: Any) -> Occurrence:
    """Something that happened to the service, with some of its fields otherwise."""
    told: dict[str, Any] = {
        "type": "rollout.succeeded",
        "about": key(),
        "uid": "u",
        "severity": Severity.NORMAL,
        "reason": "RolloutSucceeded",
        "message": "revision 2 has all of the traffic",
        "time": 1_800_000_000.0,
    }
    return Occurrence(id=identity, **told | fields)


def owned_by(*owners: Document) -> list[Document]:
    """The ``ownerReferences`` of what they own."""
    return [
        {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
        | {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        for owner in owners
    ]


def told(change: Change) -> tuple[str, str]:
    """A change in two words: its type, and the name of what changed."""
    name = "" if change.type is ChangeType.BOOKMARK else change.document["metadata"]["name"]
    return change.type.value, name


async def next_of(changes: AsyncIterator[Change], count: int) -> list[Change]:
    """The next changes of a watch."""
    return [await anext(changes) for _ in range(count)]
