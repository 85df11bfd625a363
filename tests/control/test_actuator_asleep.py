"""Revisions that sleep on one machine, on the virtual clock: who asks is answered, whatever is wished meanwhile."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, ParamSpec

import msgspec
import numpy as np
import pytest

from tidegate.control.activation import ActivationSettings
from tidegate.control.activator import Activator
from tidegate.control.actuator import LocalActuator, LocalActuatorSettings
from tidegate.control.lease import Lease
from tidegate.control.model import Model
from tidegate.control.sleeping import SleepingModel
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import DeadlineExceeded, ModelLoadFailed, ModelNotReady, Overloaded, TidegateError
from tidegate.protocol.messages import InferRequest, ModelMetadata
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.log import Log
from tidegate.resources.actuator import Phase, Resolved, RevisionId, Standing, Workload
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.clock import VirtualLoop, run_virtual
from tidegate.testing.lives import FakeLives

ONE = RevisionId("default", "iris", 1)
RESOLVED = Resolved("m", "sha256:0", version="7", runtime="fake/1", format="fake")
SLEEPER = Workload(ONE, {}, RESOLVED, 1, sleeps=True)
ASLEEP = Standing(Phase.READY, 0, 1, "it sleeps until somebody asks for it", sleeps=True, asleep=True)
AWAKE = Standing(Phase.READY, 1, 1, sleeps=True)
P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """A test that is a coroutine, in a loop of its own whose time is virtual."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        run_virtual(main())

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


def wished(**changes: Any) -> Workload:
    return msgspec.structs.replace(SLEEPER, **changes)


class Stage:
    """An actuator over fake models. A load takes a second, an answer a quarter, an end half of one."""

    def __init__(self, batching: dict[str, int] | None = None, **limits: float) -> None:
        self.lives = FakeLives("iris")
        self.batching = batching or {}
        self.activator = Activator(ActivationSettings(**limits), Metrics("test").activation)  # type: ignore[arg-type]
        self.actuator = LocalActuator(self._make, LocalActuatorSettings(), self)
        self.happened: list[str] = []

    async def _make(self, workload: Workload, log: Log) -> Model:
        if not workload.sleeps:
            return self.lives.next()
        lives = FakeLives("iris")
        lives.begun, lives.error = self.lives.begun, self.lives.error
        self.sleeping = lives
        return SleepingModel(lives.settings(**self.batching), lives, self.activator)

    async def stands(self) -> Standing | None:
        return (await self.actuator.observe("default", "iris")).get(1)

    async def run(self, workload: Workload = SLEEPER, seconds: float = 2.0) -> None:
        await self.actuator.run(workload)
        await asyncio.sleep(seconds)

    @property
    def lease(self) -> Lease:
        found = self.actuator.backend(ONE)
        assert found is not None
        return found

    async def ask(self, within: float = 60.0, count: int = 1) -> float:
        """Requests that come together; when all of them were answered."""
        deadline = now() + within
        answers = await asyncio.gather(*(self.lease.infer(request(), deadline) for _ in range(count)))
        for answer in answers:
            answer.release()
        return now()

    # The observer.

    def loaded(self, workload: Workload, seconds: float, metadata: ModelMetadata) -> None:
        self.happened.append("loaded")

    def failed(self, workload: Workload, error: TidegateError) -> None:
        self.happened.append(f"failed: {error.message}")

    def unloaded(self, workload: Workload) -> None:
        self.happened.append("unloaded")


def request() -> InferRequest:
    return InferRequest("iris", (Tensor.from_numpy("fp32", np.zeros((1, 1), np.float32), Datatype.FP32),))


