"""gRPC messages out of a stream of bytes: each is a flag, a length of four bytes, and that many bytes.

A length over the limit is refused when it is read, before its message is held. What a caller sends ahead of what was
read stays unacknowledged, so that HTTP/2's flow control bounds it.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import msgspec

from tidegate.gateway.budget import Budget
from tidegate.protocol.errors import InvalidRequest, PayloadTooLarge, TidegateError

_PREFIX = struct.Struct(">BI")
_NOT_READ = -1


class Message(msgspec.Struct, frozen=True):
    compressed: bool
    data: bytearray


class Inbox:
    """One call's incoming messages. ``acknowledge`` is told how many bytes the caller may send beyond."""

    def __init__(self, limit: int, budget: Budget, acknowledge: Callable[[int], None]) -> None:
        self._limit = limit
        self._budget = budget
        self._acknowledge = acknowledge
        self._bytes = bytearray()
        self._length = _NOT_READ
        self._compressed = False
        self._ahead = 0
        self._held = 0
        self._current = 0
        self._ended = False
        self._closed = False
        self.narrowed = False
        self._error: TidegateError | None = None
        self._waiting: asyncio.Future[None] | None = None

    def feed(self, data: bytes, flow: int) -> None:
        """Take what arrived. ``flow`` is its size with padding, as flow control counts it."""
        if self._error is not None:  # nobody will read it, but the connection's other calls need the window
            self._acknowledge(flow)
            return
        self._ahead += flow
        try:
            self._budget.take(len(data))
            self._held += len(data)
            self._bytes += data
            self._read_prefix()
        except TidegateError as error:
            self._fail(error)
        self._wake()

    def end(self) -> None:
        """The caller has sent everything."""
        self._ended = True
        self._wake()

    def narrow(self, limit: int) -> None:
        """Lower the limit on a message, also for the one that is arriving."""
        self._limit = limit
        self.narrowed = True
        if self._length > limit:
            self._fail(self._too_large(self._length))

    def hold(self, size: int) -> None:
        """Hold ``size`` more bytes, which the message read last has become.

        Raises:
            Overloaded: there is no room for them.
        """
        self._budget.take(size)
        self._held += size
        self._current += size

    def keep(self) -> Callable[[], None]:
        """Hold the message read last until what is returned is called, also if the next one is read before."""
        size, self._current = self._current, 0

        def give() -> None:
            if not self._closed:
                self._give(size)

        return give

    def refuse(self, error: TidegateError) -> None:
        """Take no more messages: whoever asks for the next gets the error."""
        self._fail(error)
        self._wake()

    def close(self) -> None:
        """The call is over: nothing of it is held any more."""
        self._closed = True
        self._give(self._held)
        self._fail(InvalidRequest("the call is over"))

    async def only(self) -> Message:
        """The one message of a unary call, once the caller has ended its side.

        Raises:
            InvalidRequest: there is none, more than one, or a broken one.
            PayloadTooLarge: it is over the limit.
        """
        message = await self.next()
        if message is None:
            raise InvalidRequest("the call ended without a message")
        while not (self._ended or self._more or self._error):
            await self._wait()
        if self._more:
            raise InvalidRequest("the call has a second message, this method takes one")
        if self._error is not None:
            raise self._error
        return message

    async def next(self) -> Message | None:
        """The next message, None after the last. The one before is held no more.

        Raises:
            InvalidRequest: a broken message, or the caller ended in the middle of one.
            PayloadTooLarge: it is over the limit.
        """
        while not self._complete:
            if self._error is not None:
                raise self._error
            if self._ended:
                if self._more:
                    raise InvalidRequest(self._cut_short())
                return None
            await self._wait()
        return self._take()

    @property
    def _more(self) -> bool:
        return bool(self._bytes) or self._length != _NOT_READ

    @property
    def _complete(self) -> bool:
        return self._length != _NOT_READ and len(self._bytes) >= self._length

    def _take(self) -> Message:
        length, compressed = self._length, self._compressed
        self._give(self._current)
        self._current = _PREFIX.size + length
        if len(self._bytes) == length:
            data, self._bytes = self._bytes, bytearray()
        else:
            data = self._bytes[:length]
            del self._bytes[:length]
        self._length = _NOT_READ
        try:
            self._read_prefix()
        except TidegateError as error:
            self._fail(error)
        return Message(compressed, data)

    def _read_prefix(self) -> None:
        if self._length == _NOT_READ and len(self._bytes) >= _PREFIX.size:
            flag, length = _PREFIX.unpack_from(self._bytes)
            if flag > 1:
                raise InvalidRequest(f"a message's compressed flag is {flag}, expected 0 or 1")
            if length > self._limit:
                raise self._too_large(length)
            del self._bytes[: _PREFIX.size]
            self._length, self._compressed = length, bool(flag)
        if not self._complete:
            self._release()

    def _give(self, size: int) -> None:
        self._budget.give(size)
        self._held -= size

    def _release(self) -> None:
        ahead, self._ahead = self._ahead, 0
        if ahead:
            self._acknowledge(ahead)

    def _fail(self, error: TidegateError) -> None:
        if self._error is None:
            self._error = error
        self._bytes = bytearray()
        self._length = _NOT_READ
        self._release()

    def _too_large(self, length: int) -> PayloadTooLarge:
        return PayloadTooLarge(f"the message has {length} bytes, at most {self._limit} are allowed")

    def _cut_short(self) -> str:
        if self._length == _NOT_READ:
            return f"the call ended after {len(self._bytes)} of the {_PREFIX.size} bytes before a message"
        return f"the call ended after {len(self._bytes)} of the {self._length} bytes of a message"

    async def _wait(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
