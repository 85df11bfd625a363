"""Streams and sequences from the batcher to the replicas, in virtual time, with a link that does as it is told."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import numpy as np
import pytest

from tidegate.batching.settings import BatchSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InvalidRequest,
    ReplicaLost,
    RequestCancelled,
    SequenceLost,
    ShuttingDown,
    TidegateError,
)
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.batch import BatchResult
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.lane import Work
from tidegate.testing.clock import run_virtual

FAR = 1e6
SPEC = TensorSpec("x", Datatype.FP32, (-1, 1))
DECOUPLED = ModelMetadata("m", "tidegate_fake", (SPEC,), (SPEC,), decoupled=True)
STATEFUL = msgspec.structs.replace(DECOUPLED, decoupled=False, stateful=True)


class StreamLink:
    """A replica that says what the test says, and keeps what it got."""

    def __init__(self, dispatcher: Dispatcher, credits: int = 2) -> None:
        self.dispatcher = dispatcher
        self.credits = credits
        self.works: list[Work] = []
        self.cancelled: list[Work] = []
        self.unread = 0

    @property
    def free(self) -> int:
        return self.credits - len(self.works)

    def execute(self, work: Work) -> bool:
        self.works.append(work)
        return True

    def cancel(self, work: Work) -> None:
        self.cancelled.append(work)

    @property
    def values(self) -> list[float]:
        """The first element of each batch."""
        return [float(np.frombuffer(work.batch.tensors[0].parts[0], np.float32)[0]) for work in self.works]

    def respond(self, *values: float) -> None:
        for value in values:
            self.unread += 1
            self.dispatcher.responded(self, self.works[0], BatchResult((x(value),), self._read), 0.5)

    def end(self, error: TidegateError | None = None) -> None:
        work = self.works.pop(0)
        outcome = error or BatchResult(() if work.streams is not None else (x(0),))
        self.dispatcher.finished(self, work, outcome, 1.0)

    def die(self) -> None:
        self.works.clear()
        self.dispatcher.lost(self)

    def _read(self) -> None:
        self.unread -= 1


class Scene:
    def __init__(self, metadata: ModelMetadata = DECOUPLED, **settings: Any) -> None:
        self.dispatcher = Dispatcher("m", BatchSettings(**settings), asyncio.get_running_loop().time)
        self.dispatcher.describe(metadata)
        self.read: list[float] = []

    def link(self) -> StreamLink:
        link = StreamLink(self.dispatcher)
        self.dispatcher.attach(link)
        return link

    def stream(self, *rows: float, deadline: float = FAR, **parameters: Any) -> asyncio.Task[None]:
        """Read a stream to its end into ``read``."""
        return asyncio.create_task(self._stream(request(*rows, **parameters), deadline))

    def ask(self, *rows: float, deadline: float = FAR, **parameters: Any) -> asyncio.Task[BatchResult]:
        return asyncio.create_task(self.dispatcher.execute(request(*rows, **parameters), deadline))

    async def _stream(self, request: InferRequest, deadline: float) -> None:
        async with aclosing(self.dispatcher.stream(request, deadline)) as results:
            async for result in results:
                self.read.append(float(result.outputs[0].numpy()[0, 0]))
                result.release()


def x(*rows: float) -> Tensor:
    return Tensor.from_numpy("x", np.array(rows, dtype=np.float32).reshape(-1, 1))


def request(*rows: float, **parameters: Any) -> InferRequest:
    return InferRequest("m", (x(*rows),), parameters=parameters)


async def settle() -> None:
    """Let every task run as far as it can without time passing."""
    for _ in range(12):
        await asyncio.sleep(0)


def test_responses_are_read_as_they_come() -> None:
    """In order, each released; the end is the end of the stream."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        task = scene.stream(1, 2, 3)
        await settle()
        assert link.works[0].batch.tensors[0].shape == (3, 1)
        link.respond(1)
        await settle()
        assert scene.read == [1]
        link.respond(2, 3)
        link.end()
        await task
        assert (scene.read, link.unread) == ([1, 2, 3], 0)
        responses = scene.dispatcher.statistics({}).responses
        assert {n: (one.responses, one.infer_seconds, one.ended) for n, one in responses.items()} == {
            0: (1, 0.5, 0),
            1: (1, 0.5, 0),
            2: (1, 0.5, 0),
            3: (0, 0, 1),
        }

    run_virtual(main())


