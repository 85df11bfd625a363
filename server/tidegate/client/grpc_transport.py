"""Moves gRPC messages, over one connection of grpclib."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from math import inf

from grpclib.client import Channel, Stream
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from tidegate.client.address import Address
from tidegate.client.answers import ConnectionLost, ServerUnreachable
from tidegate.client.grpc_calls import SERVICE, GrpcAnswer, GrpcMessage
from tidegate.client.settings import ClientSettings
from tidegate.protocol.errors import InvalidRequest, InvalidResponse
from tidegate.protocol.grpc import decode_retry_delay

PUSHBACK = "grpc-retry-pushback-ms"


class Bytes(CodecBase):
    """Messages are bytes already: protocol/grpc has made them."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: type) -> bytes:
        return message

    def decode(self, data: bytes, message_type: type) -> bytes:
        return data


class RetryDelay(StatusDetailsCodecBase):
    """Of a status' details only the time that the caller is asked to stay away."""

    def encode(self, status: Status, message: str | None, details: object) -> bytes:
        raise NotImplementedError("a client sends no status")

    def decode(self, status: Status, message: str | None, data: bytes) -> float | None:
        return decode_retry_delay(data)


class GrpcTransport:
    """One server. The connection is made when it is needed, and again after it broke; calls share it."""

    def __init__(self, address: Address, settings: ClientSettings) -> None:
        self._address = address
        self._ssl = settings.tls() or address.secure
        self._channel: Channel | None = None

    async def exchange(self, message: GrpcMessage, remaining: float, grace: float) -> GrpcAnswer:
        stream = self._open(message, Cardinality.UNARY_UNARY, remaining + grace)
        try:
            async with stream:
                await stream.send_message(message.body, end=True)
                answer = await stream.recv_message()
        except Exception as error:
            return self._failure(stream, error)
        if answer is None:
            raise InvalidResponse("it has no message")
        return GrpcAnswer(Status.OK.value, body=answer)

    async def stream(self, message: GrpcMessage, remaining: float) -> AsyncGenerator[GrpcAnswer, None]:
        # Without a deadline of grpclib's own, which would interrupt whoever reads also while it does something else.
        stream = self._open(message, Cardinality.STREAM_STREAM, None)
        failure: GrpcAnswer | None = None
        try:
            async with stream:
                await stream.send_message(message.body, end=True)
                while (answer := await stream.recv_message()) is not None:
                    yield GrpcAnswer(Status.OK.value, body=answer)
        except Exception as error:
            failure = self._failure(stream, error)
        if failure is not None:
            yield failure

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        # Over TLS closing waits for the other side, and nobody waits here. grpclib does not show its transport.
        connection = getattr(getattr(channel, "_protocol", None), "connection", None)
        transport = getattr(connection, "_transport", None)
        channel.close()
        if transport is not None and self._ssl:
            transport.abort()

    def _open(self, message: GrpcMessage, cardinality: Cardinality, patience: float | None) -> Stream[bytes, bytes]:
        if self._channel is None:
            host, port = self._address.host, self._address.port
            self._channel = Channel(host, port, codec=Bytes(), status_details_codec=RetryDelay(), ssl=self._ssl or None)
        return self._channel.request(
            SERVICE + message.method, cardinality, bytes, bytes, timeout=patience, metadata=dict(message.metadata)
        )

    def _failure(self, stream: Stream[bytes, bytes], error: Exception) -> GrpcAnswer:
        """The answer that grpclib's exception stands for; what is no answer is raised as what it means."""
        if isinstance(error, GRPCError):
            text = error.message or f"the server answered {error.status.name}"
            return GrpcAnswer(error.status.value, text, retry_after=_retry_after(stream, error))
        if isinstance(error, ValueError):  # grpclib's checks of the metadata
            raise InvalidRequest(f"headers: {error}") from error
        if isinstance(error, ProtocolError):
            raise InvalidResponse(str(error)) from error
        if isinstance(error, TimeoutError) and error.errno is None:
            raise error  # the deadline, and not the system's own patience with a connection
        if isinstance(error, TimeoutError):
            raise ServerUnreachable(f"{self._address} is not reachable: {error}") from error
        if isinstance(error, OSError | StreamTerminatedError):
            kind = ConnectionLost if stream.peer is not None else ServerUnreachable
            raise kind(f"{self._address} is not reachable: {error}") from error
        raise error


def _retry_after(stream: Stream[bytes, bytes], error: GRPCError) -> float | None:
    """What the server says of another try: in its pushback, which gRPC's own retries obey, or in the details."""
    # grpclib shows no trailer whose name begins with "grpc-"; what it read them from has them.
    received = getattr(stream, "_stream", None)
    trailers = dict(received.trailers or received.headers or ()) if received is not None else {}
    told = trailers.get(PUSHBACK)
    if told is None:
        return error.details if isinstance(error.details, float) else None
    return int(told) / 1000 if told.isdecimal() else inf  # a negative number, or nonsense: not at all
