"""The data plane's HTTP listener: v2 with its binary tensor extension, and v1."""

from __future__ import annotations

from tidegate.gateway.asgi import DataApplication
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.http_settings import HttpSettings
from tidegate.gateway.listener import CannotListen, HttpListener
from tidegate.protocol.errors import TidegateError

__all__ = ["CannotListen", "HttpServer", "HttpSettings"]


class HttpServer:
    """Serves a data plane over HTTP/1.1.

    Stopping it does not drain the data plane: whoever owns both lets the plane leave first, so that load balancers
    notice before the socket goes.
    """

    def __init__(self, plane: DataPlane, settings: HttpSettings) -> None:
        def refused(error: TidegateError) -> None:
            plane.answered(None, "http", error, 0.0)

        self._listener = HttpListener(
            DataApplication(plane, settings), settings, plane.settings.limits, on_refusal=refused
        )

    def __repr__(self) -> str:
        return repr(self._listener).replace("HttpListener", "HttpServer")

    @property
    def port(self) -> int:
        """The port really listened on; 0 before ``start``."""
        return self._listener.port

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            CannotListen: the address is taken, unknown, or not allowed to this process.
        """
        await self._listener.start()

    async def stop(self, grace: float) -> None:
        """Stop listening at once, let requests finish within ``grace`` seconds, answer the others 503 and close."""
        await self._listener.stop(grace)
