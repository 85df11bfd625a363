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

from tidegate.app.admin import AdminServer, admin_server
from tidegate.app.control_plane import ControlPlane
from tidegate.app.events import Leaving, Listening, Ready, Stopped
from tidegate.app.identity import Recognition
from tidegate.app.manifests import write
from tidegate.app.repository import Announce, repository_of
from tidegate.app.routing import Router
from tidegate.app.settings import ServeSettings
from tidegate.app.signals import EndSignals
from tidegate.control.activator import Activator
from tidegate.control.watch import snapshot, watch
from tidegate.gateway.address import is_loopback
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.grpc.server import GrpcServer
from tidegate.gateway.http.server import HttpServer
from tidegate.gateway.http.status import StatusServer
from tidegate.gateway.routes import RouteTable
from tidegate.identity.tls import contexts
from tidegate.protocol.errors import ModelNotReady
from tidegate.replicas.zygotes import Zygotes
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
        ManifestsRefused: there are manifests that cannot be stored.
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
        # Keys and certificates may be unusable: they are read before anything is there that would have to be ended.
        self._recognition = Recognition(settings.identity)
        http_tls, grpc_tls = contexts(settings.tls)
        metrics = Metrics(settings.gateway.version)
        self._settings = settings
        self._announce = announce
        self._copies = ArtifactCache(settings.artifact_cache) if settings.artifact_cache else None
        control = settings.model_control or all(map(is_loopback, (settings.http.host, settings.grpc.host)))
        self.plane = DataPlane(RouteTable(), metrics, structs.replace(settings.gateway, model_control=control))
        router = Router(self.plane, metrics)
        self._zygotes = Zygotes(settings.zygotes, settings.replica.zygote_timeout)
        activator = Activator(settings.activation, metrics.activation)
        self._models = repository_of(settings, router, metrics, self._copies, activator, announce, self._zygotes)
        self.plane.repository = self._models
        self._kept = ArtifactCache(settings.revision_cache)
        self._services = ControlPlane(settings, router, metrics, self._kept, activator, announce, self._zygotes)
        self.plane.access = self._recognition.access()
        self._status = StatusServer(self.plane, settings.status)
        self._http = HttpServer(self.plane, settings.http, http_tls)
        self._grpc = GrpcServer(self.plane, settings.grpc, grpc_tls)
        self._admin: AdminServer | None = None
        self.plane.starting = True

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
        ends = (self.plane.shadows.close(), self._models.stop(), self._services.stop(), self._recognition.close())
        listeners = (listener.stop(0.0) for listener in (self._http, self._grpc, self._admin, self._status) if listener)
        self._models.kill()
        self._services.kill()
        await asyncio.gather(*listeners, *ends)
        await self._services.close()
        self._zygotes.close()
        for copies in (self._copies, self._kept):
            if copies is not None:
                copies.close()

    async def _open(self) -> None:
        settings = self._settings
        await self._status.start()
        await self._recognition.open()
        store = await self._services.open()
        self._admin = admin_server(
            store,
            settings.admin,
            settings.state_directory,
            version=settings.gateway.version,
            authenticator=self._recognition.authenticator,
            logs=self._services.actuator,
            trial=self._services.notifications.trial,
            bounds=settings.store,
        )
        warnings = await write(await self._admin.writer(), settings.manifests)
        await self._services.route()
        for listener in (self._http, self._grpc, self._admin):
            await listener.start()
        self._announce(
            Listening(
                address(settings.http.host, self._http.port),
                address(settings.grpc.host, self._grpc.port),
                f"{self._admin.scheme}://{address(settings.admin.http.host, self._admin.port)}",
                address(settings.status.host, self._status.port),
            )
        )
        for warning in warnings:
            self._announce(warning)

    @property
    def _base(self) -> str:
        """The URL of the data plane, as people of this machine reach it."""
        scheme = "https" if self._settings.tls else "http"
        return f"{scheme}://{address(self._settings.http.host, self._http.port)}"

    async def _load_all(self) -> int:
        """Load every model and service, until each has loaded or failed. Good as long as one answers, or none is asked
        for by a path: a directory that is watched may be empty, and what is stored can be mended while we run.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        models, services = await asyncio.gather(self._models.start(), self._services.start(self._base))
        self.plane.starting = False
        results = [*models, *services]
        failures = [failure for failure in results if failure is not None]
        asked = self._settings.paths or self._settings.manifests
        if asked and failures and len(failures) == len(results):
            late = loop.time() - began >= self._settings.ready_timeout
            return NOT_READY if late and any(isinstance(failure, ModelNotReady) for failure in failures) else FAILED
        asleep = sum(lease.readiness.asleep for lease in self._models.leases) + self._services.asleep
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
        assert self._admin is not None, "it was opened with the others"
        self.plane.leave()
        await asyncio.sleep(self._settings.shutdown_delay)
        async with asyncio.TaskGroup() as listeners:
            for listener in (self._http, self._grpc, self._admin):
                listeners.create_task(listener.stop(grace))
            clean = await self._drained(grace)
        await asyncio.gather(self._models.stop(), self._services.stop())
        await self._services.close()
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
