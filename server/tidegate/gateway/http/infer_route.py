"""Inference over HTTP, as plain ASGI: a Request and a Response object per call would cost more than all of this."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter

from starlette.types import Message, Receive, Scope, Send

from tidegate.gateway.addressee import Asked
from tidegate.gateway.budget import Budget
from tidegate.gateway.dataplane import DataPlane, translated, wished_timeout
from tidegate.gateway.http.direct_reply import BUFFERED, REPLY_AT_ONCE
from tidegate.gateway.http.protocol import REFUSAL
from tidegate.gateway.http.replies import Reply, error_reply
from tidegate.gateway.http.request_body import OFF_LOOP, RequestBody
from tidegate.gateway.http.request_head import RequestHead, body_head, read_head
from tidegate.gateway.http.request_scope import asked_of
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.http.targets import InferTarget
from tidegate.gateway.routes import Route
from tidegate.identity.quota import Bucket
from tidegate.protocol import rest, v1
from tidegate.protocol.compression import choose_encoding, deflate
from tidegate.protocol.errors import ModelNotReady, RequestCancelled, TidegateError, Unsupported
from tidegate.protocol.messages import InferRequest, InferResponse

LINGERED = 1 << 20
"""Bytes of a refused body that are still read, so that the refusal is not lost in a reset."""


class InferRoute:
    """The infer paths of v2 and v1."""

    def __init__(self, plane: DataPlane, settings: HttpSettings, budget: Budget) -> None:
        self._plane = plane
        self._settings = settings
        self._budget = budget

    async def answer(self, target: InferTarget, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the one answer of a request, and count it once."""
        started = asyncio.get_running_loop().time()
        begun = perf_counter()  # uvloop's own time moves in whole milliseconds
        route: Route | None = None
        error: TidegateError | None = None
        body: RequestBody | None = None
        bucket: Bucket | None = None
        try:
            asked = asked_of(self._plane, scope)
            route = self._plane.resolve(target.model, target.version, asked)
            if asked.identity is not None:
                bucket = self._plane.begin(asked)
            if target.explain:
                raise Unsupported(f"model '{route.name}' gives no explanations; it answers ':predict'")
            head = read_head(scope["headers"], self._plane.tenants)
            body = RequestBody(head, scope, receive)
            request = await self._decode(target, route, head, body, started)
            # Again: the table may have been replaced while the body arrived, and the backend be gone.
            route = None
            route = self._plane.resolve(target.model, target.version, asked)
            try:
                reply = await self._infer(target, route, request, asked, head, started)
            except ModelNotReady as unready:  # its last replica ended while the request waited
                route = self._plane.instead(route, target.version, asked, unready)
                reply = await self._infer(target, route, request, asked, head, started)
        except (Exception, asyncio.CancelledError) as caught:  # whatever it is becomes the answer
            error = refusal(scope, caught)
            reply = error_reply(error)
        self._plane.answered(route, "http", error, perf_counter() - begun)
        if bucket is not None:
            self._plane.end(bucket)
        if body is not None:
            self._budget.give(body.held)
        if error is None:
            if not scope["state"][REPLY_AT_ONCE](reply):
                with self._budget.holding(len(reply.body)):
                    await respond(reply, send)
        elif not isinstance(error, RequestCancelled):
            body = body or RequestBody(body_head(scope["headers"]), scope, receive)
            await refuse(reply, body, scope, send, self._settings.linger)

    async def _infer(
        self, target: InferTarget, route: Route, request: InferRequest, asked: Asked, head: RequestHead, started: float
    ) -> Reply:
        deadline = self._plane.deadline(started, head.timeout, wished_timeout(request))
        answer = await self._plane.infer(route, request, deadline, self._plane.caller(request, head.tenant, asked))
        try:
            # Joined before the release: the parts are views of memory that the replica will write to again.
            reply = self._encode(target, answer.response, request)
        finally:
            answer.release()
        if not head.accept_encoding or len(reply.body) < self._settings.min_compress_bytes:
            return reply
        return await self._compressed(reply, head.accept_encoding)

    async def _decode(
        self, target: InferTarget, route: Route, head: RequestHead, body: RequestBody, started: float
    ) -> InferRequest:
        limits = self._plane.settings.limits
        data = await body.read_inflated(limits, self._budget)
        metadata = route.backend.metadata
        if metadata is None and (target.v1 or head.json_length == 0):  # nothing in them tells the tensors' names
            deadline = self._plane.deadline(started, head.timeout)
            metadata = await self._plane.signature(route, deadline, len(data))
        if target.v1 and metadata is not None:
            return v1.decode_request(
                data, model=route.name, version=route.model_version, metadata=metadata, limits=limits
            )
        return rest.decode_request(
            data, head.json_length, model=route.name, version=route.model_version, limits=limits, metadata=metadata
        )

    def _encode(self, target: InferTarget, response: InferResponse, request: InferRequest) -> Reply:
        if target.v1:
            return Reply(200, JSON_HEADERS, v1.encode_response(response, self._settings.nan))
        encoded = rest.encode_response(response, request, self._settings.nan)
        if encoded.json_length is None:
            return Reply(200, JSON_HEADERS, encoded.join())
        length = (b"inference-header-content-length", b"%d" % encoded.json_length)
        return Reply(200, (*BINARY_HEADERS, length), encoded.join())

    async def _compressed(self, reply: Reply, accepted: str) -> Reply:
        encoding = choose_encoding(accepted)
        if encoding is None:
            return reply
        if len(reply.body) < OFF_LOOP:
            body = deflate(reply.body, encoding)
        else:
            body = await asyncio.to_thread(deflate, reply.body, encoding)
        more = ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
        return Reply(reply.status, (*reply.headers, *more), body)


JSON_HEADERS = ((b"content-type", b"application/json"),)
BINARY_HEADERS = ((b"content-type", b"application/octet-stream"),)


def refusal(scope: Scope, caught: BaseException) -> TidegateError:
    """The error that a request ends with: the connection's own, if that is why it was cancelled.

    A cancellation that nobody asked for is a fault of ours, and answered as such.
    """
    if isinstance(caught, asyncio.CancelledError):
        error: TidegateError | None = scope["state"].get(REFUSAL)
        return error or translated(RuntimeError("a request was cancelled from within"))
    return translated(caught)


async def respond(reply: Reply, send: Send, *, close: bool = False, more_body: bool = False) -> None:
    """Send a complete reply; with ``more_body`` the exchange stays open after it.

    A big one has been taken when this returns, but for what the transport buffers.
    """
    head: Message = {"type": "http.response.start", "status": reply.status, "headers": reply.all_headers(close)}
    await send(head)
    big = len(reply.body) > BUFFERED
    await send({"type": "http.response.body", "body": reply.body, "more_body": more_body or big})
    if big and not more_body:  # uvicorn waits for the client before it sends, and not after
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def refuse(reply: Reply, body: RequestBody, scope: Scope, send: Send, linger: float) -> None:
    """Send an error. The connection is kept if nothing of the request's body is left on it.

    Otherwise it is closed, after reading on for ``linger`` seconds: see HttpSettings.linger.
    """
    if REFUSAL not in scope["state"]:  # else it is the connection that has given up on the rest
        with suppress(asyncio.CancelledError):  # the rest came too late, or the caller left; the answer stands
            await body.drain()
    if body.arrived:
        if not scope["state"][REPLY_AT_ONCE](reply):
            await respond(reply, send)
        return
    await respond(reply, send, close=True, more_body=True)
    with suppress(TimeoutError, asyncio.CancelledError):  # either way it is time to close
        async with asyncio.timeout(linger):
            await body.discard(LINGERED)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