def begin(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


@in_virtual_time
async def test_it_is_loaded_once_then_sleeps_and_wakes_at_once() -> None:
    """The first request after sleep waits for the load and for nothing else; many that come together share it."""
    stage = Stage(sleep_after=10.0)
    await stage.run()
    assert await stage.stands() == AWAKE
    assert stage.happened == ["loaded"]
    await asyncio.sleep(10.0)
    assert await stage.stands() == ASLEEP
    assert stage.lives.alive == 0
    began = now()
    assert await stage.ask(count=100) == began + 1.25
    assert len(stage.lives.begun) == 2
    assert await stage.stands() == AWAKE
    await stage.actuator.stop()
    assert stage.happened == ["loaded", "unloaded"]


def test_nothing_ticks_while_it_sleeps() -> None:
    """There is no timer that the time could jump to."""

    async def main() -> Stage:
        stage = Stage(sleep_after=10.0)
        await stage.run(seconds=60.0)
        assert await stage.stands() == ASLEEP
        return stage

    loop = VirtualLoop()
    stage = loop.run_until_complete(main())
    never = loop.create_task(asyncio.Event().wait())
    with pytest.raises(RuntimeError, match="every task waits for something that will never come"):
        loop.run_until_complete(never)
    never.cancel()
    loop.run_until_complete(stage.actuator.stop())
    loop.close()


@in_virtual_time
async def test_a_request_is_held_within_its_deadline_and_within_the_queue() -> None:
    """Beyond them it is refused: when to come back is said, where that can help."""
    stage = Stage({"max_queue": 2})
    await stage.run(wished(known=True))
    assert await stage.stands() == ASLEEP
    tasks = [begin(stage.ask(within)) for within in (0.5, 60.0)]
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded, match="is asleep, and 2 requests") as refused:
        await stage.ask()
    assert refused.value.retry_after == 1.0
    with pytest.raises(DeadlineExceeded, match="while model 'iris' was waking"):
        await tasks[0]
    await tasks[1]
    await stage.actuator.stop()


@in_virtual_time
async def test_it_never_sleeps_with_a_request_or_a_stream() -> None:
    """Neither by the time nor because it is wished: it finishes what it has, and sleeps then."""
    stage = Stage(sleep_after=3.0)
    await stage.run()
    stage.sleeping.infer_seconds = 20.0
    asked = begin(stage.ask(100.0))
    await asyncio.sleep(1.0)
    await stage.run(wished(replicas=0), 10.0)
    assert await stage.stands() == Standing(Phase.READY, 1, 0, sleeps=True)
    await asked
    await asyncio.sleep(0.01)
    standing = await stage.stands()
    assert standing is not None
    assert standing.asleep
    await stage.run(wished(replicas=1), 2.0)

    async def read() -> int:
        async with aclosing(stage.lease.stream(request(), now() + 100.0)) as answers:
            count = 0
            async for answer in answers:
                answer.release()
                count += 1
            return count

    assert await read() == 2
    assert not any(life.interrupted for life in stage.lives.begun)
    await stage.actuator.stop()


@in_virtual_time
async def test_of_no_replicas_it_sleeps_whenever_it_is_idle() -> None:
    """A request wakes it whatever is wished, and it sleeps after it once more."""
    stage = Stage()
    await stage.run(wished(replicas=0), 5.0)
    for lives in (2, 3):
        began = now()
        assert await stage.ask() == began + 1.25
        await asyncio.sleep(1.0)
        assert stage.lives.alive == 0
        assert len(stage.lives.begun) == lives
    await stage.run(wished(replicas=2), 1.5)
    assert await stage.stands() == Standing(Phase.READY, 2, 2, sleeps=True)
    await stage.actuator.stop()


@in_virtual_time
async def test_an_end_waits_for_those_who_wait_for_it_to_wake() -> None:
    """Draining cuts nobody off; one that sleeps ends at once."""
    stage = Stage()
    await stage.run(wished(known=True))
    asked = begin(stage.ask(count=10))
    await asyncio.sleep(0.5)
    began = now()
    await stage.actuator.end(ONE)
    assert await asked == began + 0.75
    await asyncio.sleep(0.6)
    assert await stage.stands() is None
    await stage.run(wished(known=True))
    await stage.actuator.end(ONE)
    await asyncio.sleep(0.01)
    assert await stage.stands() is None
    assert stage.lives.alive == 0


@in_virtual_time
async def test_one_that_is_asked_for_while_it_stops_is_loaded_again() -> None:
    """As one is that runs nowhere: it takes over from another, which has callers."""
    stage = Stage()
    await stage.run()
    await stage.actuator.end(ONE)
    await asyncio.sleep(0.1)
    await stage.run(seconds=1.0)
    standing = await stage.stands()
    assert standing is not None
    assert (standing.phase, standing.answers) == (Phase.STARTING, False)
    await asyncio.sleep(1.0)
    assert await stage.stands() == AWAKE
    await stage.actuator.stop()


