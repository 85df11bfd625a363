"""From the batcher to the replicas, in virtual time, with a link that does as it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidegate.batching.item import ANYBODY, Caller
from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InvalidTensor,
    ModelLoadFailed,
    ModelNotReady,
    Overloaded,
    ShuttingDown,
    TidegateError,
)
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.batch import BatchResult, size_of
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.lane import Work
from tidegate.telemetry.statistics import Answered, Executed
from tidegate.testing.clock import run_virtual

FAR = 1e6
SPEC = TensorSpec("x", Datatype.FP32, (-1, -1))
METADATA = ModelMetadata("m", "tidegate_fake", (SPEC,), (SPEC,))


class FakeLink:
    """Takes batches up to its credits, and keeps them until the test says what becomes of them."""

    def __init__(self, dispatcher: Dispatcher, credits: int) -> None:
        self.dispatcher = dispatcher
        self.credits = credits
        self.works: list[Work] = []
        self.cancelled: list[Work] = []
        self.released = 0
        self.full = False

    @property
    def free(self) -> int:
        return self.credits - len(self.works)

    @property
    def rows(self) -> list[int]:
        return [work.batch.tensors[0].shape[0] for work in self.works]

    def execute(self, work: Work) -> bool:
        if self.full:
            return False
        self.works.append(work)
        return True

    def cancel(self, work: Work) -> None:
        self.cancelled.append(work)

    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors of the oldest batch, as a worker sees them."""
        return tuple(
            Tensor(one.name, one.datatype, one.shape, b"".join(bytes(part) for part in one.parts))
            for one in self.works[0].batch.tensors
        )

    def answer(self, error: TidegateError | None = None, infer_seconds: float = 0.0) -> None:
        """Answer the oldest batch with its inputs."""
        outputs = self.inputs()
        work = self.works.pop(0)
        self.dispatcher.finished(self, work, error or BatchResult(outputs, self._release), infer_seconds)

    def die(self) -> None:
        self.works.clear()
        self.dispatcher.lost(self)

    def _release(self) -> None:
        self.released += 1


