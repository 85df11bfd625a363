"""From waiting requests to replicas: the shell around a ``Batcher``, which decides.

It asks the batcher for a batch whenever a link (a replica that is ready) has a free credit: once in each turn of the
loop in which something happened, so that requests that arrive together go together. A link has few credits: one batch
executes, one more is there when it ends. Each request is answered once, whatever happens: its future is the one place
where the answer can go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from math import inf

import msgspec

from tidegate.batching import batch as batching
from tidegate.batching.batcher import Batcher
from tidegate.batching.bucket import Pinned, key_of
from tidegate.batching.item import ANYBODY, Caller, Item
from tidegate.batching.sequences import Sequence
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import InternalError, ModelLoadFailed, ModelNotReady, ReplicaLost, TidegateError
from tidegate.protocol.messages import InferRequest, ModelMetadata
from tidegate.protocol.sequence import without_step
from tidegate.replicas.assembly import assemble
from tidegate.replicas.batch import BatchResult
from tidegate.replicas.executions import Executions
from tidegate.replicas.lane import Lane, Link, Work, choose
from tidegate.replicas.pending import Pending, fingerprint
from tidegate.replicas.responses import Responses
from tidegate.replicas.scatter import answer, scatter
from tidegate.replicas.streams import Progress, StreamCounts
from tidegate.replicas.turns import Turns
from tidegate.telemetry.statistics import RevisionStatistics

log = logging.getLogger(__name__)

_TICK = 0.001
"""Seconds; the loop's timers know whole milliseconds, and one that is rounded down would come too early."""