def test_a_replica_executes_one_stream() -> None:
    """The next waits in the queue for whichever replica is free, and shares no batch."""

    async def main() -> None:
        scene = Scene(padded_dimensions=())
        first, second = scene.link(), scene.link()
        tasks = [scene.stream(number) for number in range(4)]
        await settle()
        assert (first.values, second.values) == ([0], [1])
        second.end()
        await settle()
        assert (first.values, second.values) == ([0], [2])
        first.end()
        second.end()
        await settle()
        first.end()
        await asyncio.gather(*tasks)

    run_virtual(main())


def test_an_error_comes_after_the_responses() -> None:
    """Those that have come are read first."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        task = scene.stream(1)
        await settle()
        link.respond(1, 2)
        link.end(ExecutionFailed("no"))
        with pytest.raises(ExecutionFailed, match="no"):
            await task
        assert scene.read == [1, 2]
        assert scene.dispatcher.statistics({}).responses[2].failed == 1

    run_virtual(main())


@pytest.mark.parametrize("responses", [0, 1])
def test_a_replica_ends_in_a_stream(responses: int) -> None:
    """Before the first response it runs again; after it there is an error, whether or not the response was read."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        task = scene.stream(7)
        await settle()
        link.respond(*range(responses))
        link.die()
        other = scene.link()
        await settle()
        if responses:
            with pytest.raises(ReplicaLost, match="a part of its answer has gone out"):
                await task
            assert other.works == []
        else:
            other.respond(7)
            other.end()
            await task
            assert scene.read == [7]

    run_virtual(main())


