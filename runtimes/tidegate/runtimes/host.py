"""A worker's inside: the models it holds, the gateways connected to it, and the one thread that computes.

The event loop takes frames and answers pings, also while a model computes; loading and predicting happen in the
compute thread, in the order in which they came. Everything that a gateway asks for is answered exactly once, by a
result or by an error, cancelled requests included: the answer is how the gateway knows that its slot is free again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import os
import socket
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from tidegate.protocol.errors import (
    ExecutionFailed,
    InternalError,
    OutOfMemory,
    RequestCancelled,
    ShuttingDown,
    TidegateError,
    shown,
)
from tidegate.protocol.tensors import Buffer, Tensor
from tidegate.runtimes.catalogue import find
from tidegate.runtimes.channel import Channel
from tidegate.runtimes.execution import MESSAGE_LENGTH, described, execute
from tidegate.runtimes.exhaustion import out_of_memory
from tidegate.runtimes.frames import (
    ChannelBroken,
    Content,
    Error,
    Forget,
    Frame,
    FrameTooLarge,
    Hello,
    Kind,
    Load,
    Loaded,
    Placed,
    Predict,
    Result,
    Statistics,
)
from tidegate.runtimes.memory import anonymous_memory, layout
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.runtimes.slots import SlotMap
from tidegate.runtimes.warm_up import warm_up
from tidegate.runtimes.watchdog import Watchdog

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0


class Held:
    """A model in this worker, and the load that brought it."""

    def __init__(self, load: Load, model: Model, seconds: float) -> None:
        self.load = load
        self.model = model
        self.seconds = seconds


class Job:
    """Something for the compute thread. ``memory`` is the slot's, where the request came with one."""

    __slots__ = ("cancelled", "frame", "memory", "peer")

    def __init__(self, peer: Peer, frame: Frame, memory: mmap.mmap | None) -> None:
        self.peer = peer
        self.frame = frame
        self.memory = memory
        self.cancelled = False


