"""The gateway's half of a channel: requests sent to one worker, the slots they lie in, and what comes back.

A slot belongs to a request until the worker has answered it or is dead; a cancelled request keeps its slot until
then, for the worker may be reading it or writing into it. What a worker sends is checked before it is believed: it
runs somebody's code.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tidegate.protocol import errors
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, InvalidRequest, Overloaded, TidegateError
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.batch import BatchResult, write
from tidegate.replicas.lane import Work
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.channel import Channel
from tidegate.runtimes.frames import (
    Acknowledge,
    ChannelBroken,
    Content,
    Error,
    Forget,
    Frame,
    FrameTooLarge,
    Kind,
    Load,
    Loaded,
    Partial,
    Placed,
    Predict,
    Result,
    Window,
)
from tidegate.runtimes.memory import aligned, layout, map_memory
from tidegate.runtimes.slots import Slot, SlotPool, size_class

_MODEL = 1
"""The one model that a worker holds for now."""

_KINDS: dict[str, type[TidegateError]] = {
    "ExecutionFailed": ExecutionFailed,
    "FrameworkMissing": errors.FrameworkMissing,
    "InvalidRequest": InvalidRequest,
    "InvalidTensor": InvalidRequest,  # its message names the tensor already
    "ModelLoadFailed": errors.ModelLoadFailed,
    "OutOfMemory": errors.OutOfMemory,
    "RequestCancelled": errors.RequestCancelled,
    "Unavailable": errors.Unavailable,
    "Unsupported": errors.Unsupported,
    "UntrustedModel": errors.UntrustedModel,
}
"""What a worker may say, and what a caller is told; anything else is the model's failure."""


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def finished(
        self, link: Connection, work: Work, outcome: BatchResult | TidegateError, infer_seconds: float
    ) -> None: ...

    def returned(self, link: Connection, work: Work) -> None: ...

    def responded(self, link: Connection, work: Work, response: BatchResult, infer_seconds: float) -> None: ...

    def pump(self, link: Connection) -> None: ...


class Running:
    """A batch at the worker. Of a stream ``received`` responses have come, and ``unread`` are not released yet."""

    __slots__ = ("cancelled", "nbytes", "received", "slot", "unread", "work")

    def __init__(self, work: Work, slot: Slot | None, nbytes: int) -> None:
        self.work = work
        self.slot = slot
        self.nbytes = nbytes
        self.cancelled = False
        self.received = 0
        self.unread = 0