class Scene:
    """A dispatcher, and requests told apart by their values."""

    def __init__(self, metadata: ModelMetadata = METADATA, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        self.dispatcher = Dispatcher("m", BatchSettings(**settings), loop.time)
        self.dispatcher.describe(metadata)

    def link(self, credits: int = 2) -> FakeLink:
        link = FakeLink(self.dispatcher, credits)
        self.dispatcher.attach(link)
        return link

    def ask(
        self, *tensors: Tensor, deadline: float = FAR, caller: Caller = ANYBODY, **parameters: Any
    ) -> asyncio.Task[list[Any]]:
        """Send a request whose answer is copied and released."""
        request = InferRequest("m", tensors, parameters=parameters)
        return asyncio.create_task(self._ask(request, deadline, caller))

    async def _ask(self, request: InferRequest, deadline: float, caller: Caller) -> list[Any]:
        result = await self.dispatcher.execute(request, deadline, caller)
        values = [tensor.numpy().tolist() for tensor in result.outputs]
        result.release()
        return values

    @property
    def waiting(self) -> int:
        batcher = self.dispatcher.statistics({}).batcher
        assert batcher is not None
        return batcher.depth.requests


def x(*rows: float, name: str = "x") -> Tensor:
    array: npt.NDArray[np.float32] = np.array(rows, dtype=np.float32).reshape(-1, 1)
    return Tensor.from_numpy(name, array)


async def settle() -> None:
    """Let every task run as far as it can without time passing."""
    for _ in range(8):
        await asyncio.sleep(0)


def test_what_comes_together_goes_together() -> None:
    """Requests of one turn of the loop are one batch, and each gets its own rows back; the memory once."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        tasks = [scene.ask(x(1)), scene.ask(x(2, 3)), scene.ask(x(4))]
        await settle()
        assert link.rows == [4]
        assert [size_of(part) for part in link.works[0].batch.tensors[0].parts] == [4, 8, 4]
        link.answer()
        assert await asyncio.gather(*tasks) == [[[[1.0]]], [[[2.0], [3.0]]], [[[4.0]]]]
        assert link.released == 1
        executed = scene.dispatcher.statistics({}).executed
        assert [(size, one.executions) for size, one in executed.items()] == [(4, 1)]

    run_virtual(main())


def test_a_lone_request_goes_at_its_arrival() -> None:
    """No time passes between a request's arrival and its batch, whatever the settings."""

    async def main() -> None:
        scene = Scene(max_latency=10.0, batch_sizes=(1, 8))
        link = scene.link()
        await asyncio.sleep(7.0)
        task = scene.ask(x(1))
        await settle()
        assert link.rows == [1]
        assert link.works[0].sent == asyncio.get_running_loop().time() == 7.0
        link.answer()
        await task

    run_virtual(main())


def test_a_batch_grows_while_the_replica_is_busy() -> None:
    """One batch executes, one is prefetched, the rest waits and goes together."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        tasks = []
        for number in range(6):
            tasks.append(scene.ask(x(number)))
            await settle()
        assert link.rows == [1, 1]
        assert scene.waiting == 4
        link.answer()
        await settle()
        assert link.rows == [1, 4]
        link.answer()
        link.answer()
        assert await asyncio.gather(*tasks) == [[[[float(number)]]] for number in range(6)]

    run_virtual(main())


def test_the_idle_replica_first() -> None:
    """A request goes to a replica that has nothing before it goes behind another."""

    async def main() -> None:
        scene = Scene()
        first, second = scene.link(), scene.link()
        tasks = []
        for number in range(3):
            tasks.append(scene.ask(x(number)))
            await settle()
        assert (first.rows, second.rows) == ([1, 1], [1])
        scene.dispatcher.detach(first)
        tasks.append(scene.ask(x(9)))
        await settle()
        assert (first.rows, second.rows) == ([1, 1], [1, 1])
        for link in (first, first, second, second):
            link.answer()
        await asyncio.gather(*tasks)

    run_virtual(main())


def test_shapes_and_parameters_do_not_mix() -> None:
    """Other columns or other parameters are another batch; a time-out or a priority is not."""

    async def main() -> None:
        scene = Scene()
        link = scene.link(credits=9)
        wide = Tensor.from_numpy("x", np.ones((1, 2), dtype=np.float32))
        tasks = [scene.ask(x(1)), scene.ask(wide), scene.ask(x(2), top=3), scene.ask(x(3), timeout=5, priority=1)]
        await settle()
        assert sorted(link.rows) == [1, 1, 2]
        assert [work.batch.parameters for work in link.works if work.batch.parameters] == [{"top": 3}]
        while link.works:
            link.answer()
        await asyncio.gather(*tasks)

    run_virtual(main())


def test_inputs_are_matched_by_name() -> None:
    """The order in which a request lists its inputs does not matter."""

    async def main() -> None:
        spec = ModelMetadata("m", "p", (SPEC,), (SPEC,))
        scene = Scene(spec)
        link = scene.link()
        tasks = [scene.ask(x(1, name="a"), x(10, name="b")), scene.ask(x(20, name="b"), x(2, name="a"))]
        await settle()
        link.answer()
        assert await asyncio.gather(*tasks) == [[[[1.0]], [[10.0]]], [[[2.0]], [[20.0]]]]

    run_virtual(main())


@pytest.mark.parametrize("texts", [pytest.param(False, id="numbers"), pytest.param(True, id="texts")])
def test_a_large_request_is_split_and_joined(texts: bool) -> None:
    """More rows than one batch takes come back in their order, in one answer."""

    async def main() -> None:
        scene = Scene(max_batch=4, initial_batch_size=4)
        link = scene.link()
        values = [[str(n).encode()] if texts else [float(n)] for n in range(10)]
        large = Tensor.from_numpy("x", np.array(values, dtype=object if texts else np.float32))
        small = Tensor.from_numpy("x", np.array([[b"s"]] if texts else [[-1.0]], dtype=object if texts else np.float32))
        tasks = [scene.ask(large), scene.ask(small)]
        await settle()
        while link.works:
            assert max(link.rows) <= 4
            link.answer()
            await settle()
        assert await asyncio.gather(*tasks) == [[values], [small.numpy().tolist()]]

    run_virtual(main())


def test_texts_are_cut_by_row() -> None:
    """Of a batch of BYTES each request gets its own elements, whatever their lengths."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        rows = [[b"", b"abc"], [b"x" * 300, b"y"], [b"z", b""]]
        tasks = [scene.ask(Tensor.from_numpy("x", np.array([row], dtype=object))) for row in rows]
        await settle()
        assert link.rows == [3]
        link.answer()
        assert await asyncio.gather(*tasks) == [[[row]] for row in rows]

    run_virtual(main())


def test_padding() -> None:
    """A batch is padded to an allowed size by its last row, a named dimension by its fill; nobody sees the new rows."""

    async def main() -> None:
        dimension = PaddedDimension("x", 1, (4,), fill=-1)
        scene = Scene(batch_sizes=(4,), padded_dimensions=(dimension,))
        link = scene.link()
        short = Tensor.from_numpy("x", np.array([[1, 2]], dtype=np.float32))
        longer = Tensor.from_numpy("x", np.array([[3, 4, 5]], dtype=np.float32))
        tasks = [scene.ask(short), scene.ask(longer)]
        await settle()
        [seen] = link.inputs()
        assert seen.numpy().tolist() == [[1, 2, -1, -1], [3, 4, 5, -1], [3, 4, 5, -1], [3, 4, 5, -1]]
        link.answer()
        assert await asyncio.gather(*tasks) == [[[[1, 2, -1, -1]]], [[[3, 4, 5, -1]]]]

    run_virtual(main())


def test_padding_that_does_not_fit() -> None:
    """A fill that the datatype does not have is told, and the next request is served."""

    async def main() -> None:
        scene = Scene(padded_dimensions=(PaddedDimension("x", 1, (2,), fill=-1),))
        link = scene.link()
        with pytest.raises(InvalidTensor, match=r"cannot be padded with -1: UINT8 has no such value"):
            await scene.ask(Tensor.from_numpy("x", np.ones((1, 1), dtype=np.uint8)))
        task = scene.ask(Tensor.from_numpy("x", np.ones((1, 2), dtype=np.uint8)))
        await settle()
        link.answer()
        assert await task == [[[1, 1]]]

    run_virtual(main())


def test_one_bad_request_among_good_ones() -> None:
    """Only the bad one gets the runtime's error."""

    async def main() -> None:
        scene = Scene(initial_batch_size=32)
        link = scene.link(credits=1)
        tasks = [scene.ask(x(number)) for number in range(32)]
        await settle()
        assert link.rows == [32]
        while link.works:
            bad = 13.0 in link.inputs()[0].numpy()
            link.answer(ExecutionFailed("ValueError: 13") if bad else None)
            await settle()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ExecutionFailed)] == [13]
        assert [outcome for n, outcome in enumerate(outcomes) if n != 13] == [
            [[[float(n)]]] for n in range(32) if n != 13
        ]

    run_virtual(main())


