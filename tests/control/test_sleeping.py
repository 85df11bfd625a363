"""Models on demand, on the virtual clock: requests wait for a waking, and nobody is lost between sleep and sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tidegate.control.activation import ActivationSettings
from tidegate.control.activator import Activator
from tidegate.control.sleeping import SleepingModel
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ModelLoadFailed,
    ModelNotReady,
    Overloaded,
    ShuttingDown,
    TidegateError,
)
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import identity_metadata
from tidegate.testing.clock import VirtualLoop, run_virtual
from tidegate.testing.lives import FakeLives


def request(rows: int = 1) -> InferRequest:
    return InferRequest("m", (Tensor.from_numpy("fp32", np.zeros((rows, 1), np.float32), Datatype.FP32),))


def now() -> float:
    return asyncio.get_running_loop().time()


class World:
    """An activator, and models that it wakes."""

    def __init__(self, **limits: float) -> None:
        self.metrics = Metrics("0")
        self.activator = Activator(ActivationSettings(**limits), self.metrics.activation)  # type: ignore[arg-type]

    def model(self, lives: FakeLives, **batching: int) -> SleepingModel:
        return SleepingModel(lives.settings(**batching), lives, self.activator)

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"tidegate_{name}", labels)


async def ask(model: SleepingModel, within: float = 60.0, rows: int = 1) -> float:
    """One request; returns when it was answered."""
    (await model.infer(request(rows), now() + within)).release()
    return now()


def begin(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


def test_a_request_wakes_the_model_and_waits_for_it() -> None:
    """Those that come meanwhile wait for the same waking; those that come after it wait for nothing."""

    async def main() -> None:
        world, lives = World(), FakeLives("m")
        model = world.model(lives)
        assert (model.readiness.ready, model.readiness.reason, model.awake) == (True, "asleep", False)
        first = begin(ask(model))
        await asyncio.sleep(0.5)
        assert (model.readiness.ready, model.readiness.reason, model.awake) == (True, "waking", True)
        assert model.statistics().batcher is not None
        assert model.statistics().batcher.depth.requests == 1  # type: ignore[union-attr]
        assert await ask(model) == 1.25
        assert await first == 1.25
        assert await ask(model) == 1.5
        assert len(lives.begun) == 1
        assert model.readiness.reason == ""
        assert world.figure("wakings_total", outcome="woken") == 1
        assert world.figure("waking_duration_seconds_sum") == 1.0
        assert (world.figure("awake_models"), world.figure("awake_bytes")) == (1, 100)
        await model.stop()
        assert (lives.alive, lives.closed) == (0, True)
        await asyncio.sleep(0)
        assert (world.figure("awake_models"), world.figure("awake_bytes")) == (0, 0)

    run_virtual(main())


def test_idle_models_sleep_and_wake_again_as_the_same() -> None:
    """Signature, configuration and sums are remembered."""

    async def main() -> None:
        world, lives = World(sleep_after=10.0), FakeLives("m")
        model = world.model(lives)
        with pytest.raises(ModelNotReady, match="it was never awake"):
            model.configuration()
        await ask(model)
        await asyncio.sleep(9.9)
        assert lives.alive == 1
        await asyncio.sleep(1)
        assert lives.alive == 0
        assert (model.metadata, model.configuration().name) == (lives.metadata, "m")
        assert world.figure("evictions_total", cause="idle") == 1
        before = model.statistics()
        assert before.executed[1].executions == 1
        await ask(model)
        assert model.statistics().executed[1].executions == 2

    run_virtual(main())


def test_nothing_ticks_while_all_sleep() -> None:
    """There is no timer that the time could jump to."""
    times: list[asyncio.AbstractEventLoop | float] = []

    async def main() -> None:
        model = World(sleep_after=10.0).model(FakeLives("m"))
        await ask(model)
        await asyncio.sleep(60)
        times.extend((asyncio.get_running_loop(), now()))
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="every task waits for something that will never come"):
        run_virtual(main())
    loop, last = times
    assert isinstance(loop, VirtualLoop)
    assert loop.time() == last


def test_a_request_while_it_goes_to_sleep_wakes_it_afterwards() -> None:
    """It does not meet the life that ends."""

    async def main() -> None:
        world, lives = World(sleep_after=10.0), FakeLives("m")
        model = world.model(lives)
        await ask(model)
        await asyncio.sleep(10.2)
        assert model.readiness.reason == "draining"
        began = now()
        assert await ask(model) - began < 0.5 + 1.0 + 0.25 + 0.01
        assert [life.alive for life in lives.begun] == [False, True]

    run_virtual(main())


def test_the_longest_unused_makes_room() -> None:
    """And a request that waits for room waits until there is some."""

    async def main() -> None:
        world = World(max_awake=2)
        lives = [FakeLives(name) for name in "abc"]
        models = [world.model(each) for each in lives]
        for model in models:
            await ask(model)
        assert [each.alive for each in lives] == [0, 1, 1]
        assert world.figure("evictions_total", cause="room") == 1
        lives[1].infer_seconds = lives[2].infer_seconds = 30.0
        busy = [begin(ask(model)) for model in models[1:]]
        await asyncio.sleep(1)
        with pytest.raises(DeadlineExceeded, match="passed while model 'a' had no room to wake"):
            await ask(models[0], within=5)
        began = now()
        assert await ask(models[0]) - began > 20
        await asyncio.gather(*busy)

    run_virtual(main())


def test_memory_that_was_not_expected_is_made_room_for() -> None:
    """What is measured counts, and what others of the runtime are likely to hold beside their files."""

    async def main() -> None:
        world = World(max_awake_bytes=250)
        lives = [FakeLives(name) for name in "abcd"]
        models = [world.model(each) for each in lives]
        await asyncio.gather(*map(ask, models[:3]))
        await asyncio.sleep(1)
        assert sum(each.alive for each in lives) == 2
        assert world.figure("awake_bytes") == 200
        await ask(models[3])
        assert sum(each.alive for each in lives) == 2

    run_virtual(main())


def test_a_failed_waking_answers_all_who_wait() -> None:
    """With its reason and when to come back; within the pause nobody is let in, and after it is tried again."""

    async def main() -> None:
        world, lives = World(), FakeLives("m")
        model = world.model(lives)
        lives.error = ModelLoadFailed("it is broken")
        results = await asyncio.gather(ask(model), ask(model), return_exceptions=True)
        for result in results:
            assert isinstance(result, ModelNotReady)
            assert (result.message, result.retry_after) == ("model 'm' is not ready: it is broken", 1.0)
        assert (model.readiness.ready, model.readiness.reason, model.readiness.holds_up) == (
            False,
            "it is broken",
            False,
        )
        assert lives.alive == 0
        await asyncio.sleep(0.5)
        with pytest.raises(ModelNotReady, match="it is broken") as caught:
            await ask(model)
        assert 0 < (caught.value.retry_after or 0) <= 0.5
        assert len(lives.begun) == 1
        counts = model.statistics().batcher.counts  # type: ignore[union-attr]
        assert (counts.arrived, counts.failed) == (3, 3)
        await asyncio.sleep(0.6)
        lives.error = None
        await ask(model)
        assert model.readiness.ready
        assert world.figure("wakings_total", outcome="failed") == 1

    run_virtual(main())


def test_a_foreign_error_is_one_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its cause, and the next waking is tried like after any other."""

    async def main() -> None:
        world, lives = World(), FakeLives("m")
        model = world.model(lives)
        lives.error = RuntimeError("a fault")
        with pytest.raises(ModelNotReady, match="internal error"):
            await ask(model)
        assert lives.alive == 0

    run_virtual(main())
    assert "a fault" in caplog.text


