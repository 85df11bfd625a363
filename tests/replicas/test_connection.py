"""The gateway's half of the channel against a worker that the test plays itself, honest or not."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tidegate.batching.batch import Batch as Taken
from tidegate.batching.batch import Reason
from tidegate.batching.bucket import Bucket
from tidegate.batching.ceiling import Ceiling
from tidegate.batching.curve import Curve
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, InvalidRequest, ModelLoadFailed, TidegateError
from tidegate.protocol.messages import ModelMetadata
from tidegate.protocol.tensors import Buffer, Parameters, Tensor
from tidegate.replicas.batch import Batch, BatchResult, BatchTensor
from tidegate.replicas.connection import Connection
from tidegate.replicas.lane import Work
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.streams import Progress
from tidegate.runtimes.channel import Channel
from tidegate.runtimes.frames import (
    Acknowledge,
    ChannelBroken,
    Content,
    Error,
    Frame,
    Kind,
    Load,
    Loaded,
    Partial,
    Placed,
    Predict,
    Result,
    SlotUse,
    Window,
)
from tidegate.runtimes.memory import anonymous_memory

SMALL = np.arange(4, dtype=np.float32)
LARGE = np.arange(50_000, dtype=np.float32)


class Scene:
    """A connection, its owner, and the worker's end of the socket."""

    def __init__(self, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.outcomes: list[tuple[Work, BatchResult | TidegateError]] = []
        self.free_when_finished: list[int] = []
        self.came_back: list[Work] = []
        self.responses: asyncio.Queue[BatchResult] = asyncio.Queue()
        self.answered: dict[int, asyncio.Future[BatchResult | TidegateError]] = {}
        self.pumps = 0
        self.woken = 0
        self.received: asyncio.Queue[tuple[Frame, list[int]]] = asyncio.Queue()
        self.broken: asyncio.Future[ChannelBroken] = self.loop.create_future()
        ours, theirs = socket.socketpair()
        self.worker = Channel(theirs, self.loop, self._worker_received, lambda error: None)
        self.worker.start()
        self.connection = Connection(ReplicaSettings(**settings), self, self._wake)
        self.connection.open(ours, self.broken.set_result)

    def finished(
        self, link: Connection, work: Work, outcome: BatchResult | TidegateError, infer_seconds: float
    ) -> None:
        self.outcomes.append((work, outcome))
        self.free_when_finished.append(self.connection.free)
        self.answered.setdefault(id(work), self.loop.create_future()).set_result(outcome)

    def returned(self, link: Connection, work: Work) -> None:
        self.came_back.append(work)

    def responded(self, link: Connection, work: Work, response: BatchResult, infer_seconds: float) -> None:
        self.responses.put_nowait(response)

    def pump(self, link: Connection) -> None:
        self.pumps += 1

    def _wake(self) -> None:
        self.woken += 1

    def _worker_received(self, frame: Frame, descriptors: list[int]) -> None:
        self.received.put_nowait((frame, descriptors))

    def work(self, array: np.ndarray[Any, Any], parameters: Parameters | None = None, pieces: int = 1) -> Work:
        data = memoryview(array.tobytes())
        size = len(data) // pieces
        parts: tuple[Buffer, ...] = tuple(data[size * n : size * (n + 1)] for n in range(pieces))
        batch = Batch((BatchTensor("x", Datatype.FP32, array.shape, parts, len(data)),), (), parameters or {})
        taken: Taken[Any] = Taken(Bucket("k", Curve(60.0), Ceiling(60.0)), [], 1, 1, Reason.IDLE, 0.0)
        return Work(taken, batch)

    async def sent(self) -> Frame:
        """The next frame at the worker, its descriptors closed."""
        frame, descriptors = await self.received.get()
        for number in descriptors:
            os.close(number)
        return frame

    async def outcome(self, work: Work) -> BatchResult | TidegateError:
        return await self.answered.setdefault(id(work), self.loop.create_future())

    def answer(self, request: int, content: Content | None, tensors: Buffer = b"", kind: Kind = Kind.RESULT) -> None:
        self.worker.send(Frame(kind, request, 1, content, tensors))

    def close(self) -> None:
        self.connection.abandon()
        self.worker.close()


def run(main: Callable[[], Any]) -> None:
    """Drive a scene, and see that it leaves no descriptor."""
    before = len(os.listdir("/dev/fd"))
    asyncio.run(asyncio.wait_for(main(), 30))
    gc.collect()  # tracebacks of caught errors hold what the test mapped
    assert len(os.listdir("/dev/fd")) == before


def test_small_tensors_travel_inline() -> None:
    """No shared memory for what fits a frame, either way."""

    async def main() -> None:
        scene = Scene()
        work = scene.work(SMALL, {"p": 1}, pieces=2)
        assert scene.connection.execute(work)
        frame = await scene.sent()
        assert frame.tensors == SMALL.tobytes()
        assert frame.content == Predict((Placed("x", Datatype.FP32, (4,), 0, 16),), (), {"p": 1}, 16384)
        scene.answer(frame.request, Result((Placed("x", Datatype.FP32, (4,), 0, 16),), 0.0), frame.tensors)
        result = await scene.outcome(work)
        assert isinstance(result, BatchResult)
        assert (result.outputs[0].numpy() == SMALL).all()
        assert repr(scene.connection) == "<Connection 0 running, <SlotPool 0 bytes used, 0 idle>>"
        assert scene.woken == 1
        scene.close()

    run(main)


def test_large_tensors_lie_in_a_slot_until_released() -> None:
    """The outputs are read where the worker wrote them; the slot is used again after the release, not before."""

    async def main() -> None:
        scene = Scene()
        first = scene.work(LARGE, pieces=4)
        scene.connection.execute(first)
        frame, [descriptor] = await scene.received.get()
        predict = frame.content
        assert isinstance(predict, Predict)
        assert predict.slot == SlotUse(1, 1, 262144)
        assert (predict.shared, predict.room) == (True, 200_000)
        assert os.pread(descriptor, 200_000, 0) == LARGE.tobytes()
        os.pwrite(descriptor, b"\x00\x00\x80\x3f", predict.room)
        os.close(descriptor)
        outputs = (Placed("y", Datatype.FP32, (1,), predict.room, 4),)
        scene.answer(frame.request, Result(outputs, 0.0, predict.slot))
        result = await scene.outcome(first)
        assert isinstance(result, BatchResult)
        assert result.outputs[0].numpy().tolist() == [1.0]
        scene.connection.execute(scene.work(LARGE))
        content = (await scene.sent()).content
        assert isinstance(content, Predict)
        assert content.slot == SlotUse(2, 1, 262144)
        result.release()
        assert scene.pumps == 1
        scene.connection.execute(scene.work(LARGE))
        frame, descriptors = await scene.received.get()
        assert isinstance(frame.content, Predict)
        assert frame.content.slot == SlotUse(1, 2, 262144)
        assert descriptors == []
        assert scene.connection.inflight == 2
        assert scene.outcomes == [(first, result)]
        scene.connection.abandon()
        scene.close()

    run(main)


def test_outputs_in_a_memory_of_their_own_teach_the_size() -> None:
    """What did not fit comes beside the frame, once; the next request of that size has room for it."""

    async def main() -> None:
        scene = Scene()
        scene.connection.execute(work := scene.work(SMALL))
        frame = await scene.sent()
        memory = anonymous_memory(200_000)
        os.pwrite(memory, LARGE.tobytes(), 0)
        content = Result((Placed("x", Datatype.FP32, (50_000,), 0, 200_000),), 0.0)
        scene.worker.send(Frame(Kind.RESULT, frame.request, 1, content, descriptors=1), (memory,))
        os.close(memory)
        result = await scene.outcome(work)
        assert isinstance(result, BatchResult)
        assert (result.outputs[0].numpy() == LARGE).all()
        result.release()
        scene.connection.execute(scene.work(SMALL))
        predict = (await scene.sent()).content
        assert isinstance(predict, Predict)
        assert predict.slot == SlotUse(1, 1, 262144)
        assert (predict.shared, predict.room) == (False, 0)
        scene.close()

    run(main)


def test_without_memory_a_request_waits() -> None:
    """Beyond the bound of shared memory a large request is not taken; a small one is."""

    async def main() -> None:
        scene = Scene(slot_bytes=300_000, credits=3)
        assert scene.connection.execute(scene.work(LARGE))
        assert not scene.connection.execute(scene.work(LARGE))
        assert scene.connection.execute(scene.work(SMALL))
        for _ in range(2):
            await scene.sent()
        scene.close()

    run(main)


def test_cancel() -> None:
    """The worker is told; the slot stays in use until it has answered."""

    async def main() -> None:
        scene = Scene()
        scene.connection.execute(work := scene.work(LARGE))
        request = (await scene.sent()).request
        scene.connection.cancel(work)
        assert await scene.sent() == Frame(Kind.CANCEL, request, 1)
        assert scene.connection.free == 1
        assert "262144 bytes used" in repr(scene.connection)
        scene.answer(request, Error("RequestCancelled", "cancelled before it began"), kind=Kind.ERROR)
        await scene.outcome(work)
        assert scene.connection.free == 2
        assert "<SlotPool 0 bytes used" in repr(scene.connection)
        scene.close()

    run(main)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("ExecutionFailed", ExecutionFailed, id="execution"),
        pytest.param("InvalidTensor", InvalidRequest, id="the caller's fault"),
        pytest.param("InternalError", ExecutionFailed, id="the worker's own"),
        pytest.param("builtins.exec", ExecutionFailed, id="nothing we know"),
    ],
)
def test_errors(kind: str, expected: type[TidegateError]) -> None:
    """An error frame becomes the error that the caller meets."""

    async def main() -> None:
        scene = Scene()
        scene.connection.execute(work := scene.work(SMALL))
        scene.answer((await scene.sent()).request, Error(kind, "text"), kind=Kind.ERROR)
        outcome = await scene.outcome(work)
        assert type(outcome) is expected
        assert outcome.message == "text"
        scene.close()

    run(main)