def test_a_replica_dies() -> None:
    """What it executed runs again one by one elsewhere; what it had not begun runs as it would have."""

    async def main() -> None:
        scene = Scene()
        first = scene.link()
        tasks = [scene.ask(x(1)), scene.ask(x(2))]
        await settle()
        tasks += [scene.ask(x(3)), scene.ask(x(4))]
        await settle()
        assert first.rows == [2, 2]
        first.die()
        second = scene.link(credits=9)
        await settle()
        assert second.rows == [1, 1, 2]
        while second.works:
            second.answer()
        assert await asyncio.gather(*tasks) == [[[[1.0]]], [[[2.0]]], [[[3.0]]], [[[4.0]]]]

    run_virtual(main())


def test_another_replica_takes_over_at_once() -> None:
    """What a dead replica had does not wait for anything else to happen where another is idle."""

    async def main() -> None:
        scene = Scene()
        first, second = scene.link(), scene.link()
        task = scene.ask(x(1))
        await settle()
        assert (first.rows, second.rows) == ([1], [])
        first.die()
        await settle()
        second.answer()
        assert await task == [[[1.0]]]

    run_virtual(main())


def test_a_request_that_kills_is_refused_by_its_content() -> None:
    """After the second replica it fails, and so does the same content when it comes again; another does not."""

    async def main() -> None:
        scene = Scene()
        task = scene.ask(x(666))
        for _ in range(2):
            link = scene.link()
            await settle()
            link.die()
        with pytest.raises(ExecutionFailed, match=r"^replicas of model 'm' ended whenever they executed this request"):
            await task
        with pytest.raises(ExecutionFailed, match=r"a request with this content"):
            await scene.ask(x(666))
        link = scene.link()
        task = scene.ask(x(1))
        await settle()
        link.answer()
        await task

    run_virtual(main())


def test_a_batch_that_comes_back() -> None:
    """A worker that leaves has not begun it: it goes to another."""

    async def main() -> None:
        scene = Scene()
        first = scene.link()
        task = scene.ask(x(1))
        await settle()
        scene.dispatcher.detach(first)
        second = scene.link()
        scene.dispatcher.returned(first, first.works.pop())
        await settle()
        second.answer()
        assert await task == [[[1.0]]]

    run_virtual(main())


