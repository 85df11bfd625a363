"""gRPC's health checking protocol, for the server as a whole ("") and for each model by its name.

How the server as a whole is, anybody may ask; of a model, whoever may see it.
Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.grpc.calls import Call, Methods, Streaming, Unary
from tidegate.gateway.grpc.servicer import SERVICE, asked_of
from tidegate.identity.credentials import read_credentials
from tidegate.identity.scope import Verb
from tidegate.protocol.errors import InvalidRequest, ModelNotFound, ModelNotReady, NotFound
from tidegate.protocol.generated import health as pb
from tidegate.protocol.grpc import parse_message
from tidegate.protocol.tensors import Buffer

Status = pb.HealthCheckResponse.ServingStatus


WHOLE = ("", SERVICE)
"""Names that stand for the server as a whole."""


class Health:
    """``interval`` is the time in seconds between two looks at what a client watches."""

    def __init__(self, plane: DataPlane, interval: float) -> None:
        self._plane = plane
        self._interval = interval

    def methods(self) -> Methods:
        return {
            b"/grpc.health.v1.Health/Check": Unary(self.check, open=True),
            b"/grpc.health.v1.Health/Watch": Streaming(self.watch, open=True),
        }

    async def check(self, message: Buffer, call: Call) -> bytes:
        """The status now.

        Raises:
            ModelNotFound: no model of that name is served.
            Unauthenticated: it is about a model, and callers are asked who they are.
        """
        service = parse_message(pb.HealthCheckRequest, message).service
        await self._recognise(service, call)
        status = self.status(service, call)
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            raise ModelNotFound(service)
        return encoded(status)

    async def watch(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncGenerator[bytes, None]:
        """The status now and after every change. An unknown name is a status too: it may come to be."""
        service = ""
        found = False
        async for message in messages:
            if found:
                raise InvalidRequest("Watch takes one message, got a second one")
            service = parse_message(pb.HealthCheckRequest, message).service
            found = True
        if not found:
            raise InvalidRequest("the call ended without a message")
        await self._recognise(service, call)
        last: Status | None = None
        while True:
            status = self.status(service, call)
            if status != last:
                last = status
                yield encoded(status)
            await asyncio.sleep(self._interval)

    async def _recognise(self, service: str, call: Call) -> None:
        access = self._plane.access
        if access is not None and service not in WHOLE:
            call.identity = await access.identify(read_credentials(call.metadata, call.certificate))

    def status(self, service: str, call: Call) -> Status:
        """The status of a model, or of the server under "" and under the name of its inference service."""
        if service in WHOLE:
            ready = self._plane.ready
        else:
            try:
                route = self._plane.resolve(service, "", asked_of(self._plane, call), Verb.METADATA)
                ready = not self._plane.leaving and route.backend.readiness.ready
            except ModelNotReady:  # known, and not loaded
                ready = False
            except NotFound:
                return pb.HealthCheckResponse.SERVICE_UNKNOWN
        return pb.HealthCheckResponse.SERVING if ready else pb.HealthCheckResponse.NOT_SERVING


def encoded(status: Status) -> bytes:
    return pb.HealthCheckResponse(status=status).SerializeToString()
