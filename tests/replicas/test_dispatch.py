"""The queue before the replicas, in virtual time, with a link that does as it is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

import pytest

from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InvalidRequest,
    ModelNotReady,
    Overloaded,
    ReplicaLost,
    TidegateError,
)
from tidegate.replicas.batch import Batch, BatchResult
from tidegate.replicas.dispatch import Dispatcher, Work
from tidegate.replicas.settings import ReplicaSettings
from tidegate.testing.clock import run_virtual

FAR = 1e6


class FakeLink:
    """Takes work up to its credits, and keeps it until the test says what becomes of it."""

    def __init__(self, dispatcher: Dispatcher, credits: int = 2) -> None:
        self.dispatcher = dispatcher
        self.credits = credits
        self.works: list[Work] = []
        self.cancelled: list[Work] = []
        self.released = 0
        self.error: TidegateError | None = None
        self.full = False

    @property
    def free(self) -> int:
        return self.credits - len(self.works)

    @property
    def names(self) -> list[str]:
        return [work.batch.outputs[0] for work in self.works]

    def execute(self, work: Work) -> bool:
        if self.error is not None:
            raise self.error
        if self.full:
            return False
        self.works.append(work)
        return True

    def cancel(self, work: Work) -> None:
        self.cancelled.append(work)

    def answer(self, error: TidegateError | None = None) -> str:
        """Answer the oldest; returns its name."""
        work = self.works.pop(0)
        self.dispatcher.finished(work, error or BatchResult((), self._release))
        return work.batch.outputs[0]

    def die(self) -> None:
        works, self.works = self.works, []
        self.dispatcher.lost(self, works)

    def _release(self) -> None:
        self.released += 1


class Scene:
    """A dispatcher, and requests told apart by a name."""

    def __init__(self, **settings: Any) -> None:
        self.dispatcher = Dispatcher("m", ReplicaSettings(**settings))
        self.tasks: dict[str, asyncio.Task[BatchResult]] = {}

    async def ask(self, *names: str, deadline: float = FAR, nbytes: int = 1) -> None:
        """Send requests, and let them come as far as they can."""
        for name in names:
            coroutine: Coroutine[Any, Any, BatchResult] = self.dispatcher.execute(
                Batch((), (name,), {}, nbytes), deadline
            )
            self.tasks[name] = asyncio.create_task(coroutine)
            await settle()

    def link(self, credits: int = 2) -> FakeLink:
        link = FakeLink(self.dispatcher, credits)
        self.dispatcher.attach(link)
        return link

    async def error(self, name: str) -> TidegateError:
        with pytest.raises(TidegateError) as caught:
            await self.tasks[name]
        return caught.value


async def settle() -> None:
    """Let every task run as far as it can without time passing."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_order_and_credits() -> None:
    """Requests go out in the order of arrival, as many as there are credits, and one more for each answer."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        await scene.ask("a", "b", "c", "d")
        assert link.names == ["a", "b"]
        assert scene.dispatcher.statistics().waiting == 2
        assert link.answer() == "a"
        assert link.names == ["b", "c"]
        assert link.answer() == "b"
        await settle()
        for name in "ab":
            (await scene.tasks[name]).release()
        assert link.released == 2
        link.answer()
        link.answer()
        await asyncio.gather(*scene.tasks.values())
        assert repr(scene.dispatcher) == "<Dispatcher 0 waiting, 1 links>"

    run_virtual(main())


def test_waiting_for_the_first_replica() -> None:
    """Requests that come while a replica starts are executed once it is ready."""

    async def main() -> None:
        scene = Scene()
        await scene.ask("a", "b")
        link = scene.link()
        assert link.names == ["a", "b"]
        link.answer()
        link.answer()
        await asyncio.gather(*scene.tasks.values())

    run_virtual(main())


def test_several_replicas() -> None:
    """A request goes to whichever replica has a credit."""

    async def main() -> None:
        scene = Scene()
        first, second = scene.link(1), scene.link(1)
        await scene.ask("a", "b", "c")
        assert (first.names, second.names) == (["a"], ["b"])
        second.answer()
        assert (first.names, second.names) == (["a"], ["c"])
        scene.dispatcher.detach(second)
        second.answer()
        first.answer()
        await asyncio.gather(*scene.tasks.values())

    run_virtual(main())


def test_the_queue_is_bounded_in_requests() -> None:
    """One more than may wait is refused at once, and told when to come back."""

    async def main() -> None:
        scene = Scene(max_waiting=2)
        link = scene.link()
        await scene.ask("a", "b", "c", "d", "e")
        error = await scene.error("e")
        assert isinstance(error, Overloaded)
        assert error.message == "model 'm' has 2 requests waiting, which is as many as it may"
        assert error.retry_after == 1.0
        for _ in "abcd":
            link.answer()
        await asyncio.gather(*(scene.tasks[name] for name in "abcd"))

    run_virtual(main())


def test_the_queue_is_bounded_in_bytes() -> None:
    """Large requests fill the queue sooner; one that finds nobody waiting is taken whatever its size."""

    async def main() -> None:
        scene = Scene(max_waiting_bytes=100)
        await scene.ask("a", nbytes=1000)
        await scene.ask("b", nbytes=1)
        assert isinstance(await scene.error("b"), Overloaded)
        assert scene.dispatcher.statistics().waiting_bytes == 1000
        link = scene.link()
        link.answer()
        await scene.tasks["a"]
        assert scene.dispatcher.statistics().waiting_bytes == 0

    run_virtual(main())


def test_retry_after_follows_the_queue() -> None:
    """What waits times what one takes is when to come back."""

    async def main() -> None:
        scene = Scene(max_waiting=3, credits=1)
        link = scene.link(1)
        await scene.ask("a", "b", "c", "d")
        await asyncio.sleep(4)
        link.answer()
        await scene.ask("e", "f")
        error = await scene.error("f")
        assert error.retry_after == 12.0
        for _ in "bcde":
            link.answer()
        await asyncio.gather(*(scene.tasks[name] for name in "abcde"))

    run_virtual(main())


def test_a_deadline_that_passes_in_the_queue() -> None:
    """The request is answered at its deadline, to the instant, and never executed."""

    async def main() -> None:
        scene = Scene()
        link = scene.link(1)
        await scene.ask("a")
        await scene.ask("b", deadline=7.5)
        error = await scene.error("b")
        assert asyncio.get_running_loop().time() == 7.5
        assert isinstance(error, DeadlineExceeded)
        assert error.message == "the request's deadline passed while it waited for model 'm'"
        link.answer()
        assert link.works == []
        await scene.tasks["a"]

    run_virtual(main())


def test_a_deadline_that_is_over_already() -> None:
    """A request that comes too late is not executed, idle replica or not."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        await asyncio.sleep(5)
        await scene.ask("a", deadline=5.0)
        assert isinstance(await scene.error("a"), DeadlineExceeded)
        assert link.works == []

    run_virtual(main())


