"""Answers that are given again, and executions that are shared: a backend in front of the backend of one revision.

There is one ``CachedBackend`` per revision, so the revision is part of every key without standing in it: no cache ever
holds the answers of two. Identical requests in flight share one execution under the same switch, because both rest on
the same promise, that an answer follows from the request alone. A hit touches neither queue nor replica.

A shared execution is nobody's own: whoever waits for it leaves alone, and it is cancelled when the last one has left.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from time import perf_counter

import msgspec

from tidegate.batching.checks import check_whole
from tidegate.gateway.backend import ANYBODY, Answer, Backend, Caller, Readiness, RevisionStatistics
from tidegate.gateway.flight import Asker, Flight, Sharing
from tidegate.gateway.owned import OwnedAnswer, owned
from tidegate.protocol.content import content_bytes, content_of
from tidegate.protocol.errors import DeadlineExceeded, Overloaded, ShuttingDown
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.telemetry.statistics import CacheStatistics

OFF_LOOP = 1 << 20
"""Bytes of inputs above which they are hashed in a thread; up to it, that holds the loop for less than about 1 ms."""

ENTRY_BYTES = 512
OUTPUT_BYTES = 512
"""What an entry, and each output in it, takes beside the outputs' own bytes; rounded up."""


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much one revision keeps, and how many may wait for an execution that is not their own.

    Raises:
        ValueError: a field is negative.
    """

    max_bytes: int = 0
    """Bytes of answers that are kept, overhead included. 0 is off, for it is the model's owner who knows whether an
    answer follows from its request alone."""
    max_queue: int = 4096
    """Rows of requests that share an execution which another one began: the bound of the queue, for they wait as those
    in it do. A request beyond is refused. One that finds nobody sharing is always taken."""
    max_queue_bytes: int = 256 << 20
    """Their tensors together, with the same exception."""

    def __post_init__(self) -> None:
        check_whole(self, 0, "max_bytes", "max_queue", "max_queue_bytes")


class Answers:
    """Answers by content, ``max_bytes`` at most. The one not used for the longest time makes room."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, tuple[InferResponse, int]] = OrderedDict()
        self.nbytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, content: bytes) -> InferResponse | None:
        entry = self._entries.get(content)
        if entry is None:
            return None
        self._entries.move_to_end(content)
        return entry[0]

    def keep(self, content: bytes, response: InferResponse) -> None:
        """Keep an answer whose tensors own their bytes; one that is larger than the cache is not kept."""
        size = ENTRY_BYTES + sum([OUTPUT_BYTES + tensor.nbytes for tensor in response.outputs])
        if size > self._max_bytes or content in self._entries:
            return
        while self.nbytes + size > self._max_bytes:
            self.nbytes -= self._entries.popitem(last=False)[1][1]
            self.evicted += 1
        self._entries[content] = (response, size)
        self.nbytes += size