def test_a_worker_that_leaves_sends_back() -> None:
    """A draining worker takes no more; what crossed its notice comes back unstarted."""

    async def main() -> None:
        scene = Scene()
        scene.connection.execute(work := scene.work(LARGE))
        request = (await scene.sent()).request
        scene.answer(0, None, kind=Kind.DRAIN)
        scene.answer(request, Error("ShuttingDown", "the server is shutting down"), kind=Kind.ERROR)
        await scene.connection.drained()
        assert scene.came_back == [work]
        assert scene.connection.free == 0
        scene.close()

    run(main)


def test_load() -> None:
    """A load is answered with the signature, or with the refusal of the runtime."""

    async def main() -> None:
        scene = Scene()
        load = Load("fake", "m", "1", "/m.fake.json", False, 0, {})
        asked = asyncio.create_task(scene.connection.load(load))
        frame = await scene.sent()
        assert frame.content == load
        loaded = Loaded(ModelMetadata("m", "p", (), ()), 0.5)
        scene.answer(frame.request, loaded, kind=Kind.LOADED)
        assert await asked == loaded
        asked = asyncio.create_task(scene.connection.load(load))
        scene.answer((await scene.sent()).request, Error("ModelLoadFailed", "too old"), kind=Kind.ERROR)
        with pytest.raises(ModelLoadFailed, match=r"^too old$"):
            await asked
        scene.close()

    run(main)


