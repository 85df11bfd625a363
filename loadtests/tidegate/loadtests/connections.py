"""One connection each, on which a prepared request is sent and its answer's status awaited; bodies are not looked at.

A broken connection is opened anew by the next request.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import httptools
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tidegate.client.grpc_calls import SERVICE
from tidegate.client.grpc_transport import Bytes


class Connection(Protocol):
    async def ask(self) -> str:
        """Send the request and return the answer's status: "200", or gRPC's "OK".

        Raises:
            OSError: no answer came, and why.
        """

    def close(self) -> None: ...


class HttpConnection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive. ``message`` is a whole request, head and body."""

    def __init__(self, host: str, port: int, message: bytes) -> None:
        self._address = (host, port)
        self._message = message
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[str] | None = None
        self._parser = httptools.HttpResponseParser(self)

    async def ask(self) -> str:
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._parser = httptools.HttpResponseParser(self)
            self._transport, _ = await loop.create_connection(lambda: self, *self._address)
        self._answer = loop.create_future()
        self._transport.write(self._message)
        try:
            return await self._answer
        except asyncio.CancelledError:
            # A late answer must not be taken for that of the next request.
            self.close()
            raise

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionAbortedError(f"the answer is not HTTP: {error}"))
            self.close()

    def on_message_complete(self) -> None:
        if self._transport is not None and not self._parser.should_keep_alive():
            self._transport.close()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(str(self._parser.get_status_code()))

    def _fail(self, error: OSError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)


class GrpcConnection:
    """One HTTP/2 connection that carries one call at a time. ``message`` is a serialized ModelInferRequest."""

    def __init__(self, host: str, port: int, message: bytes) -> None:
        self._channel = Channel(host, port, codec=Bytes())
        self._call = UnaryUnaryMethod(self._channel, SERVICE + "ModelInfer", bytes, bytes)
        self._message = message

    async def ask(self) -> str:
        try:
            await self._call(self._message)
        except GRPCError as error:
            return str(error.status.name)
        except StreamTerminatedError as error:
            raise ConnectionResetError(str(error)) from error
        return "OK"

    def close(self) -> None:
        self._channel.close()
