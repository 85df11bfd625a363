"""A model with the number of its requests, so that it ends only when nobody is using it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from tidegate.batching.item import ANYBODY, Caller
from tidegate.control.model import Answer, Executor, Model
from tidegate.control.offer import Offer
from tidegate.protocol.errors import ModelNotReady
from tidegate.protocol.messages import InferRequest, ModelMetadata
from tidegate.replicas.readiness import Readiness
from tidegate.telemetry.statistics import RevisionStatistics


class Lease:
    """One version of a model that takes requests: the gateway's Backend. ``offer`` is what it was made from."""

    def __init__(self, offer: Offer, model: Model) -> None:
        self.offer = offer
        self.model = model
        self._executor: Executor = model.executor
        self._requests = 0
        self._call: Callable[[], None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return f"<Lease of {self.offer.model} version {self.offer.version}, {self._requests} requests>"

    @property
    def requests(self) -> int:
        """Those that are not answered yet."""
        return self._requests

    @property
    def metadata(self) -> ModelMetadata | None:
        return self._executor.metadata

    @property
    def readiness(self) -> Readiness:
        return self._executor.readiness

    def statistics(self) -> RevisionStatistics:
        return self._executor.statistics()

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        """See the gateway's Backend."""
        self._begin()
        try:
            return await self._executor.signature(deadline, nbytes)
        finally:
            self._end()

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> Answer:
        """See the gateway's Backend. What reads the answer does so in the same turn of the loop."""
        self._begin()  # not a context manager: this is on the way of every request
        try:
            return await self._executor.infer(request, deadline, caller)
        finally:
            self._end()

    async def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[Answer, None]:
        """See the gateway's Backend."""
        self._begin()
        try:
            async with aclosing(self._executor.stream(request, deadline, caller)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            self._end()

    @property
    def max_batch(self) -> int | None:
        """Rows that the model executes at once, 1 where it takes single requests; None before its first load."""
        try:
            return max(self.model.configuration().max_batch_size, 1)
        except ModelNotReady:
            return None

    def at_next(self, call: Callable[[], None] | None) -> None:
        """Have ``call`` called when the next request begins, once and in its turn of the loop, in the place of what was
        said before; None for nothing."""
        self._call = call

    def _begin(self) -> None:
        self._requests += 1
        self._idle.clear()
        if self._call is not None:
            call, self._call = self._call, None
            call()

    def _end(self) -> None:
        self._requests -= 1
        if not self._requests:
            self._idle.set()

    async def idle(self) -> None:
        """Return once its requests are answered. It must not be routed to any more, or there may be others at once."""
        while self._requests:  # one that waited for a signature goes on to be executed
            await self._idle.wait()

    async def end(self, patience: float | None) -> None:
        """Wait until its requests are answered, at most ``patience`` seconds, and stop it.

        It must not be routed to any more. None waits for as long as they take, which their deadlines bound.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.idle()
        await self.model.stop()
