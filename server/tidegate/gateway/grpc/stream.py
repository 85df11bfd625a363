"""One call on a connection: its metadata, its incoming messages, and the way its answer goes out."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes

from tidegate.gateway.budget import Budget
from tidegate.gateway.grpc.calls import Call
from tidegate.gateway.grpc.head import Headers
from tidegate.gateway.grpc.inbox import Inbox
from tidegate.gateway.grpc.trailers import HEADERS, OK, Header, failure, head_of_failure
from tidegate.protocol.errors import RequestCancelled, ShuttingDown, TidegateError

if TYPE_CHECKING:
    from tidegate.gateway.grpc.transport import Connection

_PREFIX = struct.Struct(">BI")
_JOINED = 64 * 1024
"""Bytes of a message that is joined with its prefix to one frame; a bigger one is not copied for it."""
_TAKEN = 64 * 1024
"""Bytes that a client has to take within the time for it: less would let it hold an answer for as long as it likes."""


class Stream:
    """A call's two directions. ``gone`` says that the caller does not wait for an answer any more."""

    def __init__(self, connection: Connection, number: int, headers: Headers, budget: Budget) -> None:
        self.id = number
        self.headers = headers
        self.call = Call(asyncio.get_running_loop().time(), None)
        self.inbox = Inbox(connection.limits.max_body_bytes, budget, partial(connection.acknowledge, number))
        self.call.keep = self.inbox.keep
        self.call.certificate = connection.certificate
        self.task: asyncio.Task[None] | None = None
        self.streaming = False
        self.ends = False
        self.gone = False
        self._connection = connection
        self._budget = budget
        self._begun = False
        self._room: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = "gone" if self.gone else "answering" if self._begun else "asking"
        return f"<Stream {self.id} {state}>"

    async def send(self, message: bytes) -> None:
        """Send one message, as fast as the client takes it.

        Raises:
            RequestCancelled: it did not take it within the time for it, or is gone.
        """
        self._begin()
        prefix = _PREFIX.pack(0, len(message))
        with self._budget.holding(len(message)):
            if len(message) <= _JOINED:
                await self._send(memoryview(prefix + message))
            else:
                await self._send(memoryview(prefix))
                await self._send(memoryview(message))
        if self.streaming:
            self._connection.flush()

    def succeed(self) -> None:
        """End the call well."""
        self._begin()
        self._end(OK)

    def fail(self, error: TidegateError) -> None:
        """End the call with an error; whatever the client has not sent yet, it need not send."""
        if self.gone:
            return
        trailers = failure(error)
        self._end(trailers if self._begun else [*head_of_failure(error), *trailers])

    def cut(self) -> None:
        """End the call because the server ends."""
        if self.task is not None and not self.task.done():
            self.call.refusal = ShuttingDown()
            self.task.cancel()

    def leave(self) -> None:
        """The server takes no more calls: what streams would never end by itself."""
        if self.ends:
            self.inbox.refuse(ShuttingDown())
        elif self.streaming:
            self.cut()

    def wake(self) -> None:
        """There may be room to send again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._connection.send_headers(self.id, HEADERS, end=False)

    def _end(self, trailers: Sequence[Header]) -> None:
        self._connection.send_headers(self.id, trailers, end=True)
        self._connection.reset(self.id, ErrorCodes.NO_ERROR)

    async def _send(self, data: memoryview) -> None:
        sent = self._connection.send_some(self.id, data)
        while sent < len(data):
            part = data[sent : sent + _TAKEN]
            await self._send_slowly(part)
            sent += len(part)

    async def _send_slowly(self, part: memoryview) -> None:
        sent = self._connection.send_some(self.id, part)
        try:
            async with asyncio.timeout(self._connection.settings.write_timeout):
                while sent < len(part):
                    await self._wait()
                    sent += self._connection.send_some(self.id, part[sent:])
        except TimeoutError as error:
            self._connection.reset(self.id, ErrorCodes.CANCEL)
            self.gone = True
            raise RequestCancelled("the caller did not take its answer") from error

    async def _wait(self) -> None:
        self._connection.flush()
        self._room = asyncio.get_running_loop().create_future()
        self._connection.waiting.add(self)
        try:
            await self._room
        finally:
            self._room = None
            self._connection.waiting.discard(self)


Serve = Callable[[Stream], Coroutine[Any, Any, None]]
