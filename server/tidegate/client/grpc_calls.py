"""v2 over gRPC: what each call sends, and what its answer means. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from tidegate.client.answers import from_grpc
from tidegate.client.calls import Exchange, LoadParameters
from tidegate.client.settings import ClientSettings
from tidegate.protocol import grpc
from tidegate.protocol.errors import ExecutionFailed, GrpcStatus, InvalidRequest, InvalidResponse, Unsupported
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from tidegate.protocol.parameters import FINAL, TIMEOUT
from tidegate.protocol.repository import IndexEntry
from tidegate.protocol.statistics import ModelStatistics

T = TypeVar("T")

SERVICE = "/inference.GRPCInferenceService/"


class GrpcMessage(msgspec.Struct, frozen=True):
    """The one message of a call, and the call's metadata."""

    method: str
    body: bytes
    metadata: Mapping[str, str] = {}


class GrpcAnswer(msgspec.Struct, frozen=True):
    """The one message of an answer; where ``status`` is not 0, ``message`` says why and ``body`` is empty.

    ``retry_after`` is in seconds, None where the server says nothing, infinite where it forbids another try.
    """

    status: int
    message: str = ""
    body: bytes = b""
    retry_after: float | None = None


GrpcExchange = Exchange[GrpcMessage, GrpcAnswer, T]


class GrpcCalls:
    """The calls to one server, with what ``settings`` say of metadata."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._metadata = {name.lower(): value for name, value in settings.all_headers.items()}

    def infer(self, request: InferRequest, tenant: str) -> GrpcExchange[InferResponse]:
        """Tensors go as raw bytes.

        The deadline goes as the parameter ``timeout``: the call's own would be kept by both sides at the same instant.
        """
        metadata = {**self._metadata, self._settings.tenant_header.lower(): tenant} if tenant else self._metadata
        limits = self._settings.limits

        def message(remaining: float) -> GrpcMessage:
            body = grpc.encode_infer_request(_hurried(request, remaining), raw=True)
            return GrpcMessage("ModelInfer", body, metadata)

        def decode(body: bytes) -> InferResponse:
            return grpc.decode_infer_response(body, limits)

        return Exchange(message, _reader(decode), told=True)

    reads_by_signature = False

    def stream(
        self, request: InferRequest, tenant: str, signature: ModelMetadata | None
    ) -> GrpcExchange[InferResponse | None]:
        """One request on a call of its own, in which an error has the call's status, where the server can (Triton's
        and ours); else it is a message without one.
        """
        metadata = {**self._metadata, "triton_grpc_error": "true"}
        if tenant:
            metadata[self._settings.tenant_header.lower()] = tenant
        limits = self._settings.limits

        def message(remaining: float) -> GrpcMessage:
            body = grpc.encode_infer_request(_hurried(request, remaining), raw=True)
            return GrpcMessage("ModelStreamInfer", body, metadata)

        def decode(body: bytes) -> InferResponse | None:
            failure, response = grpc.decode_stream_response(body, limits)
            if failure:
                raise ExecutionFailed(failure)
            if response.parameters.get(FINAL) is True and not response.outputs:
                return None
            own = {name: value for name, value in response.parameters.items() if name != FINAL}
            return msgspec.structs.replace(response, parameters=own)

        return Exchange(message, _reader(decode), told=True)

    def server_live(self) -> GrpcExchange[bool]:
        return self._ask("ServerLive", b"", grpc.decode_server_live)

    def server_ready(self) -> GrpcExchange[bool]:
        return self._ask("ServerReady", b"", grpc.decode_server_ready)

    def server_metadata(self) -> GrpcExchange[ServerMetadata]:
        return self._ask("ServerMetadata", b"", grpc.decode_server_metadata)

    def model_ready(self, name: str, version: str) -> GrpcExchange[bool]:
        return self._ask("ModelReady", grpc.encode_model_request(name, version), grpc.decode_model_ready)

    def model_metadata(self, name: str, version: str) -> GrpcExchange[ModelMetadata]:
        return self._ask("ModelMetadata", grpc.encode_model_request(name, version), grpc.decode_model_metadata)

    def statistics(self, name: str, version: str) -> GrpcExchange[tuple[ModelStatistics, ...]]:
        return self._ask("ModelStatistics", grpc.encode_statistics_request(name, version), grpc.decode_statistics)

    def models(self) -> GrpcExchange[list[str]]:
        raise Unsupported("v2 over gRPC has no list of models; repository_index may tell them")

    def repository_index(self, ready: bool) -> GrpcExchange[tuple[IndexEntry, ...]]:
        return self._ask("RepositoryIndex", grpc.encode_index_request(ready), grpc.decode_index)

    def load_model(self, name: str, parameters: LoadParameters) -> GrpcExchange[None]:
        try:
            body = grpc.encode_load_request(name, parameters)
        except ValueError as error:
            raise InvalidRequest(f"a parameter does not fit 64 bits: {error}") from error
        return self._ask("RepositoryModelLoad", body, _nothing, idempotent=False)

    def unload_model(self, name: str) -> GrpcExchange[None]:
        return self._ask("RepositoryModelUnload", grpc.encode_unload_request(name), _nothing, idempotent=False)

    def _ask(
        self, method: str, body: bytes, decode: Callable[[bytes], T], *, idempotent: bool = True
    ) -> GrpcExchange[T]:
        message = GrpcMessage(method, body, self._metadata)
        return Exchange(lambda _: message, _reader(decode), idempotent=idempotent)


def _reader(decode: Callable[[bytes], T]) -> Callable[[GrpcAnswer], T]:
    def read(answer: GrpcAnswer) -> T:
        if answer.status != GrpcStatus.OK:
            raise from_grpc(answer.status, answer.message, answer.retry_after)
        try:
            return decode(answer.body)
        except InvalidRequest as error:  # the decoders speak as servers do, to whom a message is a request
            raise InvalidResponse(error.message) from error

    return read


def _nothing(body: bytes) -> None:
    """An empty message, or KServe's with the model's name: that it came is the answer."""


def _hurried(request: InferRequest, remaining: float) -> InferRequest:
    """The request with its deadline in microseconds, unless it names an earlier one itself."""
    ours = max(1, math.ceil(remaining * 1e6))
    own = request.parameters.get(TIMEOUT)
    if own is None or (type(own) is int and (own == 0 or own > ours)):
        return msgspec.structs.replace(request, parameters={**request.parameters, TIMEOUT: ours})
    return request