def test_signs_of_life() -> None:
    """One ping at a time; its pong ends the wait."""

    async def main() -> None:
        scene = Scene()
        scene.connection.ping()
        scene.connection.ping()
        assert scene.connection.unanswered_since is not None
        assert await scene.sent() == Frame(Kind.PING)
        assert scene.received.empty()
        scene.answer(0, None, kind=Kind.PONG)
        scene.connection.execute(work := scene.work(SMALL))
        scene.answer((await scene.sent()).request, Error("ExecutionFailed", ""), kind=Kind.ERROR)
        await scene.outcome(work)
        assert scene.connection.unanswered_since is None
        scene.close()

    run(main)


def test_parameters_that_cannot_be_sent() -> None:
    """A parameter that no frame can carry is the caller's error; nothing is sent and no memory stays in use."""

    async def main() -> None:
        scene = Scene()
        for parameters in ({"p": 1 << 70}, {"p": "\ud800"}, {"p": "x" * (5 << 20)}):
            with pytest.raises(InvalidRequest, match=r"^the request's parameters cannot be handed to the model: "):
                scene.connection.execute(scene.work(LARGE, parameters))
        assert scene.connection.inflight == 0
        assert "<SlotPool 0 bytes used" in repr(scene.connection)
        scene.close()

    run(main)


