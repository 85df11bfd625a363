"""The methods of ``inference.GRPCInferenceService`` over a data plane: bytes in, bytes out, whatever carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from time import perf_counter

from tidegate.gateway.addressee import Asked
from tidegate.gateway.dataplane import DataPlane, translated, wished_timeout
from tidegate.gateway.grpc.calls import Call, Methods, Streaming, Unary
from tidegate.gateway.grpc.conversation import Conversation
from tidegate.gateway.routes import Route
from tidegate.identity.quota import Bucket
from tidegate.identity.scope import Verb
from tidegate.protocol import grpc
from tidegate.protocol.errors import ModelNotReady, TidegateError
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.repository import ModelState, check_parameters
from tidegate.protocol.tensors import Buffer

SERVICE = "inference.GRPCInferenceService"
OPEN = frozenset(("ServerLive", "ServerReady"))
"""Methods that tell nothing but whether the server lives and is ready: whoever watches it needs no credentials."""


class Servicer:
    """What each method answers. A method raises TidegateError for whatever it cannot answer."""

    def __init__(self, plane: DataPlane, max_stream_requests: int) -> None:
        self._plane = plane
        self._max_stream_requests = max_stream_requests

    def methods(self) -> Methods:
        """The methods by path. Those of the protocol that are missing here do not exist for callers."""
        found = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelStatistics": self.model_statistics,
            "ModelConfig": self.model_config,
            "RepositoryIndex": self.repository_index,
            "RepositoryModelLoad": self.repository_model_load,
            "RepositoryModelUnload": self.repository_model_unload,
        }
        methods: dict[bytes, Unary | Streaming] = {
            f"/{SERVICE}/{name}".encode(): Unary(method, open=name in OPEN) for name, method in found.items()
        }
        methods[f"/{SERVICE}/ModelStreamInfer".encode()] = Streaming(self.model_stream_infer, large=True, ends=True)
        methods[f"/{SERVICE}/ModelInfer".encode()] = Unary(self.model_infer, counts=True)
        return methods

    async def server_live(self, message: Buffer, call: Call) -> bytes:
        grpc.check_empty_request(message)
        return grpc.encode_server_live(True)

    async def server_ready(self, message: Buffer, call: Call) -> bytes:
        grpc.check_empty_request(message)
        return grpc.encode_server_ready(self._plane.ready)

    async def server_metadata(self, message: Buffer, call: Call) -> bytes:
        grpc.check_empty_request(message)
        return grpc.encode_server_metadata(self._plane.server_metadata())

    async def model_ready(self, message: Buffer, call: Call) -> bytes:
        name, version = grpc.decode_model_request(message)
        try:
            ready = self._route(name, version, call).backend.readiness.ready
        except ModelNotReady:  # known, and not loaded
            ready = False
        return grpc.encode_model_ready(ready)

    async def model_metadata(self, message: Buffer, call: Call) -> bytes:
        name, version = grpc.decode_model_request(message)
        return grpc.encode_model_metadata(await self._plane.model_metadata(self._route(name, version, call)))

    async def model_statistics(self, message: Buffer, call: Call) -> bytes:
        name, version = grpc.decode_statistics_request(message)
        return grpc.encode_statistics(self._plane.statistics(name, version, asked_of(self._plane, call)))

    async def model_config(self, message: Buffer, call: Call) -> bytes:
        route = self._route(*grpc.decode_model_request(message), call)
        return grpc.encode_configuration(await self._plane.configuration(route))

    async def repository_index(self, message: Buffer, call: Call) -> bytes:
        only_ready = grpc.decode_index_request(message)
        entries = await self._plane.index(asked_of(self._plane, call))
        return grpc.encode_index([e for e in entries if not only_ready or e.state is ModelState.READY])

    async def repository_model_load(self, message: Buffer, call: Call) -> bytes:
        wish = grpc.decode_repository_request(message)
        control = self._plane.control(wish.model, asked_of(self._plane, call))
        check_parameters(wish.parameters)
        await control.load(wish.model)
        return grpc.encode_repository_response(wish.model)

    async def repository_model_unload(self, message: Buffer, call: Call) -> bytes:
        wish = grpc.decode_repository_request(message)
        control = self._plane.control(wish.model, asked_of(self._plane, call))
        check_parameters(wish.parameters)
        await control.unload(wish.model)
        return grpc.encode_repository_response(wish.model)

    async def model_infer(self, message: Buffer, call: Call) -> bytes:
        """Execute one request, and count its one outcome."""
        begun = perf_counter()  # uvloop's own time moves in whole milliseconds
        route: Route | None = None
        error: TidegateError | None = None
        bucket: Bucket | None = None
        try:
            parsed = grpc.parse_infer_request(message, self._plane.settings.limits)
            asked = self._plane.asked(call.metadata, request_id=parsed.message.id, identity=call.identity)
            route = self._plane.resolve(parsed.model_name, parsed.model_version, asked)
            bucket = self._plane.begin(asked)
            request, raw = grpc.decode_parsed_request(parsed, self._plane.settings.limits)
            version = parsed.model_version
            del parsed  # protobuf's form of a message can take many times its bytes: not while the model runs
            try:
                return await self._infer(route, request, raw, call, asked)
            except ModelNotReady as unready:  # its last replica ended while the request waited
                route = self._plane.instead(route, version, asked, unready)
                return await self._infer(route, request, raw, call, asked)
        except asyncio.CancelledError as cancelled:
            error = call.refusal or translated(cancelled)
            raise
        except Exception as caught:  # whatever it is becomes the answer
            error = translated(caught)
            raise error from caught
        finally:
            self._plane.end(bucket)
            self._plane.answered(route, "grpc", error, perf_counter() - begun)

    def model_stream_infer(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncGenerator[bytes, None]:
        """Answer all requests of a call; each of them counts its own outcome."""
        return Conversation(self._plane, call, self._max_stream_requests).replies(messages)

    def _route(self, model: str, version: str, call: Call) -> Route:
        """The route of a call that is about one model, without asking it."""
        return self._plane.resolve(model, version, asked_of(self._plane, call), Verb.METADATA)

    async def _infer(self, route: Route, request: InferRequest, raw: bool, call: Call, asked: Asked) -> bytes:
        deadline = self._plane.deadline(call.started, call.timeout, wished_timeout(request))
        caller = self._plane.caller(request, self._plane.tenants.among(call.metadata), asked)
        answer = await self._plane.infer(route, request, deadline, caller)
        try:
            # Encoded before the release: the tensors are views of memory that the replica will write to again.
            return grpc.encode_infer_response(answer.response, raw=raw)
        finally:
            answer.release()


def asked_of(plane: DataPlane, call: Call) -> Asked:
    """What a call asks for beside the model that its message names."""
    return plane.asked(call.metadata, identity=call.identity)
