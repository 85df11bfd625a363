"""Triton's generate extension over HTTP: one answer as JSON, or all of them as server-sent events.

An event is sent when its response is there, and the next response is asked for when the transport has taken it: a
reader that is slow is waited for all the way back to the model, and one that leaves ends the model's work.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from time import perf_counter

from starlette.types import Receive, Scope, Send

from tidegate.gateway.backend import Caller
from tidegate.gateway.budget import Budget
from tidegate.gateway.dataplane import DataPlane, wished_timeout
from tidegate.gateway.http.infer_route import JSON_HEADERS, refusal, refuse, respond
from tidegate.gateway.http.replies import Reply, error_reply
from tidegate.gateway.http.request_body import RequestBody
from tidegate.gateway.http.request_head import body_head, read_head
from tidegate.gateway.http.request_scope import asked_of
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.http.targets import GenerateTarget
from tidegate.gateway.routes import Route
from tidegate.identity.quota import Bucket
from tidegate.protocol import generate
from tidegate.protocol.errors import RequestCancelled, TidegateError
from tidegate.protocol.messages import InferRequest

EVENT_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Events:
    """A response of server-sent events. Its head goes with the first: until then it may still be an error."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def say(self, document: bytes) -> None:
        """Send one JSON document as an event, once the transport has room for it."""
        await self._begin()
        await self._send({"type": "http.response.body", "body": b"data: %b\n\n" % document, "more_body": True})

    async def end(self) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": EVENT_HEADERS})


class GenerateRoute:
    """The paths ``generate`` and ``generate_stream``."""

    def __init__(self, plane: DataPlane, settings: HttpSettings, budget: Budget) -> None:
        self._plane = plane
        self._settings = settings
        self._budget = budget

    async def answer(self, target: GenerateTarget, scope: Scope, receive: Receive, send: Send) -> None:
        """Give a request its answer or its events, and count it once."""
        started = asyncio.get_running_loop().time()
        begun = perf_counter()
        route: Route | None = None
        error: TidegateError | None = None
        reply: Reply | None = None
        bucket: Bucket | None = None
        events = Events(send)
        body = RequestBody(body_head(scope["headers"]), scope, receive)
        try:
            asked = asked_of(self._plane, scope)
            route = self._plane.resolve(target.model, target.version, asked)
            bucket = self._plane.begin(asked)
            head = read_head(scope["headers"], self._plane.tenants)
            body = RequestBody(head, scope, receive)
            request = await self._decode(route, body, self._plane.deadline(started, head.timeout))
            # Again: the table may have been replaced while the body arrived.
            route = None
            route = self._plane.resolve(target.model, target.version, asked)
            deadline = self._plane.deadline(started, head.timeout, wished_timeout(request))
            caller = self._plane.caller(request, head.tenant, asked)
            if target.stream:
                await self._stream(route, request, deadline, caller, events)
            else:
                reply = await self._one(route, request, deadline, caller)
        except (Exception, asyncio.CancelledError) as caught:  # whatever it is becomes the answer
            error = refusal(scope, caught)
        self._plane.answered(route, "http", error, perf_counter() - begun)
        self._plane.end(bucket)
        self._budget.give(body.held)
        if error is None:
            await self._succeed(reply, events, send)
        elif not isinstance(error, RequestCancelled):
            await self._fail(error, events, body, scope, send)

    async def _decode(self, route: Route, body: RequestBody, deadline: float) -> InferRequest:
        limits = self._plane.settings.limits
        data = await body.read_inflated(limits, self._budget)
        metadata = await self._plane.signature(route, deadline, len(data))
        return generate.decode_request(
            data, model=route.name, version=route.model_version, metadata=metadata, limits=limits
        )

    async def _one(self, route: Route, request: InferRequest, deadline: float, caller: Caller) -> Reply:
        answer = await self._plane.infer(route, request, deadline, caller)
        try:
            return Reply(200, JSON_HEADERS, generate.encode_response(answer.response, self._settings.nan))
        finally:
            answer.release()

    async def _stream(
        self, route: Route, request: InferRequest, deadline: float, caller: Caller, events: Events
    ) -> None:
        async with aclosing(self._plane.stream(route, request, deadline, caller)) as answers:
            async for answer in answers:
                try:
                    document = generate.encode_response(answer.response, self._settings.nan)
                finally:
                    answer.release()
                with self._budget.holding(len(document)):
                    await events.say(document)

    async def _succeed(self, reply: Reply | None, events: Events, send: Send) -> None:
        if reply is None:
            await events.end()
            return
        with self._budget.holding(len(reply.body)):
            await respond(reply, send)

    async def _fail(self, error: TidegateError, events: Events, body: RequestBody, scope: Scope, send: Send) -> None:
        if events.begun:  # its status has gone out, so that the error can only be an event
            await events.say(generate.encode_failure(error))
            await events.end()
        else:
            await refuse(error_reply(error), body, scope, send, self._settings.linger)
