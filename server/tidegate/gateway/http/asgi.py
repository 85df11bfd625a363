"""The ASGI applications of the two HTTP listeners: how a request finds the code that answers it."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.gateway.access import Access
from tidegate.gateway.budget import Budget
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.http.generate_route import GenerateRoute
from tidegate.gateway.http.infer_route import InferRoute, refusal, refuse
from tidegate.gateway.http.pages import Count, DataPages, method_not_allowed
from tidegate.gateway.http.replies import CLOSE, error_reply
from tidegate.gateway.http.repository_route import RepositoryRoute
from tidegate.gateway.http.request_body import RequestBody
from tidegate.gateway.http.request_head import body_head
from tidegate.gateway.http.request_scope import IDENTITY, SERVICE, credentials_of
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.http.targets import (
    SERVING,
    GenerateTarget,
    InferTarget,
    decoded,
    infer_target,
    repository_target,
    service_path,
)
from tidegate.protocol.errors import RequestCancelled, shown

OPEN = frozenset((b"", b"/v2/health/live", b"/v2/health/ready"))
"""Paths that tell nothing but whether the server lives and is ready: whoever watches it needs no credentials."""


class DataApplication:
    """The data port: inference straight to its routes, what else takes a body to its own, the rest to the pages."""

    def __init__(self, plane: DataPlane, settings: HttpSettings) -> None:
        budget = Budget(settings.max_receiving_bytes)
        self._infer = InferRoute(plane, settings, budget)
        self._generate = GenerateRoute(plane, settings, budget)
        self._repository = RepositoryRoute(plane, settings, budget)
        self._count = partial(plane.metrics.refused, "http")
        self._pages = PageApplication(DataPages(plane).application(), settings, self._count)
        self._linger = settings.linger
        self._plane = plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"].startswith(SERVING):
            enter_service(scope)
        access = self._plane.access
        if access is not None and not await self._recognised(access, scope, receive, send):
            return
        target = infer_target(scope["raw_path"])
        wish = None if target else repository_target(scope["raw_path"])
        if target is None and wish is None:
            await self._pages(scope, receive, send)
        elif scope["method"] == "POST":
            try:  # not suppress(), which is three calls more for every request
                if isinstance(target, InferTarget):
                    await self._infer.answer(target, scope, receive, send)
                elif isinstance(target, GenerateTarget):
                    await self._generate.answer(target, scope, receive, send)
                elif wish is not None:
                    await self._repository.answer(wish, scope, receive, send)
            except asyncio.CancelledError:
                pass  # the caller left, or the server did, while the answer was sent
        else:
            reply = method_not_allowed(scope["method"], shown(scope["path"]), "POST")
            self._count(reply.status)
            await refuse(reply, RequestBody(body_head(scope["headers"]), scope, receive), scope, send, self._linger)

    async def _recognised(self, access: Access, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether it is known who asks, or of no interest; if neither, the request has been answered."""
        if scope["raw_path"].removesuffix(b"/") in OPEN:
            return True
        try:
            scope["state"][IDENTITY] = await access.identify(credentials_of(scope))
        except (Exception, asyncio.CancelledError) as caught:  # whatever it is becomes the answer
            error = refusal(scope, caught)
            self._count(error.http_status)
            if not isinstance(error, RequestCancelled):
                body = RequestBody(body_head(scope["headers"]), scope, receive)
                await refuse(error_reply(error), body, scope, send, self._linger)
            return False
        return True


def enter_service(scope: Scope) -> None:
    """Let a request whose path names a service go on as one for the path under it, which remembers the service."""
    found = service_path(scope["raw_path"])
    if found is not None:
        scope["state"][SERVICE], scope["raw_path"] = found
        scope["path"] = decoded(scope["raw_path"])


class PageApplication:
    """Read-only pages. A trailing slash does not matter, and a body, which none of them wants, is thrown away."""

    def __init__(self, pages: ASGIApp, settings: HttpSettings, count: Count) -> None:
        self._pages = pages
        self._count = count
        self._linger = settings.linger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path[:-1]
        body = RequestBody(body_head(scope["headers"]), scope, receive)
        try:
            await body.drain()
            await self._pages(scope, receive, send if body.arrived else closing(send))
        except asyncio.CancelledError as cancelled:
            error = refusal(scope, cancelled)
            self._count(error.http_status)
            await refuse(error_reply(error), body, scope, send, self._linger)
        except Exception:
            pass  # Starlette has answered and logged it, and raises it once more for a server that has not


def closing(send: Send) -> Send:
    """A send that ends the connection with the response, because a part of the request still lies on it."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], CLOSE]
        await send(message)

    return sender
