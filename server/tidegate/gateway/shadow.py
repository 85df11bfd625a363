"""Copies of requests to a revision that answers nobody, whose outputs are held against those that the callers got.

A copy can neither delay nor fail an answer. It is made once the answer is known to be a result, and nobody waits for
it: it stands in a queue of its own, bounded in copies and in bytes, few of them are sent at a time, with the lowest
priority and a deadline of their own, and one for which there is no room is dropped and counted. What an answer costs
more is the copying of its outputs, whose memory the replica wants back; so that one is bounded, too.

Large outputs are compared in a thread, which the copies have for themselves: the gateway's other threads compress
answers, and none of those shall wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import NamedTuple

import msgspec

from tidegate.analysis.evidence import add
from tidegate.analysis.histogram import Histogram
from tidegate.analysis.observation import Comparison
from tidegate.analysis.outputs import compare
from tidegate.gateway.backend import Answer, Backend, Caller
from tidegate.gateway.fault import is_refusal
from tidegate.gateway.owned import owned
from tidegate.gateway.shadow_settings import ShadowSettings
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.messages import InferRequest, InferResponse
from tidegate.protocol.tensors import Buffer, Tensor
from tidegate.protocol.validation import check_request
from tidegate.telemetry.metrics import ShadowMetrics

log = logging.getLogger(__name__)

OFF_LOOP = 64 * 1024
"""Bytes of both sides' outputs from which they are compared in a thread: what takes about half a millisecond."""
COPY_BYTES = 4096
"""What a copy takes beside its tensors and texts, roughly."""


class Copy(NamedTuple):
    """One request, and what its caller was answered, over memory of its own."""

    request: InferRequest
    outputs: tuple[Tensor, ...]
    nbytes: int
    deadline: float