def test_a_load_is_a_waking() -> None:
    """Who wishes it reads the runtime's own error, and the model may fall asleep again."""

    async def main() -> None:
        world, lives = World(), FakeLives("m")
        model = world.model(lives)
        lives.error = ModelLoadFailed("it is broken")
        with pytest.raises(ModelLoadFailed, match="it is broken"):
            await model.wake(60)
        lives.error = None
        await asyncio.sleep(1)
        await model.wake(60)
        assert lives.alive == 1
        lives = FakeLives("n", load_seconds=10)
        model = world.model(lives)
        with pytest.raises(ModelNotReady, match="it is not awake after 5 s"):
            await model.wake(5)

    run_virtual(main())


def test_a_signature_is_woken_for_once() -> None:
    """And what was told goes with a request of the same turn, although another model waits for its room."""

    async def main() -> None:
        world = World(max_awake=1)
        one, other = FakeLives("a"), FakeLives("b")
        first, second = world.model(one), world.model(other)

        async def learn_and_ask() -> float:
            assert await first.signature(now() + 60, 4) == one.metadata
            return await ask(first)

        asked = begin(learn_and_ask())
        await asyncio.sleep(0.1)
        rival = begin(ask(second))
        assert await asked == 1.25
        await rival
        assert (len(one.begun), one.alive, other.alive) == (1, 0, 1)
        assert await first.signature(now() + 60) == one.metadata
        assert one.alive == 0

    run_virtual(main())


