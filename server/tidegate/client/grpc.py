"""The client over gRPC: the six calls of ``inference.GRPCInferenceService``, of which it makes two.

It is synchronous and keeps an event loop of its own for its channel, so it cannot be used inside another one.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Self

import msgspec
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tidegate.client.answers import GRACE, ServerUnreachable, from_grpc
from tidegate.protocol import grpc
from tidegate.protocol.errors import DeadlineExceeded, InvalidRequest
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.protocol.parameters import TIMEOUT

SERVICE = "/inference.GRPCInferenceService/"


class Bytes(CodecBase):
    """Messages are bytes already: protocol/grpc.py has made them."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: type) -> bytes:
        return message

    def decode(self, data: bytes, message_type: type) -> bytes:
        return data


class GrpcClient:
    """One server at ``address`` ("127.0.0.1:8081"), without TLS. Use it as a context manager.

    ``grace`` is how many seconds after a deadline the server's own word on it is waited for.
    """

    def __init__(self, address: str, limits: Limits = DEFAULT_LIMITS, grace: float = GRACE) -> None:
        self._address = address
        self._limits = limits
        self._grace = grace
        self._runner = asyncio.Runner()
        self._channel: Channel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel and its event loop."""
        if self._channel is not None:
            self._runner.run(self._close())
        self._runner.close()

    def infer(self, request: InferRequest, timeout: float = 60.0) -> InferResponse:
        """Ask a model, tensors as raw bytes. ``timeout`` in seconds is told to the server as the request's deadline.

        It goes as the parameter ``timeout``, for the call's own deadline is the client's at the same time: that one is
        later by the grace.

        Raises:
            TidegateError: what the server answered, by its status; ServerUnreachable if it did not.
        """
        message = grpc.encode_infer_request(_hurried(request, timeout), raw=True)
        answer = self._runner.run(self._call("ModelInfer", message, timeout, self._grace))
        return grpc.decode_infer_response(answer, self._limits)

    def model_metadata(self, name: str, version: str = "", timeout: float = 60.0) -> ModelMetadata:
        """A model's signature; version "" takes the server's default.

        Raises:
            TidegateError: as ``infer``.
        """
        request = grpc.encode_model_request(name, version)
        return grpc.decode_model_metadata(self._runner.run(self._call("ModelMetadata", request, timeout)))

    async def _call(self, method: str, message: bytes, timeout: float, grace: float = 0.0) -> bytes:
        try:
            call = UnaryUnaryMethod(self._open(), SERVICE + method, bytes, bytes)
            answer: bytes = await call(message, timeout=timeout + grace)
        except GRPCError as error:
            raise from_grpc(error.status.value, error.message or f"the server answered {error.status.name}") from error
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._address} did not answer within {timeout:g} s") from error
        except (OSError, StreamTerminatedError) as error:
            raise ServerUnreachable(f"{self._address} is not reachable: {error}") from error
        return answer

    def _open(self) -> Channel:
        if self._channel is None:
            host, _, port = self._address.rpartition(":")
            if not host or not port.isdecimal():
                raise InvalidRequest(f"'{self._address}' is not an address; expected HOST:PORT")
            self._channel = Channel(host.strip("[]"), int(port), codec=Bytes())
        return self._channel

    async def _close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            # Closing a transport takes effect on the next turn of the loop.
            await asyncio.sleep(0)


def _hurried(request: InferRequest, timeout: float) -> InferRequest:
    """The request with its deadline in microseconds, unless it names an earlier one itself."""
    ours = max(1, math.ceil(timeout * 1e6))
    own = request.parameters.get(TIMEOUT)
    if own is None or (type(own) is int and (own == 0 or own > ours)):
        return msgspec.structs.replace(request, parameters={**request.parameters, TIMEOUT: ours})
    return request