def test_a_late_answer_is_dropped() -> None:
    """An answer to a request that nobody knows changes nothing."""

    async def main() -> None:
        scene = Scene()
        scene.answer(99, Result((Placed("x", Datatype.FP32, (4,), 0, 16),), 0.0), SMALL.tobytes())
        scene.connection.execute(work := scene.work(SMALL))
        scene.answer((await scene.sent()).request, Error("ExecutionFailed", ""), kind=Kind.ERROR)
        await scene.outcome(work)
        assert len(scene.outcomes) == 1
        scene.close()

    run(main)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            Result((Placed("x", Datatype.FP32, (4,), 8, 16),), 0.0), r"'x' is not inside the memory", id="past the end"
        ),
        pytest.param(
            Result((Placed("x", Datatype.FP32, (-4,), 0, 16),), 0.0),
            r"'x' is not inside the memory",
            id="negative shape",
        ),
        pytest.param(
            Result((Placed("x", Datatype.FP32, (4,), -16, 16),), 0.0),
            r"'x' is not inside the memory",
            id="negative offset",
        ),
        pytest.param(
            Result((Placed("x", Datatype.FP32, (5,), 0, 16),), 0.0),
            r"'x' has 16 bytes for the shape \[5\]",
            id="too small",
        ),
        pytest.param(Result((), 0.0, SlotUse(1, 1, 65536)), r"which is not its request's slot", id="a slot of nobody"),
    ],
)
def test_a_worker_that_lies(content: Result, message: str) -> None:
    """An answer that cannot be true ends the connection; its request is not answered with wrong bytes."""

    async def main() -> None:
        scene = Scene()
        scene.connection.execute(scene.work(SMALL))
        scene.answer((await scene.sent()).request, content, SMALL.tobytes())
        with pytest.raises(ChannelBroken, match=message):
            raise await scene.broken
        scene.connection.abandon()
        assert scene.outcomes == []
        scene.close()

    run(main)


def test_another_generation_is_not_believed() -> None:
    """An answer that names an earlier use of the slot is not taken for this one."""

    async def main() -> None:
        scene = Scene()
        scene.connection.execute(scene.work(LARGE))
        scene.answer((await scene.sent()).request, Result((), 0.0, SlotUse(1, 7, 262144)))
        with pytest.raises(ChannelBroken, match=r"generation=7.* which is not its request's slot"):
            raise await scene.broken
        scene.close()

    run(main)


def test_what_a_dead_worker_still_said() -> None:
    """Answers that arrived before the end count, and no others come."""

    async def main() -> None:
        scene = Scene()
        works = [scene.work(SMALL), scene.work(SMALL)]
        for work in works:
            scene.connection.execute(work)
        scene.answer(1, Result((Placed("x", Datatype.FP32, (4,), 0, 16),), 0.0), SMALL.tobytes())
        scene.connection.abandon()
        assert [done for done, _ in scene.outcomes] == [works[0]]
        result = await scene.outcome(works[0])
        assert isinstance(result, BatchResult)
        assert (result.outputs[0].numpy() == SMALL).all()
        assert not scene.connection.execute(scene.work(SMALL))
        scene.close()

    run(main)


def test_a_dead_worker_gets_no_more() -> None:
    """What it had still answered makes room for the next request, but not here."""

    async def main() -> None:
        scene = Scene(credits=1)
        scene.connection.execute(work := scene.work(SMALL))
        scene.answer((await scene.sent()).request, Error("ExecutionFailed", ""), kind=Kind.ERROR)
        scene.connection.abandon()
        assert [done for done, _ in scene.outcomes] == [work]
        assert scene.free_when_finished == [0]
        scene.close()

    run(main)