@in_virtual_time
async def test_one_that_cannot_be_loaded_is_told_before_anybody_asks() -> None:
    """And is not tried again: trying changes nothing."""
    stage = Stage()
    stage.lives.error = ModelLoadFailed("it is no model")
    await stage.run(seconds=500.0)
    assert await stage.stands() == Standing(Phase.FAILED, 0, 1, "it is no model", sleeps=True)
    assert len(stage.lives.begun) == 1
    assert stage.happened == ["failed: it is no model"]
    await stage.actuator.stop()


@in_virtual_time
async def test_one_that_was_not_ready_in_time_is_tried_again() -> None:
    """Nobody asks for it while it takes no requests, so that the actuator does; with a pause that doubles."""
    stage = Stage()
    stage.lives.error = ModelNotReady("iris", "it crashes")
    await stage.run(seconds=10.0)
    standing = await stage.stands()
    assert standing is not None
    assert (standing.phase, standing.answers) == (Phase.FAILED, False)
    assert len(stage.lives.begun) == 3
    stage.sleeping.error = None
    await asyncio.sleep(10.0)
    assert await stage.stands() == AWAKE
    await stage.actuator.stop()


@in_virtual_time
async def test_one_that_is_tried_again_can_be_ended() -> None:
    """The pause is not waited for."""
    stage = Stage()
    stage.lives.error = ModelNotReady("iris", "it crashes")
    await stage.run(seconds=100.0)
    await stage.actuator.end(ONE)
    await asyncio.sleep(1.0)
    assert await stage.stands() is None


@in_virtual_time
async def test_a_waking_that_fails_is_told_and_tried_by_the_next_request() -> None:
    """After its pause; who comes before is refused, and told when to come back."""
    stage = Stage()
    await stage.run(wished(known=True))
    stage.sleeping.error = ModelLoadFailed("its file is gone")
    with pytest.raises(ModelNotReady, match="its file is gone") as refused:
        await stage.ask()
    assert refused.value.retry_after == 1.0
    assert await stage.stands() == Standing(Phase.FAILED, 0, 1, "its file is gone", sleeps=True)
    stage.sleeping.error = None
    await asyncio.sleep(1.0)
    await stage.ask()
    assert await stage.stands() == AWAKE
    await stage.actuator.stop()


@pytest.mark.parametrize("sleeps", [False, True])
@in_virtual_time
async def test_another_model_takes_its_place_where_sleep_is_wished_otherwise(sleeps: bool) -> None:
    """Nobody is refused or cut off: what executes ends where it is, and what comes goes to the one that is ready."""
    stage = Stage()
    before = wished(sleeps=not sleeps)
    await stage.run(before)
    first = stage.lease
    stage.lives.begun[0]._lives.infer_seconds = 3.0
    asked = begin(stage.ask(100.0))
    await stage.run(wished(sleeps=sleeps), 0.5)
    assert stage.lease is first
    await asyncio.sleep(1.0)
    assert stage.lease is not first
    assert await stage.stands() == Standing(Phase.READY, 1, 1, sleeps=sleeps)
    await stage.ask()
    await asked
    await asyncio.sleep(1.0)
    assert stage.lives.alive == 1
    assert not any(life.interrupted for life in stage.lives.begun)
    assert stage.happened == ["loaded"]
    await stage.actuator.stop()


@in_virtual_time
async def test_what_cannot_take_its_place_changes_nothing() -> None:
    """It goes on as it is, and is not tried again and again."""
    stage = Stage()
    await stage.run(wished(sleeps=False))
    first = stage.lease
    stage.lives.error = ModelLoadFailed("there is no memory for two")
    await stage.run(seconds=500.0)
    assert stage.lease is first
    assert await stage.stands() == AWAKE
    assert len(stage.lives.begun) == 2
    stage.lives.error = None
    await stage.ask()
    await stage.actuator.stop()
    assert stage.lives.alive == 0


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5, 3.0])
@in_virtual_time
async def test_a_kill_ends_both_while_one_takes_the_other_s_place(seconds: float) -> None:
    """Whether the new one is still being loaded, or the old one has a request."""
    stage = Stage()
    await stage.run(wished(sleeps=False))
    stage.lives.infer_seconds = 50.0
    asked = begin(stage.ask(100.0))
    await stage.run(seconds=seconds)
    stage.actuator.kill()
    await stage.actuator.stop()
    assert stage.lives.alive == 0
    asked.cancel()
    await asyncio.wait({asked})
