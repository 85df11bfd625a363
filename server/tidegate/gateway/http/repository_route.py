"""The model repository over HTTP: the only paths of the data port, beside inference, that take a body."""

from __future__ import annotations

import asyncio
from time import perf_counter

from starlette.types import Receive, Scope, Send

from tidegate.gateway.budget import Budget
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.http.infer_route import refusal, refuse, respond
from tidegate.gateway.http.replies import Reply, error_reply, json_reply
from tidegate.gateway.http.request_body import RequestBody
from tidegate.gateway.http.request_head import HeaderList, body_head
from tidegate.gateway.http.request_scope import asked_of
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.http.targets import RepositoryTarget
from tidegate.protocol.errors import Forbidden, RequestCancelled
from tidegate.protocol.repository import (
    ModelState,
    check_parameters,
    decode_change_request,
    decode_index_request,
    encode_changed,
    encode_index,
)
from tidegate.protocol.tensors import Buffer

MAX_BODY = 1 << 20
"""Bytes of a body; those that are honoured have less than a hundred."""


class RepositoryRoute:
    """Index, load and unload."""

    def __init__(self, plane: DataPlane, settings: HttpSettings, budget: Budget) -> None:
        self._plane = plane
        self._linger = settings.linger
        self._budget = budget

    async def answer(self, target: RepositoryTarget, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the one answer of a request, and count it if it is an error."""
        begun = perf_counter()
        body = RequestBody(body_head(scope["headers"]), scope, receive)
        try:
            data = await body.read(MAX_BODY, self._budget)
            reply = await self._reply(target, scope, data)
        except (Exception, asyncio.CancelledError) as caught:  # whatever it is becomes the answer
            error = refusal(scope, caught)
            self._plane.answered(None, "http", error, perf_counter() - begun)
            if not isinstance(error, RequestCancelled):
                await refuse(error_reply(error), body, scope, send, self._linger)
        else:
            await respond(reply, send)
        finally:
            self._budget.give(body.held)

    async def _reply(self, target: RepositoryTarget, scope: Scope, data: Buffer) -> Reply:
        asked = asked_of(self._plane, scope)
        if target.verb == "index":
            only_ready = decode_index_request(data)
            entries = await self._plane.index(asked)
            return json_reply(encode_index([e for e in entries if not only_ready or e.state == ModelState.READY]))
        control = self._plane.control(target.model, asked)
        check_origin(scope["headers"])
        check_parameters(decode_change_request(data))
        await (control.load if target.verb == "load" else control.unload)(target.model)
        return json_reply(encode_changed(target.model, target.verb))


def check_origin(headers: HeaderList) -> None:
    """A web page that is open in the browser of this machine reaches a loopback address, too, and may not do this.

    Raises:
        Forbidden: the request comes from one: browsers name it in the header ``Origin``, and only they do.
    """
    if any(name == b"origin" for name, _ in headers):
        raise Forbidden("models are not loaded and unloaded by web pages: the request has the header 'Origin'")
