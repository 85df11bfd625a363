"""A backend without a process: it answers with its inputs, or with the error that it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

import msgspec

from tidegate.gateway.backend import ANYBODY, Caller, Readiness, RevisionStatistics
from tidegate.gateway.routes import Route
from tidegate.gateway.services import Service
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import DeadlineExceeded, ModelNotReady, TidegateError
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Share, Traffic


class FakeAnswer:
    """An answer over plain memory; ``released`` tells whether the listener gave it back."""

    def __init__(self, response: InferResponse) -> None:
        self.response = response
        self.released = False

    def release(self) -> None:
        assert not self.released, "an answer is released exactly once"
        self.released = True


class IdentityBackend:
    """Answers every input as an output of the same name; a decoupled one with its rows, one by one.

    ``error`` is raised instead of answering, of a stream after ``before_error`` answers; ``gate``, while set, holds
    every request until it is opened, a stream before each of its answers.
    ``answers`` and ``cancelled`` let a test see what became of them, ``callers`` who asked.
    ``figures`` are its statistics.
    """

    def __init__(self, metadata: ModelMetadata, error: TidegateError | Exception | None = None) -> None:
        self._name = metadata.name
        self._metadata: ModelMetadata | None = metadata
        self.error = error
        self.gate: asyncio.Event | None = None
        self.state = Readiness(True)
        self.figures = RevisionStatistics(batcher=None, replicas={}, executed={}, last_inference=0.0)
        self.requests: list[InferRequest] = []
        self.callers: list[Caller] = []
        self.answers: list[FakeAnswer] = []
        self.cancelled = 0
        self.before_error = 0

    @property
    def metadata(self) -> ModelMetadata | None:
        return self._metadata

    @property
    def readiness(self) -> Readiness:
        return self.state

    def statistics(self) -> RevisionStatistics:
        return self.figures

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        if self._metadata is None:
            raise ModelNotReady(self._name, self.state.reason, retry_after=1.0)
        return self._metadata

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> FakeAnswer:
        self.requests.append(request)
        self.callers.append(caller)
        try:
            await self._wait(request, deadline)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self._answer(request, request.inputs)

    async def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[FakeAnswer, None]:
        self.requests.append(request)
        self.callers.append(caller)
        arrays = [(tensor, tensor.numpy()) for tensor in request.inputs]
        try:
            for row in range(request.inputs[0].shape[0]):
                await self._wait(request, deadline)
                if self.error is not None and row == self.before_error:
                    raise self.error
                yield self._answer(
                    request, [Tensor.from_numpy(t.name, array[row : row + 1], t.datatype) for t, array in arrays]
                )
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def _wait(self, request: InferRequest, deadline: float) -> None:
        if self.gate is None:
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self.gate.wait()
        except TimeoutError as error:
            name = request.model_name
            raise DeadlineExceeded(f"model '{name}' did not answer before the request's deadline") from error

    def _answer(self, request: InferRequest, tensors: Sequence[Tensor]) -> FakeAnswer:
        wanted = {output.name for output in request.outputs}
        assert self._metadata is not None
        outputs = tuple(
            msgspec.structs.replace(tensor, parameters={}) for tensor in tensors if not wanted or tensor.name in wanted
        )
        answer = FakeAnswer(
            InferResponse(
                model_name=request.model_name, outputs=outputs, model_version=request.model_version, id=request.id
            )
        )
        self.answers.append(answer)
        return answer


def identity_metadata(name: str, *datatypes: Datatype, rank: int = 2) -> ModelMetadata:
    """The signature of an identity model with one input per datatype, named after it in lower case."""
    specs = tuple(TensorSpec(kind.value.lower(), kind, (-1,) * rank) for kind in datatypes or (Datatype.FP32,))
    return ModelMetadata(name, "tidegate_fake", specs, specs)


def identity_route(name: str, *datatypes: Datatype, rank: int = 2) -> Route:
    """A route to an identity backend: version 1, one input per datatype."""
    return Route(name, "1", IdentityBackend(identity_metadata(name, *datatypes, rank=rank)))


def identity_service(
    name: str,
    shares: Mapping[int, int],
    *,
    namespace: str = "default",
    versions: Mapping[int, str] | None = None,
    running: Sequence[int] = (),
    sticky: str = "",
    salt: str = "salt",
    reason: str = "",
) -> Service:
    """A service with an identity backend for each revision that has a share, or is ``running`` without one.

    ``shares`` are percents by revision, the stable one first. The newest is ``latest``, the one before it ``prev``.
    """
    numbers = sorted({*shares, *running})
    versions = versions or {}
    routes = {
        number: Route.of_revision(
            RevisionId(namespace, name, number), versions.get(number, ""), IdentityBackend(identity_metadata(name))
        )
        for number in numbers
    }
    traffic = Traffic(
        namespace=namespace,
        service=name,
        shares=tuple(Share(revision, percent) for revision, percent in shares.items()),
        running=tuple(numbers),
        versions=versions,
        tags=dict(zip(("latest", "prev"), reversed(numbers), strict=False)),
        salt=salt,
        sticky=sticky,
        reason=reason,
    )
    return Service.of(traffic, routes)