class Connection:
    """One worker, as a link of the dispatcher. ``on_work`` is called whenever it gets something to do."""

    def __init__(self, settings: ReplicaSettings, owner: Owner, on_work: Callable[[], None]) -> None:
        self._settings = settings
        self._owner = owner
        self._on_work = on_work
        self._slots = SlotPool(settings.slot_bytes, settings.idle_slot_bytes)
        self._running: dict[int, Running] = {}
        self._numbers = 0
        self._expected: dict[int, int] = {}
        self._asked: dict[int, asyncio.Future[Content | None]] = {}
        self.answered = 0
        self.draining = False
        self.executing_since: float | None = None
        self.unanswered_since: float | None = None
        self.leaving_since: float | None = None

    def __repr__(self) -> str:
        return f"<Connection {len(self._running)} running, {self._slots!r}>"

    def open(self, connected: socket.socket, on_broken: Callable[[ChannelBroken], None]) -> None:
        """Begin to use a connected socket. ``on_broken`` is called when the worker goes away or talks nonsense."""
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(connected, self._loop, self._received, on_broken)
        self._idle = asyncio.Event()
        self._idle.set()
        self._channel.start()

    @property
    def free(self) -> int:
        return 0 if self.draining else self._settings.credits - len(self._running)

    @property
    def inflight(self) -> int:
        return len(self._running)

    async def load(self, load: Load) -> Loaded:
        """Have the worker load its model.

        Raises:
            TidegateError: ModelLoadFailed and its kinds, or what went wrong otherwise.
        """
        content = await self._ask(Kind.LOAD, load)
        if not isinstance(content, Loaded):
            raise ChannelBroken("the worker answered a load with something else")
        return content

    def ping(self) -> None:
        """Ask for a sign of life, unless one is outstanding."""
        if self.unanswered_since is None:
            self.unanswered_since = self._loop.time()
            self._channel.send(Frame(Kind.PING))

    async def drained(self) -> None:
        """Return once nothing is at the worker any more."""
        await self._idle.wait()

    def execute(self, work: Work) -> bool:
        if self._channel.closed:
            return False
        batch = work.batch
        offsets, end = layout([tensor.nbytes for tensor in batch.tensors])
        shared = end > self._settings.inline_bytes
        room = aligned(end) if shared else 0
        try:
            slot = self._slot(end, room, shared)
        except OSError as error:
            raise Overloaded(f"no shared memory for a request of {end} bytes: {error.strerror}") from error
        if slot is None and shared:
            return False
        inline = b"" if shared else bytearray(end)
        write(batch.tensors, offsets, memoryview(slot.memory if slot is not None and shared else inline))
        placed = tuple(
            Placed(tensor.name, tensor.datatype, tensor.shape, offset, tensor.nbytes)
            for tensor, offset in zip(batch.tensors, offsets, strict=True)
        )
        use = None if slot is None else slot.use
        parameters = dict(batch.parameters)
        window = Window(self._settings.stream_responses, self._settings.stream_bytes) if work.streams else None
        predict = Predict(placed, batch.outputs, parameters, self._settings.inline_bytes, use, shared, room, window)
        self._send(work, predict, slot, inline, end)
        return True

    def cancel(self, work: Work) -> None:
        for number, running in self._running.items():
            if running.work is work:
                if not running.cancelled:
                    running.cancelled = True
                    self._channel.send(Frame(Kind.CANCEL, number, _MODEL))
                return

    def abandon(self) -> None:
        """Take what the worker has still said, and close.

        Only for a worker that is dead: its slots are used again from here on.
        """
        self.draining = True  # an answer that is still read here must not bring in the next request
        if not self._channel.closed:
            self._channel.read_rest()
            self._channel.close()
        running = list(self._running.values())
        self._running.clear()
        self._idle.set()
        for future in self._asked.values():
            future.cancel()
        for one in running:
            if one.slot is not None:
                self._slots.release(one.slot)
        self._slots.close()

    def _slot(self, nbytes: int, room: int, shared: bool) -> Slot | None:
        """The slot of a request: for its inputs, for outputs as large as such requests had lately, or for both."""
        expected = self._expected.get(size_class(nbytes), 0)
        need = room + expected if shared else expected
        if not need:
            return None
        slot, dropped = self._slots.acquire(need)
        self._forget(dropped)
        return slot

    def _send(self, work: Work, predict: Predict, slot: Slot | None, inline: bytes | bytearray, nbytes: int) -> None:
        self._numbers += 1
        fresh = slot is not None and not slot.announced
        frame = Frame(Kind.PREDICT, self._numbers, _MODEL, predict, inline, int(fresh))
        try:
            self._channel.send(frame, (slot.descriptor,) if slot is not None and fresh else ())
        except (FrameTooLarge, OverflowError, UnicodeEncodeError) as error:
            self._give_back(slot)
            raise InvalidRequest(f"the request's parameters cannot be handed to the model: {error}") from error
        if slot is not None:
            slot.announced = True
        if not self._running:
            self.executing_since = self._loop.time()
            self._idle.clear()
        self._running[self._numbers] = Running(work, slot, nbytes)
        self._on_work()

    async def _ask(self, kind: Kind, content: Content) -> Content | None:
        self._numbers += 1
        future: asyncio.Future[Content | None] = self._loop.create_future()
        self._asked[self._numbers] = future
        self._channel.send(Frame(kind, self._numbers, _MODEL, content))
        return await future

    def _received(self, frame: Frame, descriptors: list[int]) -> None:
        try:
            self._take(frame, descriptors)
        finally:
            for number in descriptors:
                os.close(number)

    def _take(self, frame: Frame, descriptors: list[int]) -> None:
        kind, content = frame.kind, frame.content
        if isinstance(content, Result):
            self._result(frame, content, descriptors)
        elif isinstance(content, Partial):
            self._partial(frame, content, descriptors)
        elif isinstance(content, Error):
            self._error(frame.request, content)
        elif kind is Kind.PONG:
            self.unanswered_since = None
        elif kind is Kind.LOADED:
            self._told(frame.request, content)
        elif kind is Kind.DRAIN:
            self.draining = True
            self.leaving_since = None if self._running else self._loop.time()
            self._on_work()
        elif kind is not Kind.HELLO:
            raise ChannelBroken(f"a worker does not send frames of kind {kind.name} unasked")

    def _told(self, request: int, outcome: Content | TidegateError | None) -> None:
        future = self._asked.pop(request, None)
        if future is None or future.done():
            return
        if isinstance(outcome, TidegateError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _result(self, frame: Frame, content: Result, descriptors: list[int]) -> None:
        running = self._running.get(frame.request)
        if running is None:
            return  # the answer to a request that nobody knows any more
        memory, slot = self._memory(frame, content, descriptors, running)
        if running.work.streams and content.outputs:
            raise ChannelBroken("the result of a stream has outputs")
        outputs = read(content.outputs, memory)
        self._learn(running, content.outputs)
        self._done(frame.request)
        if slot is None:
            self._give_back(running.slot)
            result = BatchResult(outputs)
        else:
            result = BatchResult(outputs, partial(self._give_back, slot, pump=True))
        self._owner.finished(self, running.work, result, sane(content.seconds))

    def _partial(self, frame: Frame, content: Partial, descriptors: list[int]) -> None:
        running = self._running.get(frame.request)
        if running is None:
            return
        if not running.work.streams or content.number != running.received:
            raise ChannelBroken(f"response {content.number} comes where {running.received} were, or to no stream")
        if running.unread >= self._settings.stream_responses:
            raise ChannelBroken("a stream does not wait for its responses to be read")
        memory, _ = self._memory(frame, content, descriptors, running)
        outputs = read(content.outputs, memory)
        running.received += 1
        running.unread += 1
        self.executing_since = None  # a model that waits for its reader is not held to the time for an execution
        response = BatchResult(outputs, partial(self._acknowledge, frame.request, content.number))
        self._owner.responded(self, running.work, response, sane(content.seconds))

    def _acknowledge(self, request: int, number: int) -> None:
        """A response is read."""
        running = self._running.get(request)
        if running is None or self._channel.closed:
            return
        running.unread -= 1
        if not running.unread:
            self.executing_since = self._loop.time()
        self._channel.send(Frame(Kind.ACKNOWLEDGE, request, _MODEL, Acknowledge(number)))

    def _memory(
        self, frame: Frame, content: Result | Partial, descriptors: list[int], running: Running
    ) -> tuple[memoryview, Slot | None]:
        """Where the outputs of an answer lie, and the slot, if it is there."""
        if isinstance(content, Result) and content.slot is not None:
            slot = running.slot
            if slot is None or content.slot != slot.use:
                raise ChannelBroken(f"an answer lies in {content.slot}, which is not its request's slot")
            return memoryview(slot.memory), slot
        if not descriptors:
            return memoryview(frame.tensors), None
        size = max((one.offset + one.nbytes for one in content.outputs), default=0)
        memory: mmap.mmap = map_memory(descriptors[0], size, writable=False)
        return memoryview(memory), None

    def _error(self, request: int, content: Error) -> None:
        running = self._running.get(request)
        kind = _KINDS.get(content.kind, ExecutionFailed)
        if running is None:
            # Only a ModelLoadFailed says that loading again would fail again; a MemoryError, for one, may pass.
            self._told(request, kind(content.message, retry_after=content.retry_after))
            return
        self._done(request)
        self._give_back(running.slot)
        if content.kind == errors.ShuttingDown.__name__:
            self._owner.returned(self, running.work)
        else:
            self._owner.finished(self, running.work, kind(content.message, retry_after=content.retry_after), 0.0)

    def _done(self, request: int) -> None:
        """A request is off the worker: the next one, if any, begins now."""
        del self._running[request]
        self.answered += 1
        if self._running:
            self.executing_since = self._loop.time()
        else:
            self.executing_since = None
            self.leaving_since = self._loop.time() if self.draining else None
            self._idle.set()

    def _learn(self, running: Running, outputs: tuple[Placed, ...]) -> None:
        """Remember how large the outputs for inputs of this size are; a large one is forgotten slowly."""
        _, size = layout([one.nbytes for one in outputs])
        key = size_class(running.nbytes)
        before = self._expected.get(key, 0)
        expected = size if size >= before else max(size, before - before // 16)
        if expected > self._settings.inline_bytes:
            self._expected[key] = expected
        else:
            self._expected.pop(key, None)

    def _give_back(self, slot: Slot | None, *, pump: bool = False) -> None:
        if slot is not None:
            self._forget(self._slots.release(slot))
            if pump:
                self._owner.pump(self)

    def _forget(self, dropped: list[int]) -> None:
        if dropped and not self._channel.closed:
            self._channel.send(Frame(Kind.FORGET, content=Forget(tuple(dropped))))


def sane(seconds: float) -> float:
    """A time that a worker tells, which may be anything, NaN too."""
    return seconds if seconds >= 0.0 else 0.0


def read(outputs: tuple[Placed, ...], memory: memoryview) -> tuple[Tensor, ...]:
    """Tensors over a worker's answer, read-only.

    Raises:
        ChannelBroken: one is not inside the memory, or not as large as its shape says.
    """
    view = memory.toreadonly()
    tensors: list[Tensor] = []
    for one in outputs:
        end = one.offset + one.nbytes
        if one.offset < 0 or one.nbytes < 0 or end > view.nbytes or min(one.shape, default=0) < 0:
            raise ChannelBroken(f"output '{one.name}' is not inside the memory of its answer")
        tensor = Tensor(one.name, one.datatype, one.shape, view[one.offset : end])
        if one.datatype is not Datatype.BYTES and tensor.count * one.datatype.itemsize != one.nbytes:
            raise ChannelBroken(f"output '{one.name}' has {one.nbytes} bytes for the shape {list(one.shape)}")
        tensors.append(tensor)
    return tuple(tensors)