def test_tensor_of_bytes() -> None:
    """A BYTES output has no fixed size per element; its lengths are checked by whoever reads it."""

    async def main() -> None:
        scene = Scene()
        text = Tensor.from_numpy("t", np.array([b"a", b"bc"], dtype=object))
        scene.connection.execute(work := scene.work(SMALL))
        placed = Placed("t", Datatype.BYTES, (2,), 0, text.nbytes)
        scene.answer((await scene.sent()).request, Result((placed,), 0.0), bytes(text.data))
        result = await scene.outcome(work)
        assert isinstance(result, BatchResult)
        assert result.outputs[0].numpy().tolist() == [b"a", b"bc"]
        scene.close()

    run(main)


def one(number: int) -> Partial:
    return Partial(number, (Placed("x", Datatype.FP32, (4,), 0, 16),), 0.25)


async def streaming(scene: Scene) -> tuple[Work, int]:
    """A stream that the worker has, and its number there."""
    work = scene.work(SMALL)
    work.streams = Progress()
    assert scene.connection.execute(work)
    frame = await scene.sent()
    assert isinstance(frame.content, Predict)
    assert frame.content.window == Window(2, 1 << 20)
    return work, frame.request


def test_a_response_is_acknowledged_when_it_is_released() -> None:
    """And the time for an execution does not count while one is unread."""

    async def main() -> None:
        scene = Scene(stream_responses=2)
        work, request = await streaming(scene)
        assert scene.connection.executing_since is not None
        for number in (0, 1):
            scene.answer(request, one(number), SMALL.tobytes(), Kind.PARTIAL)
        responses = [await scene.responses.get() for _ in range(2)]
        assert scene.connection.executing_since is None
        for number in (1, 0):
            assert (responses[number].outputs[0].numpy() == SMALL).all()
            responses[number].release()
            frame = await scene.sent()
            assert (frame.kind, frame.request, frame.content) == (Kind.ACKNOWLEDGE, request, Acknowledge(number))
        assert scene.connection.executing_since is not None
        scene.answer(request, Result((), 1.0))
        assert isinstance(await scene.outcome(work), BatchResult)
        scene.close()

    run(main)


def test_a_response_in_a_memory_of_its_own() -> None:
    """It outlives the end of the stream, whose release is told to nobody."""

    async def main() -> None:
        scene = Scene(stream_responses=2)
        work, request = await streaming(scene)
        descriptor = anonymous_memory(LARGE.nbytes)
        os.pwrite(descriptor, LARGE.tobytes(), 0)
        placed = Placed("x", Datatype.FP32, LARGE.shape, 0, LARGE.nbytes)
        scene.worker.send(Frame(Kind.PARTIAL, request, 1, Partial(0, (placed,)), descriptors=1), (descriptor,))
        os.close(descriptor)
        scene.answer(request, Result((), 1.0))
        await scene.outcome(work)
        response = await scene.responses.get()
        assert (response.outputs[0].numpy() == LARGE).all()
        response.release()
        assert scene.received.empty()
        scene.close()

    run(main)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        pytest.param((1,), "response 1 comes where 0 were", id="out of order"),
        pytest.param((0, 0), "response 0 comes where 1 were", id="twice"),
        pytest.param((0, 1, 2), "does not wait for its responses to be read", id="over the window"),
    ],
)
def test_a_worker_that_streams_as_it_likes_is_broken(numbers: tuple[int, ...], text: str) -> None:
    """It could fill the memory."""

    async def main() -> None:
        scene = Scene(stream_responses=2)
        _, request = await streaming(scene)
        for number in numbers:
            scene.answer(request, one(number), SMALL.tobytes(), Kind.PARTIAL)
        assert text in str(await scene.broken)
        scene.close()

    run(main)


def test_a_response_to_no_stream_is_broken() -> None:
    """As is a result of a stream that has outputs; one to a request that is over is dropped."""

    async def main() -> None:
        scene = Scene()
        scene.answer(77, one(0), SMALL.tobytes(), Kind.PARTIAL)
        assert scene.connection.execute(scene.work(SMALL))
        request = (await scene.sent()).request
        scene.answer(request, one(0), SMALL.tobytes(), Kind.PARTIAL)
        assert "or to no stream" in str(await scene.broken)
        scene.close()
        other = Scene(stream_responses=2)
        _, request = await streaming(other)
        other.answer(request, Result(one(0).outputs, 0.0), SMALL.tobytes())
        assert "the result of a stream has outputs" in str(await other.broken)
        other.close()

    run(main)