class Peer:
    """One connected gateway."""

    def __init__(self, host: Host, connected: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self.channel = Channel(connected, loop, self._received, self._gone)
        self.jobs: dict[int, Job] = {}
        self.slots = SlotMap()

    def start(self) -> None:
        self.channel.start()
        self.channel.send(Frame(Kind.HELLO, content=Hello(os.getpid())))

    def answer(
        self,
        job: Job,
        kind: Kind,
        content: Content | None = None,
        tensors: Buffer = b"",
        descriptors: tuple[int, ...] = (),
    ) -> None:
        """Send the one answer of a job; called in the compute thread, or in the loop for what is refused."""
        frame = job.frame
        self.jobs.pop(frame.request, None)
        self._host.done(job)
        self.channel.send(Frame(kind, frame.request, frame.model, content, tensors, len(descriptors)), descriptors)

    def refuse(self, job: Job, error: TidegateError) -> None:
        # A model may raise these, too, with any text; a frame must be able to carry it.
        content = Error(type(error).__name__, shown(error.message, MESSAGE_LENGTH), error.retry_after)
        self.answer(job, Kind.ERROR, content)

    def _received(self, frame: Frame, descriptors: list[int]) -> None:
        try:
            self._take(frame, descriptors[0] if descriptors else None)
        finally:
            for number in descriptors:
                os.close(number)

    def _take(self, frame: Frame, descriptor: int | None) -> None:
        kind, content = frame.kind, frame.content
        if kind is Kind.PREDICT or kind is Kind.LOAD or kind is Kind.UNLOAD:
            memory = None
            if isinstance(content, Predict) and content.slot is not None:
                memory = self.slots.memory(content.slot, descriptor)
            job = Job(self, frame, memory)
            self.jobs[frame.request] = job
            self._host.submit(job)
        elif kind is Kind.CANCEL:
            if (queued := self.jobs.get(frame.request)) is not None:
                queued.cancelled = True
        elif kind is Kind.PING:
            self.channel.send(Frame(Kind.PONG, frame.request))
        elif kind is Kind.STATISTICS:
            self.channel.send(Frame(Kind.STATISTICS, frame.request, content=self._host.statistics()))
        elif isinstance(content, Forget):
            self.slots.forget(content.slots)
        else:
            raise ChannelBroken(f"a gateway does not send frames of kind {kind.name}")

    def _gone(self, error: ChannelBroken) -> None:
        log.info("a gateway is gone: %s", error)
        for job in list(self.jobs.values()):  # in one step: the compute thread takes out what it has answered
            job.cancelled = True
        self.slots = SlotMap()
        self._host.peers.discard(self)


class Host:
    """``listener`` is bound and listens. The time-outs, in seconds, are for ``watchdog``: they end a worker whose
    interpreter is stuck in the midst of a request, or while a model is loaded, which may rightly take longer.
    """

    def __init__(self, listener: socket.socket, hang_timeout: float, load_timeout: float) -> None:
        self._listener = listener
        self._hang_timeout = hang_timeout
        self._load_timeout = load_timeout
        self._models: dict[int, Held] = {}
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._taken: set[Job] = set()  # the loop adds, the compute thread takes out; each in one step
        self._executed = 0
        self._busy_seconds = 0.0
        self._draining = False
        self.peers: set[Peer] = set()

    async def serve(self) -> None:
        """Serve until ``drain`` was called and everything taken before it has been answered."""
        self._loop = asyncio.get_running_loop()
        self._watchdog = Watchdog(self._loop, self._patience)
        self._done = asyncio.Event()
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        threading.Thread(target=self._compute, name="compute", daemon=True).start()
        await self._done.wait()
        for peer in list(self.peers):
            peer.channel.finish(_FLUSH_SECONDS)

    def drain(self) -> None:
        """Take nothing more; finish what was taken. Called in the loop."""
        if self._draining:
            return
        self._draining = True
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for peer in self.peers:
            peer.channel.send(Frame(Kind.DRAIN))
        self._jobs.put(None)

    def submit(self, job: Job) -> None:
        """Queue a job for the compute thread. Called in the loop."""
        if self._draining:
            job.peer.refuse(job, ShuttingDown())
            return
        self._taken.add(job)
        self._watchdog.wake()
        self._jobs.put(job)  # last: from here on both threads want the interpreter

    def done(self, job: Job) -> None:
        """A job is being answered, in whatever thread."""
        self._taken.discard(job)

    def statistics(self) -> Statistics:
        return Statistics(self._executed, self._jobs.qsize(), self._busy_seconds)

    def _patience(self) -> float:
        if not self._taken:
            return 0.0
        loading = any(job.frame.kind is Kind.LOAD for job in list(self._taken))
        return self._load_timeout if loading else self._hang_timeout

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        peer = Peer(self, connected, self._loop)
        self.peers.add(peer)
        peer.start()

    # The compute thread

    def _compute(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                self._perform(job)
                del job  # or the last request's tensors stay alive until the next one comes
            for held in self._models.values():
                self._close(held)
        except BaseException:  # not even an error could be sent: no memory is left. Nobody else would ever answer
            log.critical("the compute thread ended", exc_info=True)
            os._exit(1)
        self._loop.call_soon_threadsafe(self._done.set)

    def _perform(self, job: Job) -> None:
        try:
            if job.cancelled:
                raise RequestCancelled("cancelled before it began")
            if job.frame.kind is Kind.LOAD:
                self._load(job)
            elif job.frame.kind is Kind.UNLOAD:
                self._unload(job)
            else:
                self._predict(job)
        except TidegateError as error:
            job.peer.refuse(job, error)
        except FrameTooLarge as error:
            job.peer.refuse(job, ExecutionFailed(f"the answer is too large: {error}"))
        except BaseException as error:  # nothing may end this thread; the gateway reads what happened
            log.exception("a job failed")
            # Converting or placing an answer takes memory, too.
            kind = OutOfMemory if out_of_memory(error) else InternalError
            job.peer.refuse(job, kind(described(error)))

    def _load(self, job: Job) -> None:
        load = job.frame.content
        assert isinstance(load, Load)
        held = self._models.get(job.frame.model)
        if held is None:
            artifact = Artifact(
                name=load.name,
                version=load.version,
                path=Path(load.path),
                trusted=load.trusted,
                threads=load.threads,
                options=load.options,
                inputs=load.inputs,
                outputs=load.outputs,
                device=load.device,
                warm_up=load.warm_up,
            )
            start = time.monotonic()
            model = find(load.runtime).load(artifact)
            held = Held(load, model, 0.0)
            try:
                warm_up(model, artifact.warm_up)
            except BaseException:
                self._close(held)
                raise
            held.seconds = time.monotonic() - start
            self._models[job.frame.model] = held
            gc.collect()
            gc.freeze()  # what the framework and the model made lives for ever; no collection has to walk it again
        elif held.load != load:
            raise InternalError(f"model id {job.frame.model} is taken by '{held.load.name}'")
        job.peer.answer(job, Kind.LOADED, Loaded(held.model.metadata, held.seconds))

    def _unload(self, job: Job) -> None:
        held = self._models.pop(job.frame.model, None)
        if held is not None:
            self._close(held)
        job.peer.answer(job, Kind.UNLOADED)

    def _close(self, held: Held) -> None:
        try:
            held.model.close()
        except BaseException:  # the model's own, SystemExit too; there is nobody left to answer it
            log.exception("closing model %s failed", held.load.name)

    def _predict(self, job: Job) -> None:
        predict = job.frame.content
        assert isinstance(predict, Predict)
        held = self._models.get(job.frame.model)
        if held is None:
            raise InternalError(f"no model has the id {job.frame.model}")
        base = memoryview(job.memory or b"").toreadonly() if predict.shared else memoryview(job.frame.tensors)
        inputs = [Tensor(p.name, p.datatype, p.shape, base[p.offset : p.offset + p.nbytes]) for p in predict.inputs]
        start = time.monotonic()
        try:
            outputs = execute(held.model, inputs, predict.outputs, predict.parameters)
        finally:
            seconds = time.monotonic() - start
            self._executed += 1
            self._busy_seconds += seconds
        self._send_result(job, predict, outputs, seconds)

    def _send_result(self, job: Job, predict: Predict, outputs: list[Tensor], seconds: float) -> None:
        sizes = [tensor.nbytes for tensor in outputs]
        offsets, total = layout(sizes)
        if total <= predict.inline_bytes:
            inline = bytearray(total)
            placed = place(outputs, offsets, memoryview(inline))
            job.peer.answer(job, Kind.RESULT, Result(placed, seconds), inline)
            return
        slot_offsets, end = layout(sizes, predict.room)
        if predict.slot is not None and job.memory is not None and end <= predict.slot.size:
            placed = place(outputs, slot_offsets, memoryview(job.memory))
            job.peer.answer(job, Kind.RESULT, Result(placed, seconds, predict.slot))
            return
        descriptor = anonymous_memory(total)
        try:
            with mmap.mmap(descriptor, total) as memory, memoryview(memory) as view:
                placed = place(outputs, offsets, view)
            job.peer.answer(job, Kind.RESULT, Result(placed, seconds), descriptors=(descriptor,))
        finally:
            os.close(descriptor)


def place(tensors: list[Tensor], offsets: list[int], memory: memoryview) -> tuple[Placed, ...]:
    """Copy tensors to their places in ``memory``."""
    placed: list[Placed] = []
    for tensor, offset in zip(tensors, offsets, strict=True):
        end = offset + tensor.nbytes
        memory[offset:end] = tensor.data
        placed.append(Placed(tensor.name, tensor.datatype, tensor.shape, offset, tensor.nbytes))
    return tuple(placed)