class CachedBackend:
    """One revision with a response cache. Whoever owns the backend behind it starts and stops that one as before.

    ``clock`` is that of the backend: both must agree on who comes too late, and uvloop's own moves in milliseconds.
    """

    def __init__(self, backend: Backend, settings: CacheSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._answers = Answers(settings.max_bytes)
        self._flights: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sharing = Sharing(settings.max_queue, settings.max_queue_bytes)
        self._hits = self._misses = self._coalesced = self._overloaded = 0
        self._hit_seconds = self._miss_seconds = self._last_hit = 0.0

    def __repr__(self) -> str:
        return f"<CachedBackend {len(self._answers)} answers, {len(self._flights)} in flight>"

    @property
    def metadata(self) -> ModelMetadata | None:
        return self._backend.metadata

    @property
    def readiness(self) -> Readiness:
        return self._backend.readiness

    def statistics(self) -> RevisionStatistics:
        """The backend's, with the cache's. A request whose deadline has passed on arrival is none of the cache's."""
        behind = self._backend.statistics()
        cache = CacheStatistics(
            hits=self._hits,
            misses=self._misses,
            coalesced=self._coalesced,
            overloaded=self._overloaded,
            evicted=self._answers.evicted,
            entries=len(self._answers),
            nbytes=self._answers.nbytes,
            hit_seconds=self._hit_seconds,
            miss_seconds=self._miss_seconds,
        )
        last = max(behind.last_inference, self._last_hit)
        return msgspec.structs.replace(behind, last_inference=last, cache=cache)

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        """The backend's."""
        return await self._backend.signature(deadline, nbytes)

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> Answer:
        """Answer from what is kept, from an execution in flight, or from one of its own. See ``Backend``."""
        metadata = self._backend.metadata
        if metadata is not None and metadata.stateful:
            return await self._backend.infer(request, deadline, caller)  # its answer follows from what came before, too
        begun = perf_counter()
        loop = asyncio.get_running_loop()
        content = await _content(request, deadline) if deadline > self._clock() else None
        if content is None:
            return await self._backend.infer(request, deadline, caller)  # refused there, in its words, and counted
        kept = self._answers.get(content)
        if kept is not None:
            self._hits += 1
            self._last_hit = time.time()
            answer = OwnedAnswer(request, kept)
            self._hit_seconds += perf_counter() - begun
            return answer
        flight = self._flights.get(content)
        if flight is not None:
            return OwnedAnswer(request, await self._share(content, flight, request, deadline, caller))
        self._misses += 1
        asker = Asker(request, deadline, caller, loop)
        flight = self._begin(content, asker, loop)
        self._miss_seconds += perf_counter() - begun
        return OwnedAnswer(request, await self._outcome(content, flight, asker))

    def stream(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> AsyncGenerator[Answer, None]:
        """Streams are neither kept nor shared: two readers would have to be as fast as one another."""
        return self._backend.stream(request, deadline, caller)

    async def close(self) -> None:
        """End the executions that are left, and refuse who waits for them. To be awaited after the backend has stopped.

        After an orderly stop there are none, and this returns at once.
        """
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _share(
        self, content: bytes, flight: Flight, request: InferRequest, deadline: float, caller: Caller
    ) -> InferResponse:
        """Wait for an execution that another request began, if that many may."""
        metadata = self._backend.metadata
        batched = metadata is not None and metadata.batch_dimension and request.inputs
        rows, nbytes = request.inputs[0].shape[0] if batched else 1, content_bytes(request)
        try:
            self._sharing.admit(request.model_name, rows, nbytes)
        except Overloaded:
            self._overloaded += 1
            raise
        self._coalesced += 1
        try:
            asker = Asker(request, deadline, caller, asyncio.get_running_loop())
            flight.join(asker)
            return await self._outcome(content, flight, asker)
        finally:
            self._sharing.leave(rows, nbytes)

    def _begin(self, content: bytes, owner: Asker, loop: asyncio.AbstractEventLoop) -> Flight:
        flight = self._flights[content] = Flight(owner)
        task = flight.task = loop.create_task(self._execute(content, flight))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(content, flight, task))
        return flight

    async def _execute(self, content: bytes, flight: Flight) -> None:
        """Have the backend answer a flight, once for each owner that it takes."""
        while True:
            owner = flight.owner
            try:
                answer = await self._backend.infer(owner.request, owner.deadline, owner.caller)
                begun = perf_counter()
                response = owned(answer)
            except DeadlineExceeded as error:
                if flight.owner_expired(error):
                    continue
            except Exception as error:
                flight.fail(error)
            else:
                self._answers.keep(content, response)
                flight.succeed(response)
                self._miss_seconds += perf_counter() - begun
            break
        self._forget(content, flight)

    async def _outcome(self, content: bytes, flight: Flight, asker: Asker) -> InferResponse:
        try:
            return await asker.future
        finally:
            asker.unwatch()
            flight.askers.pop(asker, None)
            del asker.future  # an error in it leads back here: a cycle that would keep the request's tensors
            if not flight.askers and flight.task is not None:
                self._forget(content, flight)  # who asks from now on must not join what is being cancelled
                flight.task.cancel()

    def _forget(self, content: bytes, flight: Flight) -> None:
        if self._flights.get(content) is flight:
            del self._flights[content]

    def _ended(self, content: bytes, flight: Flight, task: asyncio.Task[None]) -> None:
        """Whoever still waits for an execution that was cancelled, by ``close`` or before its first step, is told."""
        self._tasks.discard(task)
        self._forget(content, flight)
        flight.fail(ShuttingDown())


async def _content(request: InferRequest, deadline: float) -> bytes | None:
    """The content of a request, in a thread if it is large; None where the deadline passes meanwhile."""
    if content_bytes(request) <= OFF_LOOP:
        return content_of(request)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            return await asyncio.to_thread(content_of, request)
    return None
