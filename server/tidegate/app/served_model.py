"""A version of a model as this machine runs it: its copy, its replicas, its cache, from one start to one stop."""

from __future__ import annotations

import asyncio

from tidegate.app.configuration import configuration_of
from tidegate.app.models import Plan
from tidegate.gateway.backend import Backend
from tidegate.gateway.cache import CachedBackend, CacheSettings
from tidegate.gateway.caller import CallerSettings
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady
from tidegate.replicas.backend import LocalBackend
from tidegate.storage.cache import ArtifactCache, Held
from tidegate.telemetry.metrics import RevisionMetrics


class ServedModel:
    """Implements control's Model. ``copies`` None loads it from where it lies; a cache of 0 bytes is none."""

    def __init__(
        self,
        plan: Plan,
        metrics: RevisionMetrics,
        copies: ArtifactCache | None,
        cache: CacheSettings,
        callers: CallerSettings,
    ) -> None:
        self._plan = plan
        self._callers = callers
        self._copies = copies
        self._backend = LocalBackend(plan.artifact, plan.source.runtime, plan.replica, metrics, plan.batching)
        self._cached = CachedBackend(self._backend, cache) if cache.max_bytes else None
        self._holding: asyncio.Task[Held] | None = None
        self._stopping = False

    def __repr__(self) -> str:
        return f"<ServedModel {self._backend!r}>"

    @property
    def executor(self) -> Backend:
        return self._cached or self._backend

    async def start(self, timeout: float) -> None:
        """See control's Model."""
        try:
            async with asyncio.timeout(timeout):
                await self._copy()
                if self._stopping:
                    return
                await self._backend.start()
                await self._backend.wait_ready(timeout)
        except TimeoutError as error:
            raise ModelNotReady(self._plan.source.name, self._backend.readiness.reason, retry_after=1.0) from error

    async def stop(self) -> None:
        """See control's Model."""
        self._stopping = True
        await self._backend.stop()
        if self._cached is not None:
            await self._cached.close()
        if self._holding is not None and self._copies is not None:
            await asyncio.wait({self._holding})
            if not self._holding.cancelled() and self._holding.exception() is None:
                self._copies.release(self._holding.result())

    def kill(self) -> None:
        """See control's Model."""
        self._stopping = True
        self._backend.kill()

    def configuration(self) -> ModelConfiguration:
        """See control's Model."""
        metadata = self._backend.metadata
        if metadata is None:
            raise ModelNotReady(self._plan.source.name, self._backend.readiness.reason, retry_after=1.0)
        return configuration_of(self._plan, metadata, self._callers, cached=self._cached is not None)

    async def _copy(self) -> None:
        """Let the model be loaded from a copy that nobody writes to."""
        if self._copies is None:
            return
        source, artifact = self._plan.source, self._plan.artifact
        # Breaking this off leaves the thread at work: whoever stops the model waits for what it holds in the end.
        hold = asyncio.to_thread(self._copies.hold, source.path, source.beside, artifact.trusted)
        self._holding = asyncio.create_task(hold)
        try:
            held = await asyncio.shield(self._holding)
        except ModelLoadFailed as error:
            self._backend.give_up(error)
            raise
        self._backend.relocate(held.path)
