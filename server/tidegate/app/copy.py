"""The copy of a version of a model that it is loaded from, taken when it is first needed and kept from then on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from tidegate.storage.cache import ArtifactCache, Held
from tidegate.storage.repository import ModelSource


class Copy(Protocol):
    """What a model is loaded from."""

    async def take(self) -> Path:
        """The path to load from.

        Raises:
            ModelLoadFailed: there is none.
        """
        ...

    async def release(self) -> None:
        """It is not needed any more."""
        ...


class HeldCopy:
    """One that its owner has taken from the cache already. Implements Copy."""

    def __init__(self, copies: ArtifactCache, held: Held, path: Path) -> None:
        self._copies = copies
        self._held = held
        self._path = path

    async def take(self) -> Path:
        """See Copy."""
        return self._path

    async def release(self) -> None:
        """See Copy."""
        self._copies.release(self._held)


class ModelCopy:
    """Where ``copies`` is None it is loaded from where it lies."""

    def __init__(self, copies: ArtifactCache | None, source: ModelSource, trusted: bool) -> None:
        self._copies = copies
        self._source = source
        self._trusted = trusted
        self._holding: asyncio.Task[Held] | None = None

    async def take(self) -> Path:
        """The path to load from. Whoever breaks this off leaves the thread at work, and ``release`` waits for it.

        Raises:
            ModelLoadFailed: it cannot be copied. The next call tries again.
        """
        if self._copies is None:
            return self._source.path
        if self._holding is None or _failed(self._holding):
            hold = asyncio.to_thread(self._copies.hold, self._source.path, self._source.beside, self._trusted)
            self._holding = asyncio.create_task(hold)
        return (await asyncio.shield(self._holding)).path

    async def release(self) -> None:
        """It is not needed any more."""
        if self._holding is None or self._copies is None:
            return
        await asyncio.wait({self._holding})
        if not _failed(self._holding):
            self._copies.release(self._holding.result())


def _failed(task: asyncio.Task[Held]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