def test_cancelled_in_the_queue() -> None:
    """It leaves the queue at once, and nobody else notices."""

    async def main() -> None:
        scene = Scene()
        link = scene.link(1)
        await scene.ask("a", "b", "c")
        scene.tasks["b"].cancel()
        await settle()
        assert scene.dispatcher.statistics().waiting == 1
        link.answer()
        assert link.names == ["c"]
        link.answer()
        await scene.tasks["c"]

    run_virtual(main())


def test_cancelled_at_the_replica() -> None:
    """The replica is told; its answer is dropped and released; its credit comes back with the answer only."""

    async def main() -> None:
        scene = Scene()
        link = scene.link(1)
        await scene.ask("a", "b")
        scene.tasks["a"].cancel()
        await settle()
        assert [work.batch.outputs for work in link.cancelled] == [("a",)]
        assert link.names == ["a"]
        link.answer()
        assert link.released == 1
        assert link.names == ["b"]
        link.answer()
        await scene.tasks["b"]

    run_virtual(main())


def test_cancelled_in_the_instant_of_the_answer() -> None:
    """An answer that comes in the same turn as the cancellation is released."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        await scene.ask("a")
        link.answer()
        scene.tasks["a"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await scene.tasks["a"]
        assert link.released == 1
        assert link.cancelled == []

    run_virtual(main())


def test_a_replica_dies() -> None:
    """What it executed and what it had not begun run on the next one, first and in their order."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        await scene.ask("a", "b", "c")
        link.die()
        successor = scene.link()
        assert successor.names == ["a", "b"]
        for _ in "abc":
            successor.answer()
        await asyncio.gather(*scene.tasks.values())

    run_virtual(main())


def test_a_request_that_kills() -> None:
    """A request that was executing when two replicas died is not tried on a third; the one behind it pays nothing."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        await scene.ask("killer", "innocent")
        for _ in range(2):
            link.die()
            link = scene.link()
        error = await scene.error("killer")
        assert isinstance(error, ReplicaLost)
        assert error.message == "model 'm': 2 workers ended while they executed this request"
        assert error.retry_after == 1.0
        [innocent] = link.works
        assert (innocent.batch.outputs, innocent.attempts) == (("innocent",), 0)
        link.answer()
        await scene.tasks["innocent"]

    run_virtual(main())


def test_cancelled_work_is_not_run_again() -> None:
    """What nobody waits for any more dies with its replica."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        await scene.ask("a", "b")
        scene.tasks["a"].cancel()
        await settle()
        link.die()
        successor = scene.link()
        assert successor.names == ["b"]
        successor.answer()
        await scene.tasks["b"]

    run_virtual(main())


