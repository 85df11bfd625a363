"""The data plane's HTTP listener: v2 with its binary tensor extension, and v1."""

from __future__ import annotations

from ssl import SSLContext

from tidegate.gateway.address import CannotListen
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.http.asgi import DataApplication
from tidegate.gateway.http.listener import HttpListener
from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.errors import TidegateError

__all__ = ["CannotListen", "HttpServer", "HttpSettings"]


class HttpServer(HttpListener):
    """Serves a data plane over HTTP/1.1, encrypted if it is given a context for that.

    Stopping it does not drain the data plane: whoever owns both lets the plane leave first, so that load balancers
    notice before the socket goes.
    """

    def __init__(self, plane: DataPlane, settings: HttpSettings, tls: SSLContext | None = None) -> None:
        def refused(error: TidegateError) -> None:
            plane.answered(None, "http", error, 0.0)

        app = DataApplication(plane, settings)
        super().__init__(app, settings, plane.settings.limits, on_refusal=refused, tls=tls)