class Shadows:
    """All of a server's: what they hold together, and the thread in which they compare. From the first to ``close``.

    ``caller`` is whom copies come from, as far as the queue of a shadow is concerned.
    """

    def __init__(self, settings: ShadowSettings, caller: Caller) -> None:
        self.settings = settings
        self.caller = caller
        self.held = 0
        """Bytes of all copies."""
        self.closed = False
        self._all: set[Shadow] = set()
        self._thread: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"<Shadows {len(self._all)}, {self.held} bytes held>"

    def open(self, metrics: ShadowMetrics, tolerance: tuple[float, float]) -> Shadow:
        """A shadow that nothing is sent to yet. It is to be ended."""
        shadow = Shadow(self, metrics, tolerance)
        self._all.add(shadow)
        return shadow

    def has_room(self, nbytes: int) -> bool:
        """Whether a copy of that size may be made."""
        within = nbytes <= self.settings.max_copy_bytes and self.held + nbytes <= self.settings.max_bytes
        return within and not self.closed

    async def off_loop(
        self, stable: tuple[Tensor, ...], shadow: tuple[Tensor, ...], rtol: float, atol: float
    ) -> Comparison:
        """Compare outputs in the thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "shadow")
        work = partial(compare, stable, shadow, rtol, atol)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def forget(self, shadow: Shadow) -> None:
        """It has ended."""
        self._all.discard(shadow)

    async def close(self) -> None:
        """Give up all copies at once, and make no more. Returns once none of their tasks is left."""
        self.closed = True
        tasks = [task for shadow in list(self._all) for task in shadow.end()]
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


class Shadow:
    """One revision that gets copies. ``answered`` and ``failed`` count as a revision's requests do.

    ``lead`` tells what answers for it at the moment, and how far its outputs may be from the callers'.
    """

    def __init__(self, owner: Shadows, metrics: ShadowMetrics, tolerance: tuple[float, float]) -> None:
        self.failed = 0
        self.dropped = 0
        self.latency = Histogram()
        """Of copies that brought outputs: seconds from their being sent to their answer."""
        self._owner = owner
        self._metrics = metrics
        self._tolerance = tolerance
        self._backend: Backend | None = None
        self._compared = Comparison()
        self._waiting: deque[Copy] = deque()
        self._senders: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Shadow {self.waiting} wait, {self.sent} are sent>"

    @property
    def waiting(self) -> int:
        """Copies that wait to be sent."""
        return len(self._waiting)

    @property
    def sent(self) -> int:
        """Copies at the shadow, or being compared."""
        return len(self._senders)

    @property
    def comparison(self) -> Comparison:
        """What has come of the copies by now."""
        return msgspec.structs.replace(self._compared, failed=self.failed, dropped=self.dropped)

    def lead(self, backend: Backend | None, tolerance: tuple[float, float]) -> None:
        """Copies go here from now on, and nowhere if it is None; those that are at another are given up."""
        self._tolerance = tolerance
        if backend is not self._backend:
            self._abandon()
            self._backend = backend

    def copy(self, request: InferRequest, response: InferResponse) -> None:
        """Copy a request that got this response, unless there is no room. The response may be released after it."""
        try:
            self._copy(request, response)
        except Exception:  # MemoryError, above all: the answer stands, whatever becomes of its copy
            log.exception("a request for model %s could not be copied", request.model_name)
            self._drop()

    def _copy(self, request: InferRequest, response: InferResponse) -> None:
        nbytes = copy_bytes(request, response.outputs)
        settings = self._owner.settings
        if self._backend is None or len(self._waiting) >= settings.max_queue or not self._owner.has_room(nbytes):
            self._drop()
            return
        outputs = tuple([msgspec.structs.replace(tensor, data=bytes(tensor.data)) for tensor in response.outputs])
        loop = asyncio.get_running_loop()
        self._waiting.append(Copy(request, outputs, nbytes, loop.time() + settings.timeout))
        self._owner.held += nbytes
        self._start(loop)

    def end(self) -> list[asyncio.Task[None]]:
        """Give up all copies at once; returns the tasks that are ending by it."""
        ending = self._abandon()
        self._backend = None
        self._owner.forget(self)
        return ending

    def _abandon(self) -> list[asyncio.Task[None]]:
        while self._waiting:
            self._gone(self._waiting.popleft())
            self._drop()
        ending = list(self._senders)
        for sender in ending:
            sender.cancel()
        return ending

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and len(self._senders) < self._owner.settings.max_inflight:
            sender = loop.create_task(self._send_all(), name="shadow")
            self._senders.add(sender)
            sender.add_done_callback(self._sent)

    def _sent(self, sender: asyncio.Task[None]) -> None:
        """A sender is over. What came between its last look at the queue and this still waits."""
        self._senders.discard(sender)
        self._start(sender.get_loop())

    def _gone(self, copy: Copy) -> None:
        self._owner.held -= copy.nbytes

    def _drop(self) -> None:
        self.dropped += 1
        self._metrics.dropped()

    async def _send_all(self) -> None:
        """Send what waits, one after the other, until nothing does."""
        while self._waiting:
            copy = self._waiting.popleft()
            try:
                await self._send(copy)
            except asyncio.CancelledError:
                self._drop()
                raise
            finally:
                self._gone(copy)

    async def _send(self, copy: Copy) -> None:
        """Send one copy, and count what comes of it."""
        try:
            compared = await self._outcome(copy)
        except TidegateError as error:
            if is_refusal(error):
                self._drop()
                return
            self._fail()
        except Exception:
            log.exception("unexpected error while a shadow of model %s answered", copy.request.model_name)
            self._fail()
        else:
            if compared is None:
                self._drop()
                return
            self._compared = add(self._compared, compared)
            self._metrics.compared(different=bool(compared.different))

    def _fail(self) -> None:
        self.failed += 1
        self._metrics.failed()

    async def _outcome(self, copy: Copy) -> Comparison | None:
        """The comparison; None where there is none for want of room, of time, or of a model that has one answer."""
        backend = self._backend
        signature = None if backend is None else backend.metadata
        if backend is None or signature is None or signature.decoupled or signature.stateful:
            return None
        if asyncio.get_running_loop().time() >= copy.deadline:
            return None
        check_request(copy.request, signature)  # else the model of today has taken what this one does not
        began = perf_counter()
        answer = await backend.infer(copy.request, copy.deadline, self._owner.caller)
        self.latency.add(perf_counter() - began)
        return await self._held_against(copy, answer)

    async def _held_against(self, copy: Copy, answer: Answer) -> Comparison | None:
        rtol, atol = self._tolerance
        outputs = answer.response.outputs
        nbytes = sum([tensor.nbytes for tensor in outputs])
        if nbytes + sum([tensor.nbytes for tensor in copy.outputs]) <= OFF_LOOP:
            try:
                return compare(copy.outputs, outputs, rtol, atol)
            finally:
                answer.release()
        if nbytes > self._owner.settings.max_copy_bytes:
            answer.release()
            return None
        kept = owned(answer)  # the thread may go on reading after this task was cancelled
        return await self._owner.off_loop(copy.outputs, kept.outputs, rtol, atol)


def copy_bytes(request: InferRequest, outputs: Iterable[Tensor]) -> int:
    """Memory that a copy keeps: of an input that is a view, all that the view is of."""
    texts = sum([len(value) for value in request.parameters.values() if isinstance(value, str)])
    kept = dict([_kept(tensor.data) for tensor in request.inputs])  # several may be views of one body
    return COPY_BYTES + texts + sum(kept.values()) + sum([tensor.nbytes for tensor in outputs])


def _kept(data: Buffer) -> tuple[int, int]:
    """The memory that data keeps alive: by what it is known, and its bytes."""
    if isinstance(data, memoryview):
        return id(data.obj), memoryview(data.obj).nbytes
    return id(data), len(data)