def test_deadlines_are_kept_to_the_instant() -> None:
    """Waiting or executing, a request is answered at its deadline; a batch that nobody waits for is withdrawn."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        scene = Scene(max_batch=1)
        link = scene.link(credits=1)
        executing = scene.ask(x(1), deadline=2.0)
        await settle()
        waiting = scene.ask(x(2), deadline=1.0)
        with pytest.raises(DeadlineExceeded, match=r"while it waited for model 'm'"):
            await waiting
        assert loop.time() == pytest.approx(1.0, abs=0.002)
        with pytest.raises(DeadlineExceeded, match=r"while model 'm' executed it"):
            await executing
        assert loop.time() == pytest.approx(2.0, abs=0.002)
        assert link.cancelled == link.works
        with pytest.raises(DeadlineExceeded, match=r"had passed when it reached"):
            await scene.ask(x(3), deadline=0.5)
        link.answer()
        await settle()
        assert link.released == 1

    run_virtual(main())


def test_cancelled_anywhere() -> None:
    """A caller that goes away takes only its own request with it, and all memory comes back."""

    async def main() -> None:
        scene = Scene(max_batch=2, initial_batch_size=2)
        link = scene.link(credits=1)
        gone, stays, waits = scene.ask(x(1)), scene.ask(x(2)), scene.ask(x(3))
        await settle()
        assert (link.rows, scene.waiting) == ([2], 1)
        gone.cancel()
        waits.cancel()
        await settle()
        assert (link.cancelled, scene.waiting) == ([], 0)
        link.answer()
        assert await stays == [[[2.0]]]
        assert link.released == 1
        late = scene.ask(x(4))
        await settle()
        link.answer()
        late.cancel()
        await settle()
        assert link.released == 2

    run_virtual(main())


def test_the_queue_is_bounded() -> None:
    """A request beyond the bound is refused with a time to come back; what a free replica can take at once is not."""

    async def main() -> None:
        scene = Scene(max_queue=1, max_batch=1)
        link = scene.link(credits=1)
        tasks = [scene.ask(x(1)), scene.ask(x(2)), scene.ask(x(3))]
        with pytest.raises(Overloaded, match=r"^model 'm' has 1 requests with 1 rows waiting") as caught:
            await tasks[2]
        assert caught.value.retry_after == 1.0
        for _ in range(2):
            await settle()
            link.answer()
        await asyncio.gather(*tasks[:2])

    run_virtual(main())


def test_who_would_wait_too_long_is_told_on_arrival() -> None:
    """While every replica is busy; where one is idle, it first takes what came before in the same turn of the loop."""

    async def main() -> None:
        scene = Scene(max_batch=2, initial_batch_size=2)
        one, other = scene.link(), scene.link()
        for link in (one, other):
            link.credits = 1
        lessons = [scene.ask(x(number)) for number in range(20)]
        for _ in range(5):
            await settle()
            await asyncio.sleep(0.1)
            one.answer()
            other.answer()
        await asyncio.gather(*lessons)
        now = asyncio.get_running_loop().time()
        together = [scene.ask(x(number), deadline=now + 0.15) for number in range(4)]
        await settle()
        assert (one.rows, other.rows, scene.waiting) == ([2], [2], 0)
        waits = [scene.ask(x(number), deadline=now + 0.35) for number in range(12)]
        await settle()
        refused = [task for task in waits if task.done()]
        assert refused
        assert refused == waits[-len(refused) :]
        with pytest.raises(Overloaded, match=r"^model 'm' has so many requests waiting") as caught:
            await refused[0]
        assert caught.value.retry_after == 1.0
        for _ in range(3):
            await asyncio.sleep(0.1)
            for link in (one, other):
                if link.works:
                    link.answer()
            await settle()
        await asyncio.gather(*together, *waits, return_exceptions=True)
        assert [task.exception() for task in (*together, *waits) if task not in refused] == [None] * (16 - len(refused))

    run_virtual(main())


def test_nobody_is_told_so_while_a_replica_does_nothing() -> None:
    """Not even where that cannot take a batch for the moment: it may the next."""

    async def main() -> None:
        scene = Scene(max_batch=2, initial_batch_size=2)
        one, other = scene.link(credits=1), scene.link(credits=1)
        lessons = [scene.ask(x(number)) for number in range(20)]
        for _ in range(5):
            await settle()
            await asyncio.sleep(0.1)
            one.answer()
            other.answer()
        await asyncio.gather(*lessons)
        other.full = True
        now = asyncio.get_running_loop().time()
        waits = [scene.ask(x(number), deadline=now + 0.35) for number in range(2)]
        await settle()
        waits += [scene.ask(x(number), deadline=now + 0.35) for number in range(12)]
        await settle()
        assert not [task for task in waits if task.done()]
        assert (one.rows, other.rows, scene.waiting) == ([2], [], 12)
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    run_virtual(main())


def test_no_memory_for_a_batch() -> None:
    """It waits where it was until the link has memory again."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        link.full = True
        task = scene.ask(x(1))
        await settle()
        assert scene.waiting == 1
        link.full = False
        scene.dispatcher.pump(link)
        await settle()
        link.answer()
        await task

    run_virtual(main())