def test_another_signature_is_a_failed_waking() -> None:
    """Requests were checked against the one that was told."""

    async def main() -> None:
        world, lives = World(sleep_after=1), FakeLives("m")
        model = world.model(lives)
        await ask(model)
        await asyncio.sleep(2)
        lives.metadata = identity_metadata("m", Datatype.INT64)
        with pytest.raises(ModelNotReady, match="its signature is not what it was"):
            await ask(model)

    run_virtual(main())


@pytest.mark.parametrize("bound", [{"max_queue": 2}, {"max_queue_bytes": 8}])
def test_who_waits_is_bounded(bound: dict[str, int]) -> None:
    """As in the model's queue, and the refusal says when to come back."""

    async def main() -> None:
        world, lives = World(), FakeLives("m")
        model = world.model(lives, **bound)
        waiting = [begin(ask(model)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="2 requests with 2 rows wait for it to wake") as caught:
            await ask(model)
        assert caught.value.retry_after == 1.0
        await asyncio.gather(*waiting)
        counts = model.statistics().batcher.counts  # type: ignore[union-attr]
        assert counts.overloaded == 1

    run_virtual(main())


def test_deadlines_and_cancellations_hold_while_it_wakes() -> None:
    """One that is late on arrival wakes nobody."""

    async def main() -> None:
        world, lives = World(), FakeLives("m")
        model = world.model(lives)
        with pytest.raises(DeadlineExceeded, match="had passed when it reached model 'm'"):
            await ask(model, within=0)
        assert lives.begun == []
        gone = begin(ask(model))
        with pytest.raises(DeadlineExceeded, match="passed while model 'm' was waking"):
            await ask(model, within=0.5)
        gone.cancel()
        await asyncio.wait({gone})
        counts = model.statistics().batcher.counts  # type: ignore[union-attr]
        assert (counts.too_late, counts.expired, counts.cancelled, counts.arrived) == (1, 1, 1, 2)
        await asyncio.sleep(1)
        assert lives.alive == 1  # what was begun is not thrown away

    run_virtual(main())


def test_a_stream_is_work_until_it_is_closed() -> None:
    """However long its reader takes."""

    async def main() -> None:
        world, lives = World(sleep_after=5), FakeLives("m")
        model = world.model(lives)
        async with aclosing(model.stream(request(), now() + 1000)) as answers:
            async for answer in answers:
                answer.release()
                await asyncio.sleep(20)
                assert lives.alive == 1
        await asyncio.sleep(6)
        assert lives.alive == 0

    run_virtual(main())


def test_open_sequences_keep_a_model_awake() -> None:
    """Until they have ended, which is looked at as often as they may expire."""

    async def main() -> None:
        metadata = msgspec.structs.replace(identity_metadata("m"), stateful=True)
        world, lives = World(sleep_after=5), FakeLives("m", metadata=metadata)
        model = world.model(lives, sequence_idle=10)
        lives.open_sequences = 1
        await ask(model)
        await ask(model)
        await asyncio.sleep(100)
        assert lives.alive == 1
        lives.open_sequences = 0
        await asyncio.sleep(10 + 5 + 1)
        assert lives.alive == 0

    run_virtual(main())


@pytest.mark.parametrize("seconds", [0.5, 1.1, 6.4], ids=["waking", "executing", "draining"])
def test_it_ends_at_any_time(seconds: float) -> None:
    """Who waits is told, and nothing is left."""

    async def main() -> None:
        world, lives = World(sleep_after=5), FakeLives("m")
        model = world.model(lives)
        asked = begin(ask(model))
        await asyncio.sleep(seconds)
        late = begin(ask(model)) if seconds > 6 else asked
        await asyncio.sleep(0)
        await model.stop()
        assert (lives.alive, lives.closed) == (0, True)
        with pytest.raises(ShuttingDown):
            await late
        with pytest.raises(ShuttingDown):
            await ask(model)
        assert not model.readiness.ready
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_the_number_of_replicas_is_kept_for_the_next_life() -> None:
    """Said while it sleeps, it holds when it wakes; said while it is awake, at once, and when it wakes again."""

    async def main() -> None:
        lives = FakeLives("m")
        model = World(max_awake=1).model(lives)
        told: list[int] = []
        model.subscribe(lambda: told.append(model.ready))
        model.resize(3)
        assert (model.ready, lives.begun) == (0, [])
        await ask(model)
        assert (lives.begun[0].replicas, model.ready, told[-1]) == (3, 3, 3)
        model.resize(2)
        assert (lives.begun[0].replicas, told[-1]) == (2, 2)
        await model.stop()
        assert (model.ready, told[-1]) == (0, 0)

    run_virtual(main())


def test_a_second_life_has_the_replicas_of_the_first() -> None:
    """As they were told last."""

    async def main() -> None:
        world = World(max_awake=1)
        lives, others = FakeLives("m"), FakeLives("n")
        model, other = world.model(lives), world.model(others)
        await ask(model)
        model.resize(4)
        await ask(other)  # which puts it to sleep
        await ask(model)
        assert [life.replicas for life in lives.begun] == [4, 4]
        assert [life.replicas for life in others.begun] == [1]

    run_virtual(main())


def test_one_that_cannot_be_woken_is_hopeless_until_it_is_awake() -> None:
    """As its readiness says, too."""

    async def main() -> None:
        lives = FakeLives("m")
        model = World().model(lives)
        lives.error = ModelLoadFailed("it is none")
        assert not model.hopeless
        with pytest.raises(ModelNotReady):
            await ask(model)
        assert model.hopeless
        lives.error = None
        await asyncio.sleep(3600.0)
        await ask(model)
        assert not model.hopeless

    run_virtual(main())


class Machine(RuleBasedStateMachine):
    """Many models under few places: requests of all lengths, failures, cancellations, pauses, in any order."""

    @initialize(places=st.integers(1, 3), limit=st.sampled_from([0, 150, 350]), sleep_after=st.sampled_from([0.0, 3.0]))
    def begin(self, places: int, limit: int, sleep_after: float) -> None:
        self.loop = VirtualLoop()
        self.places = places
        self.run(self.make(max_awake=places, max_awake_bytes=limit, sleep_after=sleep_after))
        self.tasks: list[asyncio.Task[Any]] = []
        self.told = [0, 0, 0, 0]

    async def make(self, **limits: float) -> None:
        self.world = World(**limits)
        self.lives = [FakeLives(name, load_seconds=0.5 + n, nbytes=50 + 40 * n) for n, name in enumerate("abcd")]
        self.models = [self.world.model(each) for each in self.lives]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @rule(number=st.integers(0, 3), within=st.sampled_from([0.3, 2.0, 500.0]), learns=st.booleans())
    def ask(self, number: int, within: float, learns: bool) -> None:
        async def work() -> None:
            deadline = now() + within
            if learns:
                await self.models[number].signature(deadline)
            (await self.models[number].infer(request(), deadline)).release()

        self.tasks.append(self.loop.create_task(work()))
        self.run(asyncio.sleep(0))

    @rule(number=st.integers(0, 3), awake=st.booleans())
    def wish(self, number: int, awake: bool) -> None:
        self.models[number].wish(awake)

    @rule(number=st.integers(0, 3), seconds=st.sampled_from([0.0, 0.2, 4.0]))
    def change(self, number: int, seconds: float) -> None:
        self.lives[number].infer_seconds = seconds

    @rule(number=st.integers(0, 3), fails=st.booleans())
    def break_or_mend(self, number: int, fails: bool) -> None:
        self.lives[number].error = ModelLoadFailed("broken") if fails else None

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if going := [task for task in self.tasks if not task.done()]:
            data.draw(st.sampled_from(going)).cancel()
            self.run(asyncio.sleep(0))

    @rule(seconds=st.sampled_from([0.05, 0.5, 1.0, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def limits_hold(self) -> None:
        assert sum(each.alive for each in self.lives) <= self.places

    @invariant()
    def nobody_is_interrupted(self) -> None:
        """A model is put to sleep only when it has no request."""
        assert not any(life.interrupted for each in self.lives for life in each.begun)

    @invariant()
    def sums_only_grow(self) -> None:
        """Over any number of lives."""
        told = [sum(each.executions for each in model.statistics().executed.values()) for model in self.models]
        assert told == [each.answered for each in self.lives]
        assert all(after >= before for after, before in zip(told, self.told, strict=True))
        self.told = told

    def teardown(self) -> None:
        """Everybody has an answer, and what is stopped leaves nothing."""
        if not hasattr(self, "loop"):
            return
        self.run(asyncio.sleep(600))
        for task in self.tasks:
            assert task.done()
            if not task.cancelled():
                assert task.exception() is None or isinstance(task.exception(), TidegateError)
        for lives in self.lives:
            lives.error = None
        self.run(self.end())
        assert not any(each.alive for each in self.lives)
        assert self.world.figure("awake_models") == 0
        self.loop.close()

    async def end(self) -> None:
        await asyncio.gather(*(ask(model, within=500) for model in self.models))
        await asyncio.gather(*(model.stop() for model in self.models))
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