def test_the_deadline_is_that_of_the_whole_stream() -> None:
    """The model is told to end, and what it still says is dropped."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        task = scene.stream(1, deadline=5.0)
        await settle()
        link.respond(1)
        with pytest.raises(DeadlineExceeded, match="while model 'm' executed it"):
            await task
        assert scene.read == [1]
        assert link.cancelled == link.works
        link.respond(2)
        assert link.unread == 0
        link.end(RequestCancelled("cancelled"))
        assert scene.dispatcher.statistics({}).responses[1].cancelled == 1

    run_virtual(main())


@pytest.mark.parametrize("sent", [False, True])
def test_a_reader_that_leaves_ends_the_stream(sent: bool) -> None:
    """In the queue it is withdrawn, at a replica cancelled; what is not read is given back."""

    async def main() -> None:
        scene = Scene()
        link = scene.link() if sent else None
        results = scene.dispatcher.stream(request(1), FAR)
        reading = asyncio.ensure_future(anext(results))
        await settle()
        if link is not None:
            link.respond(1, 2, 3)
            (await reading).release()
        else:
            reading.cancel()
            await settle()
        await results.aclose()
        batcher = scene.dispatcher.statistics({}).batcher
        assert batcher is not None
        assert (batcher.depth.requests, batcher.counts.cancelled) == (0, 1)
        if link is not None:
            assert (link.unread, link.cancelled) == (0, link.works)

    run_virtual(main())


def test_steps_take_turns_at_one_replica() -> None:
    """One at a time, in order, whatever their deadlines, while another sequence runs beside them."""

    async def main() -> None:
        scene = Scene(STATEFUL)
        first, second = scene.link(), scene.link()
        tasks = [scene.ask(1, sequence_id=7, sequence_start=True)]
        tasks += [scene.ask(number, sequence_id=7, deadline=100.0 - number) for number in (2, 3)]
        tasks.append(scene.ask(10, sequence_id=8, sequence_start=True))
        await settle()
        assert (first.values, second.values) == ([1], [10])
        second.end()
        for number in (2, 3):
            first.end()
            await settle()
            assert (first.values, second.values) == ([number], [])
        first.end()
        await asyncio.gather(*tasks)

    run_virtual(main())


def test_a_new_sequence_goes_where_the_fewest_are() -> None:
    """Of the replicas that are free."""

    async def main() -> None:
        scene = Scene(STATEFUL)
        links = [scene.link(), scene.link()]
        for number in range(4):
            task = scene.ask(number, sequence_id=f"s{number}", sequence_start=True)
            await settle()
            assert links[number % 2].values == [number]
            links[number % 2].end()
            await task

    run_virtual(main())


def test_a_replica_that_ends_takes_its_sequences() -> None:
    """The step that it executed, one that waits for it, one behind that, and one that comes later are all told."""

    async def main() -> None:
        scene = Scene(STATEFUL)
        link = scene.link()
        for identity in (7, 8):
            start = scene.ask(1, sequence_id=identity, sequence_start=True)
            await settle()
            link.end()
            await start
        tasks = [scene.ask(number, sequence_id=identity) for number, identity in ((2, 7), (3, 8), (4, 8))]
        await settle()
        assert link.values == [2]
        other = scene.link()
        link.die()
        for task in (*tasks, scene.ask(5, sequence_id=7)):
            with pytest.raises(SequenceLost):
                await task
        assert other.works == []
        again = scene.ask(6, sequence_id=7, sequence_start=True)
        await settle()
        assert other.values == [6]
        other.end()
        await again
        sequences = scene.dispatcher.statistics({}).sequences
        assert sequences is not None
        assert (sequences.open, sequences.started, sequences.lost) == (1, 3, 2)

    run_virtual(main())


def test_a_step_waits_for_its_turn_until_its_deadline() -> None:
    """It gives up its place then, and those behind it go on."""

    async def main() -> None:
        scene = Scene(STATEFUL)
        link = scene.link()
        first = scene.ask(1, sequence_id=7, sequence_start=True)
        late = scene.ask(2, sequence_id=7, deadline=3.0)
        last = scene.ask(3, sequence_id=7)
        with pytest.raises(DeadlineExceeded, match="waited for the steps of its sequence before it"):
            await late
        link.end()
        await first
        await settle()
        assert link.values == [3]
        link.end()
        await last

    run_virtual(main())


def test_a_failed_start_is_no_sequence() -> None:
    """The step behind it is refused at its turn."""

    async def main() -> None:
        scene = Scene(STATEFUL)
        link = scene.link()
        start, step = scene.ask(1, sequence_id=7, sequence_start=True), scene.ask(2, sequence_id=7)
        await settle()
        link.end(ExecutionFailed("no"))
        with pytest.raises(ExecutionFailed):
            await start
        with pytest.raises(InvalidRequest, match="is not open"):
            await step
        with pytest.raises(InvalidRequest, match="expected the parameter sequence_id"):
            await scene.ask(3)

    run_virtual(main())


def test_a_stream_may_be_a_step() -> None:
    """The next step waits for its end; a reader that leaves lets it go on."""

    async def main() -> None:
        scene = Scene(msgspec.structs.replace(DECOUPLED, stateful=True))
        link = scene.link()
        start = scene.stream(1, sequence_id=7, sequence_start=True)
        await settle()
        step = scene.stream(2, sequence_id=7)
        link.respond(1)
        await settle()
        assert link.values == [1]
        link.end()
        await start
        await settle()
        assert link.values == [2]
        step.cancel()
        await settle()
        last = scene.stream(3, sequence_id=7, sequence_end=True)
        await settle()
        assert link.cancelled == link.works
        link.end(RequestCancelled("cancelled"))
        await settle()
        assert link.values == [3]
        link.end()
        await last
        assert scene.read == [1]

    run_virtual(main())


def test_a_server_that_ends_refuses_steps() -> None:
    """Those in the queue and those that wait for their turn."""

    async def main() -> None:
        scene = Scene(STATEFUL)
        tasks = [scene.ask(1, sequence_id=7, sequence_start=True), scene.ask(2, sequence_id=7, sequence_start=True)]
        await settle()
        scene.dispatcher.refuse(ShuttingDown)
        for task in tasks:
            with pytest.raises(ShuttingDown):
                await asyncio.wait_for(task, 1.0)

    run_virtual(main())