def test_refused() -> None:
    """What waits and what comes is answered with the refusal; what a dying replica gives back, too."""

    async def main() -> None:
        scene = Scene(max_batch=1)
        link = scene.link(credits=1)
        executing, waiting = scene.ask(x(1)), scene.ask(x(2))
        await settle()
        scene.dispatcher.refuse(ShuttingDown)
        for task in (waiting, scene.ask(x(3))):
            with pytest.raises(ShuttingDown):
                await task
        link.die()
        with pytest.raises(ShuttingDown):
            await executing
        scene.dispatcher.refuse(None)
        task = scene.ask(x(4))
        await settle()
        assert scene.waiting == 1
        task.cancel()
        await settle()

    run_virtual(main())


def test_an_output_without_rows() -> None:
    """A model that answers a batch with another number of rows is at fault, and alone each request is answered."""

    async def main() -> None:
        scene = Scene()
        link = scene.link(credits=1)
        tasks = [scene.ask(x(1)), scene.ask(x(2))]
        await settle()
        work = link.works.pop()
        scene.dispatcher.finished(link, work, BatchResult((x(1, 2, 3),), link._release), 0.0)
        assert link.released == 1
        for _ in range(2):
            await settle()
            link.answer()
        assert await asyncio.gather(*tasks) == [[[[1.0]]], [[[2.0]]]]

    run_virtual(main())


def test_a_model_without_batches() -> None:
    """Its requests are executed one by one, whatever their first dimension is."""

    async def main() -> None:
        scene = Scene(ModelMetadata("m", "p", (SPEC,), (SPEC,), batch_dimension=False), batch_sizes=(4, 8))
        link = scene.link(credits=9)
        tasks = [scene.ask(x(1, 2, 3)), scene.ask(x(4))]
        await settle()
        assert link.rows == [3, 1]
        while link.works:
            link.answer()
        await asyncio.gather(*tasks)

    run_virtual(main())


def test_the_signature() -> None:
    """Nothing is executed before the first load has told it, and a later load must tell the same."""

    async def main() -> None:
        dispatcher = Dispatcher("m", BatchSettings())
        with pytest.raises(ModelNotReady, match=r"it has not been loaded yet"):
            await dispatcher.execute(InferRequest("m", (x(1),)), FAR)
        dispatcher.describe(METADATA)
        dispatcher.describe(METADATA)
        with pytest.raises(ModelLoadFailed, match=r"the file has changed"):
            dispatcher.describe(ModelMetadata("m", "other", (SPEC,), (SPEC,)))

    run_virtual(main())


def test_an_executions_time_counts_for_each_of_its_requests() -> None:
    """As Triton's statistics have it; per batch it counts once. What gets no result is in neither."""

    async def main() -> None:
        scene = Scene(max_batch=4)
        link = scene.link(credits=1)
        together = [scene.ask(x(1)), scene.ask(x(2))]
        await settle()
        await asyncio.sleep(3)
        waited = scene.ask(x(3))
        await asyncio.sleep(2)
        link.answer(infer_seconds=4.0)
        await settle()
        link.answer(ExecutionFailed("boom"))
        await asyncio.gather(*together)
        with pytest.raises(ExecutionFailed):
            await waited
        statistics = scene.dispatcher.statistics({})
        assert statistics.answered == Answered(
            requests=2, wait_seconds=0.0, input_seconds=0.0, infer_seconds=8.0, output_seconds=2.0
        )
        assert statistics.executed == {2: Executed(1, 0.0, 4.0, 1.0)}

    run_virtual(main())


def test_a_split_requests_times_are_those_of_its_parts() -> None:
    """It is one request, and counts when its last part is done; whoever went away is not among the answered."""

    async def main() -> None:
        scene = Scene(max_batch=2, initial_batch_size=2)
        link = scene.link(credits=1)
        split = scene.ask(x(1, 2, 3, 4))
        await asyncio.sleep(3)
        link.answer(infer_seconds=2.0)
        await settle()
        assert scene.dispatcher.statistics({}).answered.requests == 0
        gone = scene.ask(x(5))
        await asyncio.sleep(5)
        link.answer(infer_seconds=5.0)
        await split
        await settle()
        gone.cancel()
        await settle()
        link.answer(infer_seconds=1.0)
        assert scene.dispatcher.statistics({}).answered == Answered(
            requests=1, wait_seconds=0.0, input_seconds=0.0, infer_seconds=7.0, output_seconds=1.0
        )

    run_virtual(main())