class Dispatcher:
    """The queue of one revision and the links that empty it. Everything is called in one event loop.

    ``clock`` has the base of the loop's own time, and may be finer: uvloop's moves in whole milliseconds.
    """

    def __init__(self, model: str, settings: BatchSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._settings = settings
        self._clock = clock
        self._metadata: ModelMetadata | None = None
        self._batcher: Batcher[Pending] | None = None
        self._batches = False
        self._streams = False
        self._turns: Turns | None = None
        self._attached = 0
        self._padding = settings.padded_dimensions
        self._lanes: dict[Link, Lane] = {}
        self._refusal: Callable[[], TidegateError] | None = None
        self._executions = Executions()
        self._responses = StreamCounts()
        self._last_inference = 0.0
        self._pumping: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = inf

    def __repr__(self) -> str:
        return f"<Dispatcher {self._batcher!r}, {len(self._lanes)} links>"

    @property
    def metadata(self) -> ModelMetadata | None:
        """The signature; None before the first load."""
        return self._metadata

    def describe(self, metadata: ModelMetadata) -> None:
        """A replica has loaded the model, and this is its signature. From now on requests can be executed.

        Raises:
            ModelLoadFailed: it is not that of the replicas before it, by which requests are checked.
        """
        if self._batcher is not None:
            if metadata != self._metadata:
                raise ModelLoadFailed("its signature is not what it was when it was first loaded: the file has changed")
            return
        self._streams = metadata.decoupled
        if metadata.stateful:
            self._turns = Turns(self._model, self._settings, self._clock)
        # A stream takes its replica for as long as its reader likes, and a step is of one sequence: neither is shared.
        alone = self._streams or metadata.stateful
        self._batches = metadata.batch_dimension and bool(metadata.inputs) and not alone
        self._padding = self._settings.padded_dimensions if self._batches else ()
        most = 1
        if self._batches:
            most = min(self._settings.max_batch, metadata.max_batch_size or self._settings.max_batch)
        sizes = tuple(size for size in self._settings.batch_sizes if size <= most)
        # How long a stream takes tells nothing of the next.
        early = self._settings.refuse_early and not self._streams
        twice = self._settings.idempotent and not metadata.stateful
        settings = msgspec.structs.replace(
            self._settings, max_batch=most, batch_sizes=sizes, refuse_early=early, idempotent=twice
        )
        self._metadata = metadata
        self._batcher = Batcher(self._model, settings, fingerprint)

    def statistics(self, replicas: dict[str, int]) -> RevisionStatistics:
        """Everything that is known; ``replicas`` is how many there are in each state."""
        batcher = self._batcher
        return RevisionStatistics(
            batcher=None if batcher is None else batcher.statistics(self._clock()),
            replicas=replicas,
            executed=self._executions.view(),
            durations=self._executions.durations(),
            answered=self._executions.requests(),
            responses=self._responses.view(),
            sequences=None if self._turns is None else self._turns.statistics(),
            last_inference=self._last_inference,
        )

    async def execute(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> BatchResult:
        """Have a request executed. The result must be released.

        Raises:
            TidegateError: Overloaded, DeadlineExceeded, ReplicaLost, the refusal, the model's error, or, of a stateful
                model, what ``Turns.turn`` raises.
        """
        batcher = self._admitting()
        if self._turns is None:
            return await self._execute(batcher, self._item(request, deadline, caller))
        async with self._turns.turn(request, deadline) as visit:
            result = await self._execute(batcher, self._item(request, deadline, caller, visit.sequence))
            visit.done = True
            return result

    async def _execute(self, batcher: Batcher[Pending], item: Item[Pending]) -> BatchResult:
        self._offer(batcher, item)
        try:
            return await item.payload.future
        except asyncio.CancelledError:
            self._withdraw(batcher, item)
            raise

    async def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[BatchResult, None]:
        """Have a request of a decoupled model executed: the responses, each of which must be released.

        The model is a bounded number of responses ahead of those that are released. Closing this ends its work.

        Raises:
            TidegateError: as ``execute``, also after some responses.
        """
        batcher = self._admitting()
        if self._turns is None:
            async with aclosing(self._stream(batcher, self._item(request, deadline, caller))) as responses:
                async for response in responses:
                    yield response
            return
        async with self._turns.turn(request, deadline) as visit:
            item = self._item(request, deadline, caller, visit.sequence)
            async with aclosing(self._stream(batcher, item)) as responses:
                async for response in responses:
                    yield response
            visit.done = True

    async def _stream(self, batcher: Batcher[Pending], item: Item[Pending]) -> AsyncGenerator[BatchResult, None]:
        responses = item.payload.responses = Responses(item.payload.future)
        self._offer(batcher, item)
        try:
            while (response := await responses.next()) is not None:
                yield response
        finally:
            responses.close()
            self._withdraw(batcher, item)

    def attach(self, link: Link) -> None:
        """A replica became ready."""
        self._attached += 1
        self._lanes[link] = Lane(link, self._attached)
        self.pump()

    def sequences_at(self, link: Link) -> int:
        """How many sequences a replica keeps the state of."""
        lane = self._lanes.get(link)
        return 0 if lane is None or self._turns is None else self._turns.at(lane.number)

    def detach(self, link: Link) -> None:
        """Send no more to a replica; what it has, it still answers."""
        lane = self._lanes.get(link)
        if lane is not None:
            lane.closed = True

    def lost(self, link: Link) -> None:
        """A replica is dead. Its oldest batch may have begun, the others have not."""
        lane = self._lanes.pop(link, None)
        if lane is None or self._batcher is None:
            return
        now = self._clock()
        for work in reversed(lane.works[1:]):
            self._batcher.give_back(work.taken, now)
        if lane.works:
            work = lane.works[0]
            if work.streams is not None:
                self._responses.ended(work.streams, now, ReplicaLost("its replica ended"))
            self._batcher.lost(work.taken, now)
        if self._turns is not None:
            self._turns.lose(lane.number)
            self._batcher.desert(lane.number, self._loss)
        self._settle(now)
        self.pump()

    def returned(self, link: Link, work: Work) -> None:
        """A batch comes back that has not begun and will not."""
        now = self._clock()
        if self._batcher is not None and self._landed(link, work, now):
            self._batcher.give_back(work.taken, now)
            self._settle(now)
            self.pump()

    def finished(self, link: Link, work: Work, outcome: BatchResult | TidegateError, infer_seconds: float) -> None:
        """A replica has answered; the model took ``infer_seconds`` of the time."""
        batcher = self._batcher
        now = self._clock()
        seconds = now - work.began
        if batcher is None or not self._landed(link, work, now):
            return
        if isinstance(outcome, BatchResult):
            if work.idle:
                self._lanes[link].handover.observe(now - work.sent, infer_seconds)
            self._answered(batcher, work, outcome, now, seconds, infer_seconds)
        else:
            if work.streams is not None:
                self._responses.ended(work.streams, now, outcome)
            batcher.fail(work.taken, outcome, now, seconds)
        self.pump()

    def responded(self, link: Link, work: Work, response: BatchResult, infer_seconds: float) -> None:
        """A replica has sent one response of a stream; the model took ``infer_seconds`` for it."""
        pending = work.taken.parts[0].item.payload
        batcher, progress = self._batcher, work.streams
        if batcher is None or progress is None or pending.responses is None or not batcher.begin(work.taken):
            response.release()
            return
        self._responses.responded(progress, self._clock(), infer_seconds)
        pending.responses.put(response)

    def pump(self, link: Link | None = None) -> None:
        """Hand out what waits, in the next turn of the loop. ``link`` has got memory back."""
        lane = None if link is None else self._lanes.get(link)
        if lane is not None:
            lane.blocked = False
        if self._pumping is None:
            self._pumping = asyncio.get_running_loop().call_soon(self._pump)

    def refuse(self, refusal: Callable[[], TidegateError] | None) -> None:
        """Answer everything that waits, and all that comes, with this error; None takes requests again."""
        self._refusal = refusal
        if refusal is not None and self._batcher is not None:
            self._settle(self._clock())

    def _pump(self) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
            self._pumping = None
        batcher = self._batcher
        if batcher is None:
            return
        now = self._clock()
        batcher.expire(now)
        while batcher.waiting and self._turns is None:
            # One that is given a stream is busy for nobody knows how long: nothing is to wait behind it.
            lane, idle = choose(self._lanes.values(), now, behind=not self._streams)
            if lane is None:
                break
            frees_at = None if idle else lane.frees_at
            taken = batcher.take(now, idle=idle, frees_at=frees_at, handover=lane.handover.seconds)
            if taken is None:
                break
            self._hand(batcher, lane, taken, now)
        if self._turns is not None:
            self._pump_steps(batcher, self._turns, now)
        self._settle(now)

    def _pump_steps(self, batcher: Batcher[Pending], turns: Turns, now: float) -> None:
        """Each idle replica gets a step of a sequence that it keeps, or of a new one: first who keeps the fewest."""
        for lane in sorted(self._lanes.values(), key=lambda lane: turns.at(lane.number)):
            while batcher.waiting and lane.open and not lane.works:
                taken = batcher.take(now, idle=1, place=lane.number)
                if taken is None:
                    break
                self._hand(batcher, lane, taken, now)

    def _loss(self, pending: Pending) -> TidegateError:
        assert self._turns is not None
        assert pending.sequence is not None
        return self._turns.loss(pending.sequence)

    def _hand(self, batcher: Batcher[Pending], lane: Lane, taken: batching.Batch[Pending], now: float) -> None:
        """Send a batch, or answer it here where it cannot be sent, or let it wait again where there is no memory."""
        begun = self._clock()
        try:
            work = Work(taken, assemble(taken, self._padding), Progress() if self._streams else None)
            sent = lane.link.execute(work)
        except TidegateError as error:
            batcher.fail(taken, error, now, 0.0)
            return
        except Exception:
            log.exception("a batch for model %s could not be made", self._model)
            batcher.fail(taken, InternalError(), now, 0.0)
            return
        if not sent:
            batcher.give_back(taken, now)
            lane.blocked = True
            return
        work.idle = not lane.works
        work.sent = work.began = self._clock()
        work.written = work.sent - begun
        if work.streams is not None:
            work.streams.since = work.sent
        lane.works.append(work)
        sequence = taken.parts[0].item.payload.sequence
        if self._turns is not None and sequence is not None:
            self._turns.place(sequence, lane.number)

    def _landed(self, link: Link, work: Work, now: float) -> bool:
        """A batch is off its link, and the one behind it begins; False where the link was given up before."""
        lane = self._lanes.get(link)
        if lane is None or work not in lane.works:
            return False
        lane.works.remove(work)
        lane.blocked = False
        if lane.works:
            lane.works[0].began = max(lane.works[0].began, now)
        return True

    def _answered(
        self,
        batcher: Batcher[Pending],
        work: Work,
        result: BatchResult,
        now: float,
        seconds: float,
        infer_seconds: float,
    ) -> None:
        try:
            outputs = scatter(work.taken, result)
        except TidegateError as error:
            result.release()
            batcher.fail(work.taken, error, now, seconds)
            return
        if work.streams is not None:
            self._responses.ended(work.streams, now, None)
        spent = (work.written, infer_seconds, max(0.0, seconds - infer_seconds))
        self._executions.count(work.taken.size, *spent)
        wanted = batcher.complete(work.taken, now, seconds)
        if wanted:
            self._executions.answered(wanted, *spent)
            self._last_inference = time.time()
        answer(work.taken.parts, wanted, outputs, result)

    def _admitting(self) -> Batcher[Pending]:
        if self._refusal is not None:
            raise self._refusal()
        if self._batcher is None:
            raise ModelNotReady(self._model, "it has not been loaded yet", retry_after=1.0)
        return self._batcher

    def _item(
        self, request: InferRequest, deadline: float, caller: Caller, sequence: Sequence[int] | None = None
    ) -> Item[Pending]:
        pending = Pending(request, asyncio.get_running_loop().create_future())
        rows = request.inputs[0].shape[0] if self._batches else 1
        if sequence is None:
            return Item(pending, key_of(request, self._padding), rows, pending.nbytes, deadline, caller)
        pending.sequence = sequence
        plain = msgspec.structs.replace(request, parameters=without_step(request.parameters))
        key = Pinned(sequence.place, key_of(plain, self._padding))
        return Item(pending, key, rows, pending.nbytes, deadline, caller)

    def _offer(self, batcher: Batcher[Pending], item: Item[Pending]) -> None:
        now = self._clock()
        crowded = batcher.crowded(item, now)
        if crowded and self._pumping is not None:
            self._pump()  # what came before it in this turn of the loop may not have to wait
            now = self._clock()
        batcher.offer(item, now, busy=crowded and all(lane.works for lane in self._lanes.values()))
        self.pump()

    def _withdraw(self, batcher: Batcher[Pending], item: Item[Pending]) -> None:
        """The caller is gone, at whatever point the request is."""
        future = item.payload.future
        if future.done() and not future.cancelled() and future.exception() is None:
            future.result().release()  # answered in the same turn of the loop
        if item.answered:
            return
        batcher.cancel(item, self._clock())
        self._unwanted(item)
        self.pump()

    def _unwanted(self, item: Item[Pending]) -> None:
        """Spare the replicas the batches in which nobody but this request was waited for."""
        if not item.taken:
            return
        for lane in self._lanes.values():
            for work in lane.works:
                if all(part.item.answered for part in work.taken.parts):
                    lane.link.cancel(work)

    def _settle(self, now: float) -> None:
        """Answer what has failed, and see to it that the next deadline is kept."""
        batcher = self._batcher
        if batcher is None:
            return
        if self._refusal is not None and batcher.waiting:
            batcher.refuse(self._refusal, now)  # what came back from a replica, too
        for item, error in batcher.failures():
            if not item.payload.future.done():
                item.payload.future.set_exception(error)
            self._unwanted(item)
        self._arm(batcher.next_wake(), now)

    def _arm(self, wake_at: float, now: float) -> None:
        """Pump at ``wake_at`` at the latest. A timer that is too early stays: it costs less than to set it anew."""
        if wake_at >= self._wake_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = wake_at
        self._timer = asyncio.get_running_loop().call_later(max(wake_at - now, 0.0) + _TICK, self._woken)

    def _woken(self) -> None:
        self._timer, self._wake_at = None, inf
        self.pump()
