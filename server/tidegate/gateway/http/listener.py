"""A listening HTTP socket in the running event loop: started, told its port, stopped with grace.

Of uvicorn this takes the protocol, not its ``Server``: that one takes the process' signals, wakes ten times a
second, and exits the process when it cannot bind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from ssl import SSLContext

from starlette.types import ASGIApp

from tidegate.gateway.address import bind
from tidegate.gateway.http.protocol import BoundedHttpProtocol, ListenerState, application, configured
from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.limits import Limits

log = logging.getLogger(__name__)

LAST_WORDS = 1.0
"""Seconds that a request which outlived the grace gets to send its 503."""


class HttpListener:
    """Serves one ASGI application, encrypted if it is given a context for that.

    ``on_refusal`` hears of errors that no request could be made of.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: HttpSettings,
        limits: Limits,
        on_refusal: Callable[[TidegateError], None],
        tls: SSLContext | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._tls = tls
        self._state = ListenerState(settings, limits, on_refusal)
        self._server: asyncio.Server | None = None
        self._port = 0

    def __repr__(self) -> str:
        where = f"{self._settings.host}:{self._port}" if self._server else "not listening"
        connections, requests = len(self._state.connections), len(self._state.tasks)
        return f"<{type(self).__name__} {where}, {connections} connections, {requests} requests>"

    @property
    def port(self) -> int:
        """The port really listened on; 0 before ``start``."""
        return self._port

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            CannotListen: the address is taken, unknown, or not allowed to this process.
        """
        config = configured(self._app, self._settings)
        bound = await bind(self._settings.host, self._settings.port)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            application(config, self._state),
            sock=bound,
            backlog=self._settings.backlog,
            ssl=self._tls,
            ssl_handshake_timeout=self._settings.header_timeout if self._tls else None,
        )
        self._port = bound.getsockname()[1]

    async def stop(self, grace: float) -> None:
        """Stop listening at once, let requests finish within ``grace`` seconds, answer the others 503 and close."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections():
            connection.shutdown()
        try:
            async with asyncio.timeout(grace):
                await self._state.vacant.wait()
        except TimeoutError:
            await self._cut()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=LAST_WORDS)
        await self._server.wait_closed()
        self._server = None

    async def _cut(self) -> None:
        requests = list(self._state.tasks)
        if requests:
            log.warning("%d requests outlived the grace of the shutdown", len(requests))
            for connection in self._connections():
                connection.cut()
            await asyncio.wait(requests, timeout=LAST_WORDS)
        for connection in self._connections():
            connection.transport.abort()
        await self._state.vacant.wait()

    def _connections(self) -> list[BoundedHttpProtocol]:
        return [c for c in self._state.connections if isinstance(c, BoundedHttpProtocol)]
