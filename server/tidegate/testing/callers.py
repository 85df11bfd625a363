"""Callers of a real server for a test that has many of them in one event loop, over HTTP and gRPC alike. ::

    async with callers(server, 200) as crowd:
        answers = await asyncio.gather(*(caller.ask(request) for caller in crowd))

A task that is cancelled while it asks is a caller that goes away: over HTTP its connection ends, over gRPC its call is
reset. It may ask again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError

from tidegate.client.answers import from_grpc, from_http
from tidegate.client.grpc_calls import SERVICE
from tidegate.client.grpc_transport import Bytes
from tidegate.client.http_calls import JSON_LENGTH
from tidegate.protocol import documents, grpc, rest
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.protocol.messages import InferRequest, InferResponse
from tidegate.testing.process import Serving

CALLS_PER_CHANNEL = 25
"""gRPC callers that share a connection."""


class Caller(Protocol):
    async def ask(self, request: InferRequest) -> InferResponse:
        """The server's answer.

        Raises:
            TidegateError: the one that the server answered with.
        """
        ...

    def close(self) -> None:
        """Let go of what is the caller's own."""
        ...


class HttpCaller:
    """A connection of its own, made when it is needed; tensors as binary data, or all of it as JSON."""

    def __init__(self, address: str, *, binary: bool = True) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._binary = binary
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: InferRequest) -> InferResponse:
        message = self._message(request)
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(message)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            self.close()
            raise
        status = int(first.split(" ")[1])
        if status != 200:
            raise from_http(status, documents.decode_error(body))
        length = headers.get(JSON_LENGTH)
        return rest.decode_response(body, None if length is None else int(length), limits=DEFAULT_LIMITS)

    def close(self) -> None:
        """Go away, whatever is outstanding."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    def _message(self, request: InferRequest) -> bytes:
        if self._binary:
            wishes = {"binary_data_output": True, **request.parameters}
            request = msgspec.structs.replace(request, parameters=wishes)
        body = rest.encode_request(request, binary_inputs=self._binary)
        content = body.join()
        lines = [
            f"POST /v2/models/{request.model_name}/infer HTTP/1.1",
            "host: x",
            f"content-type: {body.content_type}",
            f"content-length: {len(content)}",
        ]
        if body.json_length is not None:
            lines.append(f"{JSON_LENGTH}: {body.json_length}")
        return "\r\n".join([*lines, "", ""]).encode() + content


class GrpcCaller:
    """Calls over a channel, which it may share with others; tensors as raw contents."""

    def __init__(self, channel: Channel) -> None:
        self._call = UnaryUnaryMethod(channel, f"{SERVICE}ModelInfer", bytes, bytes)

    async def ask(self, request: InferRequest) -> InferResponse:
        try:
            answer: bytes = await self._call(grpc.encode_infer_request(request, raw=True))
        except GRPCError as error:
            raise from_grpc(error.status.value, error.message or "") from error
        return grpc.decode_infer_response(answer, DEFAULT_LIMITS)

    def close(self) -> None:
        """Nothing: the channel is not the caller's own."""


@asynccontextmanager
async def callers(server: Serving, count: int) -> AsyncIterator[Sequence[Caller]]:
    """So many callers: by turns over HTTP with binary data, over gRPC, over HTTP as JSON, and over gRPC again."""
    host, _, port = server.grpc.rpartition(":")
    channels = [Channel(host, int(port), codec=Bytes()) for _ in range(math.ceil(count / 2 / CALLS_PER_CHANNEL))]
    crowd: list[Caller] = [
        GrpcCaller(channels[place // 2 % len(channels)])
        if place % 2
        else HttpCaller(server.http, binary=place % 4 == 0)
        for place in range(count)
    ]
    try:
        yield crowd
    finally:
        for channel in channels:
            channel.close()
        for caller in crowd:
            caller.close()
        await asyncio.sleep(0)  # closing a transport takes effect in the next turn of the loop
