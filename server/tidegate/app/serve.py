"""The all-in-one server: listeners, data plane and one backend per model, in one process.

It starts from the outside in and stops from the inside out: the status port opens before anything else, so that
readiness can say what is missing; on the way down readiness falls first, then the listeners stop taking requests,
then what is in flight ends, then the replicas.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from msgspec import structs

from tidegate.app.events import Leaving, Listening, Ready, Stopped
from tidegate.app.identity import Door
from tidegate.app.repository import Announce, repository_of
from tidegate.app.settings import ServeSettings
from tidegate.app.signals import EndSignals
from tidegate.control.watch import snapshot, watch
from tidegate.gateway.address import is_loopback
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.grpc.server import GrpcServer
from tidegate.gateway.http.server import HttpServer
from tidegate.gateway.http.status import StatusServer
from tidegate.gateway.routes import RouteTable
from tidegate.identity.tls import contexts
from tidegate.protocol.errors import ModelNotReady
from tidegate.storage.cache import ArtifactCache
from tidegate.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

GOOD, FAILED, NOT_READY = 0, 1, 3
"""Ways to end that are not a signal: asked to, no model could be loaded, none was loaded in time."""


async def serve(settings: ServeSettings, announce: Announce) -> int:
    """Serve until a signal comes, and return the process' exit code.

    ``announce`` is told what happens, see app/events.py. The first SIGTERM or SIGINT lets requests in flight end,
    the second ends at once with 128 + its number; no child process outlives either.

    Raises:
        ModelLoadFailed: there is no model to serve under the paths.
        CannotListen: a port is taken.
        Unusable: keys or certificates cannot be used.
    """
    server = Server(settings, announce)
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

    def __init__(self, settings: ServeSettings, announce: Announce) -> None:
        self._door = Door(settings.identity)  # and the certificates: before anything is there that is to be ended
        http_tls, grpc_tls = contexts(settings.tls)
        metrics = Metrics(settings.gateway.version)
        self._settings = settings
        self._announce = announce
        self._copies = ArtifactCache(settings.artifact_cache) if settings.artifact_cache else None
        control = settings.model_control or all(map(is_loopback, (settings.http.host, settings.grpc.host)))
        self.plane = DataPlane(RouteTable(), metrics, structs.replace(settings.gateway, model_control=control))
        self._models = repository_of(settings, self.plane, metrics, self._copies, announce)
        self.plane.repository = self._models
        self.plane.access = self._door.access()
        self._status = StatusServer(self.plane, settings.status)
        self._http = HttpServer(self.plane, settings.http, http_tls)
        self._grpc = GrpcServer(self.plane, settings.grpc, grpc_tls)

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
                async with self._watching():
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
        self._models.kill()
        await asyncio.gather(*listeners, self._models.stop(), self._door.close())
        if self._copies is not None:
            self._copies.close()

    async def _open(self) -> None:
        await self._status.start()
        await self._door.open()
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
        """Load every model, until each has loaded or failed. Good as long as one answers, or none is asked for:
        a directory that is watched may be empty, and a model be unloaded meanwhile.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        results = await self._models.start()
        failures = [failure for failure in results if failure is not None]
        if failures and len(failures) == len(results):
            late = loop.time() - began >= self._settings.ready_timeout
            return NOT_READY if late and any(isinstance(failure, ModelNotReady) for failure in failures) else FAILED
        asleep = sum(lease.readiness.asleep for lease in self._models.leases)
        self._announce(Ready(len(results) - len(failures) - asleep, len(failures), asleep))
        return GOOD

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """While entered, changes on disk are followed if that is asked for."""
        settings = self._settings
        if not settings.watch:
            yield
            return
        watching = asyncio.create_task(
            watch(partial(snapshot, settings.paths), self._models.follow, settings.watching), name="watch"
        )
        watching.add_done_callback(_watch_ended)
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _leave(self) -> bool:
        """Go down in order; tells whether all that was in flight has been answered."""
        grace = self._settings.shutdown_grace
        self.plane.leave()
        await asyncio.sleep(self._settings.shutdown_delay)
        async with asyncio.TaskGroup() as listeners:
            for listener in (self._http, self._grpc):
                listeners.create_task(listener.stop(grace))
            clean = await self._drained(grace)
        await self._models.stop()
        await self._status.stop(0.0)
        return clean

    async def _drained(self, grace: float) -> bool:
        try:
            async with asyncio.timeout(grace):
                await self.plane.drain()
        except TimeoutError:
            return False
        return True


def _watch_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the served paths are watched no more", exc_info=error)


def address(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
