"""The story of one call: read what it asks, take its messages, let the method answer, send that or the error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from tidegate.gateway.access import Access
from tidegate.gateway.dataplane import translated
from tidegate.gateway.grpc.calls import Methods, Streaming, Unary
from tidegate.gateway.grpc.head import Head, read_head
from tidegate.gateway.grpc.inbox import Message
from tidegate.gateway.grpc.stream import Stream
from tidegate.identity.credentials import read_credentials
from tidegate.protocol.compression import inflate
from tidegate.protocol.errors import (
    DeadlineExceeded,
    InvalidRequest,
    RequestTimeout,
    TidegateError,
    Unsupported,
    shown,
)
from tidegate.protocol.limits import Limits
from tidegate.protocol.tensors import Buffer

_SMALL = 64 * 1024
"""Bytes of a message to a method that streams. Such a call may last for ever, and what it holds with it."""
_OFF_LOOP = 32 * 1024
"""Compressed bytes from which inflating goes to a thread: it can be a thousand times as many afterwards."""


class GrpcHandler:
    """Serves streams from a table of methods. ``on_refusal`` hears of unary calls' errors that no method counts.

    ``access`` is None where callers are not asked who they are.
    """

    def __init__(
        self,
        methods: Methods,
        limits: Limits,
        message_timeout: float,
        on_refusal: Callable[[TidegateError], None],
        access: Access | None = None,
    ) -> None:
        self._methods = methods
        self._limits = limits
        self._message_timeout = message_timeout
        self._on_refusal = on_refusal
        self._access = access

    async def serve(self, stream: Stream) -> None:
        """Give a call its one answer, unless the caller has gone."""
        try:
            await self._serve(stream)
        except asyncio.CancelledError:
            if stream.call.refusal is None:
                raise
            stream.fail(stream.call.refusal)
        except Exception as caught:  # whatever it is becomes the answer
            stream.fail(translated(caught))

    async def _serve(self, stream: Stream) -> None:
        counted = False
        try:
            head, method = self._find(stream)
            if self._access is not None and not method.open:
                credentials = read_credentials(stream.headers, stream.call.certificate)
                stream.call.identity = await self._access.identify(credentials)
            if isinstance(method, Unary):
                message = await self._one_message(stream, head)
                counted = method.counts
                answer = await method.respond(message, stream.call)
                counted = True
                await stream.send(answer)
            else:
                counted = True  # as a rule these end with an error: their deadline, or the end of the server
                await self._converse(stream, head, method)
        except TidegateError as error:
            if not counted:
                self._on_refusal(error)
            raise
        stream.succeed()

    def _find(self, stream: Stream) -> tuple[Head, Unary | Streaming]:
        head = read_head(stream.headers, self._limits)
        method = self._methods.get(head.path)
        if method is None:
            raise Unsupported(f"there is no method '{shown(head.path.decode('latin-1'), 128)}'")
        stream.call.timeout = head.timeout
        stream.call.metadata = stream.headers
        if isinstance(method, Streaming):
            stream.streaming = True
            stream.ends = method.ends
            if not method.large:
                stream.inbox.narrow(_SMALL)
        return head, method

    async def _one_message(self, stream: Stream, head: Head) -> Buffer:
        wish = head.timeout
        seconds = self._message_timeout if wish is None else min(wish, self._message_timeout)
        try:
            async with asyncio.timeout_at(stream.call.started + seconds):
                message = await stream.inbox.only()
        except TimeoutError as error:
            if seconds == wish:
                raise DeadlineExceeded("the call's deadline passed before its message had arrived") from error
            raise RequestTimeout(f"the call's message did not arrive within {seconds:g} s") from error
        return await self._inflated(stream, message, head)

    async def _converse(self, stream: Stream, head: Head, method: Streaming) -> None:
        deadline = None if head.timeout is None else stream.call.started + head.timeout
        try:
            async with (
                asyncio.timeout_at(deadline),
                aclosing(self._messages(stream, head)) as messages,
                aclosing(method.converse(messages, stream.call)) as replies,
            ):
                async for reply in replies:
                    await stream.send(reply)
        except TimeoutError as error:
            raise DeadlineExceeded("the call was not over before its deadline") from error

    async def _messages(self, stream: Stream, head: Head) -> AsyncGenerator[Buffer, None]:
        while (message := await stream.inbox.next()) is not None:
            yield await self._inflated(stream, message, head)

    async def _inflated(self, stream: Stream, message: Message, head: Head) -> Buffer:
        if not message.compressed:
            return message.data
        if head.encoding == "identity":
            raise InvalidRequest("a message is marked as compressed, but the header 'grpc-encoding' is missing")
        limit = _SMALL if stream.inbox.narrowed else self._limits.max_inflated_bytes
        if len(message.data) < _OFF_LOOP:
            data = inflate(message.data, head.encoding, limit=limit)
        else:
            data = await asyncio.to_thread(inflate, message.data, head.encoding, limit=limit)
        stream.inbox.hold(len(data))
        return data