def test_expired_while_its_replica_was_dead() -> None:
    """A request whose deadline passes before the next replica is ready is not executed."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        await scene.ask("a", deadline=3.0)
        await asyncio.sleep(1)
        link.die()
        assert isinstance(await scene.error("a"), DeadlineExceeded)
        assert asyncio.get_running_loop().time() == 3.0

    run_virtual(main())


def test_refusal() -> None:
    """A model that will not come back answers what waits and what comes, until it is taken back."""

    async def main() -> None:
        scene = Scene()
        await scene.ask("a")
        scene.dispatcher.refuse(lambda: ModelNotReady("m", "it crashes"))
        await scene.ask("b")
        for name in "ab":
            error = await scene.error(name)
            assert (type(error), error.message) == (ModelNotReady, "model 'm' is not ready: it crashes")
        scene.dispatcher.refuse(None)
        await scene.ask("c")
        link = scene.link()
        link.answer()
        await scene.tasks["c"]

    run_virtual(main())


def test_the_models_error() -> None:
    """A model's error is the answer; the next request goes on."""

    async def main() -> None:
        scene = Scene()
        link = scene.link(1)
        await scene.ask("a", "b")
        link.answer(ExecutionFailed("ValueError: no"))
        assert (await scene.error("a")).message == "ValueError: no"
        link.answer()
        await scene.tasks["b"]
        assert scene.dispatcher.statistics().executed == 2

    run_virtual(main())


@pytest.mark.parametrize("queued", [pytest.param(False, id="at once"), pytest.param(True, id="from the queue")])
def test_a_request_that_cannot_be_sent(queued: bool) -> None:
    """It is answered with the reason, and is no attempt of anything."""

    async def main() -> None:
        scene = Scene()
        if queued:
            await scene.ask("a")
        link = FakeLink(scene.dispatcher)
        link.error = InvalidRequest("parameter too large")
        scene.dispatcher.attach(link)
        if not queued:
            await scene.ask("a")
        assert (await scene.error("a")).message == "parameter too large"
        assert scene.dispatcher.statistics().waiting == 0

    run_virtual(main())


def test_no_memory_yet() -> None:
    """A link without shared memory to spare keeps its credit; the request waits until the link asks again."""

    async def main() -> None:
        scene = Scene()
        link = scene.link()
        link.full = True
        await scene.ask("a")
        assert scene.dispatcher.statistics().waiting == 1
        link.full = False
        scene.dispatcher.pump()
        link.answer()
        await scene.tasks["a"]

    run_virtual(main())


@pytest.mark.parametrize("seed", [pytest.param(seed, id=str(seed)) for seed in range(20)])
def test_every_request_is_answered_once(seed: int) -> None:
    """Whatever happens in whatever order: each request ends once, and no result stays unreleased."""
    import random

    choose = random.Random(seed)

    async def main() -> None:
        scene = Scene(max_waiting=8, max_attempts=3)
        links = [scene.link()]
        released = answered = 0
        for number in range(300):
            act = choose.choice(["ask", "ask", "ask", "answer", "answer", "cancel", "die", "time", "error"])
            link = links[-1]
            if act == "ask":
                now = asyncio.get_running_loop().time()
                await scene.ask(str(number), deadline=now + choose.choice([0.5, 5, FAR]))
            elif act in ("answer", "error") and link.works:
                link.answer(ExecutionFailed("x") if act == "error" else None)
            elif act == "cancel" and scene.tasks:
                scene.tasks[choose.choice(list(scene.tasks))].cancel()
            elif act == "die":
                link.die()
                links.append(scene.link())
            elif act == "time":
                await asyncio.sleep(1)
            await settle()
        while links[-1].works:
            links[-1].answer()
            await settle()
        for task in scene.tasks.values():
            assert task.done()
            if not task.cancelled() and task.exception() is None:
                answered += 1
                task.result().release()
            elif not task.cancelled():
                assert re.fullmatch(
                    "Overloaded|DeadlineExceeded|ReplicaLost|ExecutionFailed", type(task.exception()).__name__
                )
        released = sum(link.released for link in links)
        assert answered > 0
        assert released >= answered
        statistics = scene.dispatcher.statistics()
        assert (statistics.waiting, statistics.waiting_bytes) == (0, 0)

    run_virtual(main())
