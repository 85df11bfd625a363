"""The all-in-one server: listeners, data plane and one backend per model, in one process.

It starts from the outside in and stops from the inside out: the status port opens before anything else, so that
readiness can say what is missing; on the way down readiness falls first, then the listeners stop taking requests,
then what is in flight ends, then the replicas.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence

from tidegate.app.events import Event, Leaving, Listening, Loaded, LoadFailed, Ready, Stopped
from tidegate.app.models import Plan, available_cores, plans, told
from tidegate.app.settings import ServeSettings
from tidegate.app.signals import EndSignals
from tidegate.gateway.backend import Backend
from tidegate.gateway.cache import CachedBackend, CacheSettings
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.grpc.server import GrpcServer
from tidegate.gateway.http.server import HttpServer
from tidegate.gateway.http.status import StatusServer
from tidegate.gateway.routes import Route, RouteTable
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, TidegateError
from tidegate.replicas.backend import LocalBackend
from tidegate.storage.cache import ArtifactCache
from tidegate.storage.repository import ModelSource
from tidegate.telemetry.metrics import Metrics

Announce = Callable[[Event], None]

GOOD, FAILED, NOT_READY = 0, 1, 3
"""Ways to end that are not a signal: asked to, no model could be loaded, none was loaded in time."""


async def serve(settings: ServeSettings, announce: Announce) -> int:
    """Serve until a signal comes, and return the process' exit code.

    ``announce`` is told what happens, see app/events.py. The first SIGTERM or SIGINT lets requests in flight end,
    the second ends at once with 128 + its number; no child process outlives either.

    Raises:
        ModelLoadFailed: there is no model to serve under the paths.
        CannotListen: a port is taken.
    """
    server = Server(settings, plans(settings, available_cores()), announce)
    with EndSignals() as signals:
        try:
            return await server.run(signals)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not signals.forced or task is None:
                raise
            task.uncancel()
        finally:
            signals.ignore()
            await server.close()
        announce(Stopped(clean=False))
        return signals.code


class Server:
    """One process' worth of tidegate. ``run`` is its whole life; ``close`` ends what a shortened life left."""

    def __init__(self, settings: ServeSettings, planned: Sequence[Plan], announce: Announce) -> None:
        metrics = Metrics(settings.gateway.version)
        self._settings = settings
        self._announce = announce
        self._models = [
            (
                each.source,
                LocalBackend(
                    each.artifact,
                    each.source.runtime,
                    each.replica,
                    metrics.bind(each.source.name, each.source.version),
                    each.batching,
                ),
            )
            for each in planned
        ]
        self._copies = ArtifactCache(settings.artifact_cache) if settings.artifact_cache else None
        batching = settings.batching
        cache = CacheSettings(
            max_bytes=settings.cache_bytes, max_queue=batching.max_queue, max_queue_bytes=batching.max_queue_bytes
        )
        self._caches = [CachedBackend(backend, cache) for _, backend in self._models] if cache.max_bytes else []
        backends: Sequence[Backend] = self._caches or [backend for _, backend in self._models]
        routes = RouteTable.of(
            *(Route(source.name, source.version, b) for (source, _), b in zip(self._models, backends, strict=True))
        )
        for (source, _), backend in zip(self._models, backends, strict=True):
            metrics.watch(source.name, source.version, backend.statistics)
        self.plane = DataPlane(routes, metrics, settings.gateway)
        self._status = StatusServer(self.plane, settings.status)
        self._http = HttpServer(self.plane, settings.http)
        self._grpc = GrpcServer(self.plane, settings.grpc)
        self._ending: list[asyncio.Task[None]] = []

    async def run(self, signals: EndSignals) -> int:
        """Open, load, serve until asked to end, end in order; returns the exit code."""
        await self._open()
        loading = asyncio.ensure_future(self._load_all())
        asked = asyncio.ensure_future(signals.asked.wait())
        try:
            await asyncio.wait({loading, asked}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                code = loading.result()
                if code != GOOD:
                    return code
                # What has been made by now lives as long as the process: the collector need not look at it again.
                gc.collect()
                gc.freeze()
                await asked
        finally:
            loading.cancel()
            asked.cancel()
            await asyncio.gather(loading, asked, return_exceptions=True)
        self._announce(Leaving(signals.name, self._settings.shutdown_grace))
        clean = await self._leave()
        self._announce(Stopped(clean))
        return GOOD

    async def close(self) -> None:
        """End everything now: listeners without grace, replicas by force. After ``run`` has ended well, nothing."""
        listeners = (listener.stop(0.0) for listener in (self._http, self._grpc, self._status))
        await asyncio.gather(*listeners, self._kill_models())
        if self._copies is not None:
            self._copies.close()

    async def _open(self) -> None:
        await self._status.start()
        await self._http.start()
        await self._grpc.start()
        http, grpc, status = self._settings.http, self._settings.grpc, self._settings.status
        self._announce(
            Listening(
                address(http.host, self._http.port),
                address(grpc.host, self._grpc.port),
                address(status.host, self._status.port),
            )
        )

    async def _load_all(self) -> int:
        """Start every backend and wait until each has loaded or failed. Good as long as one of them answers."""
        for source, _ in self._models:
            self._announce(told(source))
        codes = await asyncio.gather(*(self._load(source, backend) for source, backend in self._models))
        loaded = codes.count(GOOD)
        if not loaded:
            return max(codes)
        self._announce(Ready(loaded, len(codes) - loaded))
        return GOOD

    async def _load(self, source: ModelSource, backend: LocalBackend) -> int:
        loop = asyncio.get_running_loop()
        began = loop.time()
        timeout = self._settings.ready_timeout
        try:
            await self._copy(source, backend)
            await backend.start()
            await backend.wait_ready(began + timeout - loop.time())
        except TidegateError as error:
            self._announce(LoadFailed(source.name, source.version, error.message))
            late = isinstance(error, ModelNotReady) and loop.time() - began >= timeout
            return NOT_READY if late else FAILED
        metadata = backend.metadata
        assert metadata is not None, "a backend that is ready has told its signature"
        self._announce(Loaded(source.name, source.version, loop.time() - began, metadata))
        return GOOD

    async def _copy(self, source: ModelSource, backend: LocalBackend) -> None:
        """Let a model be loaded from a copy that nobody writes to."""
        if self._copies is None:
            return
        try:
            held = await asyncio.to_thread(self._copies.hold, source.path, source.beside, self._settings.trusted)
        except ModelLoadFailed as error:
            backend.give_up(error)
            raise
        backend.relocate(held.path)

    async def _leave(self) -> bool:
        """Go down in order; tells whether all that was in flight has been answered."""
        grace = self._settings.shutdown_grace
        self.plane.leave()
        await asyncio.sleep(self._settings.shutdown_delay)
        async with asyncio.TaskGroup() as listeners:
            for listener in (self._http, self._grpc):
                listeners.create_task(listener.stop(grace))
            clean = await self._drained(grace)
        await self._stop_models()
        await self._status.stop(0.0)
        return clean

    async def _drained(self, grace: float) -> bool:
        try:
            async with asyncio.timeout(grace):
                await self.plane.drain()
        except TimeoutError:
            return False
        return True

    async def _stop_models(self) -> None:
        self._end_models()
        if self._ending:
            await asyncio.wait(self._ending)
        await asyncio.gather(*(cache.close() for cache in self._caches))

    async def _kill_models(self) -> None:
        for _, backend in self._models:
            backend.kill()
        await self._stop_models()

    def _end_models(self) -> None:
        """Begin, once. These tasks are waited for and never cancelled: half a stop would leave a process behind."""
        if not self._ending:
            self._ending = [asyncio.create_task(backend.stop()) for _, backend in self._models]


def address(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
