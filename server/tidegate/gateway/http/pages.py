"""The cold paths of the data plane (health, metadata, lists, statistics), on Starlette.

v2's text prints ``{"live": …}`` for readiness; KServe's client reads ``ready`` from the body, Triton's reads none,
so every health answer has a JSON body that says what it is about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from tidegate.gateway.dataplane import DataPlane, translated
from tidegate.gateway.http.replies import Reply, error_reply, json_reply
from tidegate.gateway.http.request_scope import asked_of
from tidegate.gateway.routes import Route
from tidegate.identity.scope import Verb
from tidegate.protocol.configuration import encode_configuration
from tidegate.protocol.documents import encode_model_metadata, encode_server_metadata, encode_statistics
from tidegate.protocol.errors import MethodNotAllowed, NotFound, TidegateError, shown

Page = Callable[[Request], Awaitable[Response]]
Count = Callable[[int], None]
"""What hears of each refusal, by its HTTP status."""


class DataPages:
    """The pages of one data plane; each is a function of the plane's state at the moment."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def application(self) -> Starlette:
        model = "/v2/models/{model}"
        version = f"{model}/versions/{{version}}"
        return pages(
            partial(self._plane.metrics.refused, "http"),
            ("/", self.root),
            ("/v2", self.server),
            ("/v2/health/live", self.live),
            ("/v2/health/ready", self.ready),
            ("/v2/models", self.models),
            ("/v2/models/stats", self.statistics),  # before the model that may have this name
            (model, self.model),
            (version, self.model),
            (f"{model}/ready", self.model_ready),
            (f"{version}/ready", self.model_ready),
            (f"{model}/config", self.configuration),
            (f"{version}/config", self.configuration),
            (f"{model}/stats", self.statistics),
            (f"{version}/stats", self.statistics),
            ("/v1/models", self.models),
            ("/v1/models/{model}", self.model_ready),
        )

    async def root(self, request: Request) -> Response:
        return page({"status": "alive"})

    async def live(self, request: Request) -> Response:
        return page({"live": True})

    async def ready(self, request: Request) -> Response:
        waiting = not_ready(self._plane)
        if waiting is None:
            return page({"ready": True})
        # Who may ask without saying who he is learns no names.
        told = {"ready": False} if self._plane.access is not None else {"ready": False, "reason": waiting}
        return page(told, 503)

    async def server(self, request: Request) -> Response:
        return sent(json_reply(encode_server_metadata(self._plane.server_metadata())))

    async def models(self, request: Request) -> Response:
        return page({"models": self._plane.names(asked_of(self._plane, request.scope))})

    async def model(self, request: Request) -> Response:
        route = self._route(request)
        return sent(json_reply(encode_model_metadata(await self._plane.model_metadata(route))))

    async def configuration(self, request: Request) -> Response:
        route = self._route(request)
        return sent(json_reply(encode_configuration(await self._plane.configuration(route))))

    async def statistics(self, request: Request) -> Response:
        asked = asked_of(self._plane, request.scope)
        return sent(json_reply(encode_statistics(self._plane.statistics(asked=asked, **request.path_params))))

    async def model_ready(self, request: Request) -> Response:
        route = self._route(request)
        state = route.backend.readiness
        if state.ready:
            return page({"name": route.name, "ready": True})
        return page({"name": route.name, "ready": False, "reason": state.reason}, 503)

    def _route(self, request: Request) -> Route:
        """The route of a page that is about one model."""
        named = request.path_params
        asked = asked_of(self._plane, request.scope)
        return self._plane.resolve(named["model"], named.get("version", ""), asked, Verb.METADATA)


def not_ready(plane: DataPlane) -> str | None:
    """Why the server as a whole is not ready, None if it is."""
    if plane.ready:
        return None
    if plane.leaving:
        return "the server is shutting down"
    for versions in plane.routes.models.values():
        for route in versions.values():
            if route.backend.readiness.holds_up:
                return f"model '{route.model}' version {route.version}: {route.backend.readiness.reason}"
    return None


def pages(count: Count, *paths: tuple[str, Page]) -> Starlette:
    """An application of read-only pages whose errors have v2's form and are counted, and which never redirects."""

    async def failed(request: Request, error: Exception) -> Response:
        reply = refusal_of(request, error)
        count(reply.status)
        return sent(reply)

    app = Starlette(
        routes=[Path(path, endpoint, methods=["GET"]) for path, endpoint in paths],
        exception_handlers={HTTPException: failed, TidegateError: failed, Exception: failed},
    )
    app.router.redirect_slashes = False
    return app


def page(document: object, status: int = 200) -> Response:
    """A JSON document as a response."""
    return sent(json_reply(msgspec.json.encode(document), status))


def sent(reply: Reply) -> Response:
    """A reply in Starlette's form, with exactly our headers."""
    response = Response(reply.body, reply.status)
    response.raw_headers = reply.all_headers(close=False)
    return response


def refusal_of(request: Request, error: Exception) -> Reply:
    """The answer to what a page raised, or Starlette: it raises nothing of its own but 404 and 405."""
    if not isinstance(error, HTTPException):
        return error_reply(translated(error))
    path = shown(request.scope["path"])
    if error.status_code == 405:
        return method_not_allowed(request.method, path, *(error.headers or {})["Allow"].split(", "))
    return error_reply(NotFound(f"there is no '{path}' here"))


def method_not_allowed(method: str, path: str, *allowed: str) -> Reply:
    """The 405 with its Allow header."""
    allow = ", ".join(sorted(allowed))
    error = MethodNotAllowed(f"method {shown(method)} is not allowed for '{path}'; allowed: {allow}")
    return error_reply(error, (b"allow", allow.encode()))
