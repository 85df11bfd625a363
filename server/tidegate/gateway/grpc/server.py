"""The data plane's gRPC listener: v2, health and reflection over HTTP/2."""

from __future__ import annotations

import asyncio
import logging
from ssl import SSLContext

from tidegate.gateway.address import CannotListen, bind
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.grpc.handler import GrpcHandler
from tidegate.gateway.grpc.health import Health
from tidegate.gateway.grpc.reflection import Reflection
from tidegate.gateway.grpc.servicer import Servicer
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.grpc.transport import Connection, Listening
from tidegate.protocol.errors import TidegateError

__all__ = ["CannotListen", "GrpcServer", "GrpcSettings"]

log = logging.getLogger(__name__)

_LAST_WORDS = 1.0
"""Seconds that a call which outlived the grace gets to send its error."""


class GrpcServer:
    """Serves a data plane over gRPC, encrypted if it is given a context for that.

    Stopping it does not drain the data plane: whoever owns both lets the plane leave first, so that load balancers
    notice before the socket goes.
    """

    def __init__(self, plane: DataPlane, settings: GrpcSettings, tls: SSLContext | None = None) -> None:
        self._plane = plane
        self._settings = settings
        self._tls = tls
        self._listening: Listening | None = None
        self._server: asyncio.Server | None = None
        self._port = 0

    def __repr__(self) -> str:
        where = f"{self._settings.host}:{self._port}" if self._server else "not listening"
        if self._listening is None:
            return f"<GrpcServer {where}>"
        connections, calls = len(self._listening.connections), len(self._listening.tasks)
        return f"<GrpcServer {where}, {connections} connections, {calls} calls>"

    @property
    def port(self) -> int:
        """The port really listened on; 0 before ``start``."""
        return self._port

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            CannotListen: the address is taken, unknown, or not allowed to this process.
        """
        limits = self._plane.settings.limits
        methods = {
            **Servicer(self._plane, self._settings.max_stream_requests).methods(),
            **Health(self._plane, self._settings.health_interval).methods(),
            **Reflection().methods(),
        }
        handler = GrpcHandler(methods, limits, self._settings.message_timeout, self._refused, self._plane.access)
        listening = self._listening = Listening(self._settings, limits, handler.serve, self._refused)
        bound = await bind(self._settings.host, self._settings.port)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(listening),
            sock=bound,
            backlog=self._settings.backlog,
            ssl=self._tls,
            ssl_handshake_timeout=self._settings.handshake_timeout if self._tls else None,
        )
        self._port = bound.getsockname()[1]

    async def stop(self, grace: float) -> None:
        """Stop listening at once, let calls end within ``grace`` seconds, answer the others UNAVAILABLE and close."""
        if self._server is None or self._listening is None:
            return
        self._server.close()
        for connection in list(self._listening.connections):
            connection.leave()
        try:
            async with asyncio.timeout(grace):
                await self._listening.vacant.wait()
        except TimeoutError:
            await self._cut(self._listening)
        if self._listening.tasks:
            await asyncio.wait(self._listening.tasks, timeout=_LAST_WORDS)
        await self._server.wait_closed()
        self._server = None

    async def _cut(self, listening: Listening) -> None:
        calls = list(listening.tasks)
        if calls:
            log.warning("%d gRPC calls were not answered within the grace", len(calls))
            for connection in list(listening.connections):
                connection.cut()
            await asyncio.wait(calls, timeout=_LAST_WORDS)
        for connection in list(listening.connections):
            connection.abort()
        await listening.vacant.wait()

    def _refused(self, error: TidegateError) -> None:
        self._plane.answered(None, "grpc", error, 0.0)
