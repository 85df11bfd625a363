"""A version of a model as this machine runs it: its copy, its replicas, its cache, from one start to one stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from tidegate.app.configuration import configuration_of
from tidegate.app.copy import Copy
from tidegate.app.models import Plan
from tidegate.gateway.backend import Backend
from tidegate.gateway.cache import CachedBackend, CacheSettings
from tidegate.gateway.caller import CallerSettings
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.log import Log
from tidegate.replicas.zygotes import Zygotes
from tidegate.telemetry.metrics import RevisionMetrics


class ServedModel:
    """Implements control's Model. A cache of 0 bytes is none. ``owns_copy``: it ends with the model."""

    def __init__(
        self,
        plan: Plan,
        metrics: RevisionMetrics,
        copy: Copy,
        cache: CacheSettings,
        callers: CallerSettings,
        *,
        owns_copy: bool = True,
        log: Log | None = None,
        zygotes: Zygotes | None = None,
    ) -> None:
        self._plan = plan
        self._callers = callers
        self._copy = copy
        self._owns_copy = owns_copy
        self._backend = LocalBackend(
            plan.artifact, plan.source.runtime, plan.replica, metrics, plan.batching, log, zygotes
        )
        self._cached = CachedBackend(self._backend, cache) if cache.max_bytes else None
        self._stopping = False

    def __repr__(self) -> str:
        return f"<ServedModel {self._backend!r}>"

    @property
    def executor(self) -> Backend:
        return self._cached or self._backend

    @property
    def awake(self) -> bool:
        """Always: it is never loaded a second time."""
        return True

    @property
    def ready(self) -> int:
        """See control's Model."""
        return self._backend.ready

    @property
    def hopeless(self) -> bool:
        """See control's Model."""
        return self._backend.hopeless

    def subscribe(self, changed: Callable[[], None]) -> None:
        """See control's Model."""
        self._backend.subscribe(changed)

    def resize(self, replicas: int) -> None:
        """See control's Model."""
        self._plan = msgspec.structs.replace(
            self._plan, replica=msgspec.structs.replace(self._plan.replica, replicas=replicas)
        )
        self._backend.resize(replicas)

    def wish(self, awake: bool) -> None:
        """Nothing: it does not sleep."""

    async def start(self, timeout: float) -> None:
        """See control's Model."""
        try:
            async with asyncio.timeout(timeout):
                await self._relocate()
                if self._stopping:
                    return
                await self._backend.start()
                await self._backend.wait_ready(timeout)
        except TimeoutError as error:
            raise ModelNotReady(self._plan.source.name, self._backend.readiness.reason, retry_after=1.0) from error

    async def wake(self, timeout: float) -> None:
        """Nothing: ``start`` has loaded it."""

    async def measure(self) -> int:
        """See control's Model."""
        return await self._backend.measure()

    async def stop(self) -> None:
        """See control's Model."""
        self._stopping = True
        await self._backend.stop()
        if self._cached is not None:
            await self._cached.close()
        if self._owns_copy:
            await self._copy.release()

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

    async def _relocate(self) -> None:
        """Let the model be loaded from a copy that nobody writes to."""
        try:
            path = await self._copy.take()
        except ModelLoadFailed as error:
            self._backend.give_up(error)
            raise
        self._backend.relocate(path)
