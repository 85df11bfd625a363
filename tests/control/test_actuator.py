"""Revisions on one machine, on the virtual clock: what runs becomes what is wished, whatever comes between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tidegate.control.activation import ActivationSettings
from tidegate.control.activator import Activator
from tidegate.control.actuator import LocalActuator, LocalActuatorSettings
from tidegate.control.model import Model
from tidegate.control.sleeping import SleepingModel
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, ShuttingDown
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.log import Log
from tidegate.resources.actuator import Phase, Resolved, RevisionId, Standing, Workload
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.clock import VirtualLoop, run_virtual
from tidegate.testing.lives import FakeLife, FakeLives

ONE = RevisionId("default", "iris", 1)
FAR = 1e6


def workload(replicas: int = 1, revision: RevisionId = ONE, *, sleeps: bool = False) -> Workload:
    resolved = Resolved("m", "sha256:0", version="7", runtime="fake/1", format="fake")
    return Workload(revision, {}, resolved, replicas, sleeps=sleeps)


def request() -> InferRequest:
    return InferRequest("iris", (Tensor.from_numpy("fp32", np.zeros((1, 1), np.float32), Datatype.FP32),))


class Stage:
    """An actuator over lives of fake models; ``told`` is how revision 1 stood whenever a change was told."""

    def __init__(self, **settings: float) -> None:
        self.lives = FakeLives("iris")
        self.make_seconds = 0.0
        self.error: Exception | None = None
        self.logs: list[Log] = []
        self.actuator = LocalActuator(self.make, LocalActuatorSettings(**settings))  # type: ignore[arg-type]
        self.told: list[Standing | None] = []
        self.actuator.subscribe(self._changed)

    async def make(self, workload: Workload, log: Log) -> Model:
        await asyncio.sleep(self.make_seconds)
        self.logs.append(log)
        if self.error is not None:
            raise self.error
        if not workload.sleeps:
            return self.lives.next()
        lives = FakeLives("iris")
        lives.begun = self.lives.begun  # all in one list
        return SleepingModel(lives.settings(), lives, self.activator)

    @cached_property
    def activator(self) -> Activator:
        """Of what sleeps; made in the loop that it is used in."""
        return Activator(ActivationSettings(), Metrics("test").activation)

    @property
    def life(self) -> FakeLife:
        return self.lives.begun[-1]

    def _changed(self, namespace: str, service: str) -> None:
        assert (namespace, service) == ("default", "iris")
        self.told.append(self.stands())

    @property
    def standings(self) -> Mapping[int, Standing]:
        work = self.actuator.observe("default", "iris")
        try:
            work.send(None)
        except StopIteration as told:
            found: Mapping[int, Standing] = told.value
            return found
        raise AssertionError("to observe takes no time")

    def stands(self) -> Standing | None:
        return self.standings.get(1)

    @property
    def phases(self) -> list[str]:
        """In the order in which they were told, each once in a row; "" where it does not run."""
        names = [standing.phase.value if standing else "" for standing in self.told]
        return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]

    async def ask(self) -> None:
        lease = self.actuator.backend(ONE)
        assert lease is not None
        (await lease.infer(request(), FAR)).release()


def run(main: Coroutine[Any, Any, None]) -> None:
    run_virtual(main)


def test_a_life_from_start_to_end() -> None:
    """It is made, started, takes requests, finishes them, and is gone; every change is told, and none twice."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload(2))
        assert stage.stands() == Standing(Phase.STARTING, 0, 2, "it is being made")
        await asyncio.sleep(2.0)
        assert stage.stands() == Standing(Phase.READY, 2, 2)
        lease = stage.actuator.backend(ONE)
        assert lease is not None
        assert (lease.offer.model, lease.offer.version, lease.offer.source.runtime) == ("iris", "7", "fake")
        asking = asyncio.create_task(stage.ask())
        await asyncio.sleep(0.1)
        await stage.actuator.end(ONE)
        assert stage.stands() == Standing(Phase.ENDING, 2, 0, "it finishes what it has")
        await asking
        await asyncio.sleep(1.0)
        assert (stage.stands(), stage.actuator.backend(ONE)) == (None, None)
        assert (stage.lives.alive, stage.life.interrupted) == (0, 0)
        assert stage.phases == ["Starting", "Ready", "Ending", ""]
        assert all(one != other for one, other in zip(stage.told, stage.told[1:], strict=False))

    run(main())


def test_told_again_it_does_nothing() -> None:
    """It is level-based: no second life, and nothing to tell."""

    async def main() -> None:
        stage = Stage()
        for _ in range(3):
            await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        told = len(stage.told)
        await stage.actuator.run(workload())
        await stage.actuator.end(RevisionId("default", "iris", 2))
        await asyncio.sleep(2.0)
        assert (len(stage.lives.begun), len(stage.told)) == (1, told)
        await stage.actuator.stop()

    run(main())


def test_the_number_of_replicas_changes_while_it_runs() -> None:
    """Also while it is made, or starts; 0 is the end of it."""

    async def main() -> None:
        stage = Stage()
        stage.make_seconds = 1.0
        await stage.actuator.run(workload(1))
        await asyncio.sleep(0.5)
        await stage.actuator.run(workload(3))
        await asyncio.sleep(1.0)
        assert stage.life.replicas == 3
        await stage.actuator.run(workload(2))
        await asyncio.sleep(1.0)
        assert stage.stands() == Standing(Phase.READY, 2, 2)
        await stage.actuator.run(workload(4))
        assert stage.stands() == Standing(Phase.READY, 4, 4)
        await stage.actuator.run(workload(0))
        await asyncio.sleep(1.0)
        assert (stage.stands(), len(stage.lives.begun)) == (None, 1)

    run(main())


def test_one_that_is_asked_for_while_it_drains_goes_on() -> None:
    """The same life, and the request in the middle notices nothing."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        asking = asyncio.create_task(stage.ask())
        await asyncio.sleep(0.1)
        await stage.actuator.end(ONE)
        await asyncio.sleep(0.1)
        await stage.actuator.run(workload())
        await asking
        await asyncio.sleep(5.0)
        assert (stage.stands(), len(stage.lives.begun)) == (Standing(Phase.READY, 1, 1), 1)
        await stage.ask()
        await stage.actuator.stop()

    run(main())


def test_one_that_is_asked_for_while_it_stops_starts_anew() -> None:
    """Once the life before is gone: it is never there twice."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        await stage.actuator.end(ONE)
        await asyncio.sleep(0.1)
        await stage.actuator.run(workload(2))
        assert stage.stands() == Standing(Phase.STARTING, 0, 2, "it is being made")
        assert stage.lives.alive == 1
        await asyncio.sleep(5.0)
        assert (stage.lives.alive, len(stage.lives.begun)) == (1, 2)
        assert stage.stands() == Standing(Phase.READY, 2, 2)
        await stage.actuator.stop()

    run(main())


@pytest.mark.parametrize("making", [0.0, 2.0])
def test_one_that_is_to_end_before_it_is_ready(making: float) -> None:
    """It is broken off, and can be asked for again at once."""

    async def main() -> None:
        stage = Stage()
        stage.make_seconds = making
        stage.lives.load_seconds = 2.0
        await stage.actuator.run(workload())
        await asyncio.sleep(1.0)
        await stage.actuator.end(ONE)
        await stage.actuator.run(workload())
        await stage.actuator.end(ONE)
        await asyncio.sleep(2.5)
        assert (stage.stands(), stage.lives.alive) == (None, 0)
        assert "Ready" not in stage.phases

    run(main())


@pytest.mark.parametrize("wished_again_after", [0.0, 0.1, 0.5, 0.6, 2.0])
def test_one_whose_start_was_broken_off_starts_anew(wished_again_after: float) -> None:
    """Whenever it is wished for again."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload())
        await asyncio.sleep(0.5)
        await stage.actuator.end(ONE)
        await asyncio.sleep(wished_again_after)
        await stage.actuator.run(workload())
        await asyncio.sleep(5.0)
        assert (stage.stands(), stage.lives.alive) == (Standing(Phase.READY, 1, 1), 1)
        await stage.actuator.stop()

    run(main())


@pytest.mark.parametrize("turns", range(16))
def test_one_that_is_asked_for_in_the_moment_of_its_breaking_off_starts_anew(turns: int) -> None:
    """In whichever turn of the loop that is."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload())
        await asyncio.sleep(0.5)
        await stage.actuator.end(ONE)
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.actuator.run(workload())
        await asyncio.sleep(5.0)
        assert (stage.stands(), stage.lives.alive) == (Standing(Phase.READY, 1, 1), 1)
        await stage.ask()
        await stage.actuator.stop()

    run(main())


@pytest.mark.parametrize("turns", range(16))
def test_one_that_is_asked_for_in_the_moment_of_its_end_starts_anew(turns: int) -> None:
    """In whichever turn of the loop that is."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        await stage.actuator.end(ONE)
        await asyncio.sleep(stage.lives.stop_seconds)
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.actuator.run(workload())
        await asyncio.sleep(5.0)
        assert (stage.stands(), stage.lives.alive) == (Standing(Phase.READY, 1, 1), 1)
        await stage.actuator.stop()

    run(main())


def test_one_that_is_wished_for_and_away_while_it_drains_still_drains() -> None:
    """Its request is answered, however quickly minds change."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        asking = asyncio.create_task(stage.ask())
        await asyncio.sleep(0.1)
        for _ in range(3):
            await stage.actuator.end(ONE)
            await asyncio.sleep(0)
            await stage.actuator.run(workload())
        await stage.actuator.end(ONE)
        await asking
        await asyncio.sleep(1.0)
        assert (stage.stands(), stage.life.interrupted) == (None, 0)

    run(main())


def test_a_crash_is_told_at_once_and_so_is_the_way_back() -> None:
    """Not ready, then given up, then ready again; the life is the same."""

    async def main() -> None:
        stage = Stage()
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        told = len(stage.told)
        stage.life.crash()
        stage.life.crash(hopeless=True)
        stage.life.recover()
        assert [standing and standing.phase for standing in stage.told[told:]] == [
            Phase.STARTING,
            Phase.FAILED,
            Phase.READY,
        ]
        await stage.actuator.stop()

    run(main())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(ModelLoadFailed("it is none"), "it is none", id="refused"),
        pytest.param(ModelLoadFailed("it is\n  none"), "it is none", id="in several lines"),
        pytest.param(ValueError("a fault of ours"), "internal error; the server's log has the cause", id="our fault"),
    ],
)
@pytest.mark.parametrize("where", ["make", "start"])
def test_one_that_cannot_be_loaded_has_failed(where: str, error: Exception, reason: str) -> None:
    """It says why, is not tried again by itself, and can end; asked for anew, it starts anew."""

    async def main() -> None:
        stage = Stage()
        stage.error, stage.lives.error = (error, None) if where == "make" else (None, error)
        await stage.actuator.run(workload())
        await asyncio.sleep(60.0)
        assert stage.stands() == Standing(Phase.FAILED, 0, 1, reason)
        assert len(stage.logs) == 1
        await stage.actuator.end(ONE)
        await asyncio.sleep(1.0)
        assert (stage.stands(), stage.lives.alive) == (None, 0)
        stage.error = stage.lives.error = None
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        assert stage.stands() == Standing(Phase.READY, 1, 1)
        await stage.actuator.stop()

    run(main())


def test_what_this_machine_lacks_is_tried_again() -> None:
    """A full disk, no descriptor: at pauses of a minute at most, until it is there."""

    async def main() -> None:
        stage = Stage()
        stage.error = OSError("no space left on device")
        await stage.actuator.run(workload())
        await asyncio.sleep(600.0)
        assert stage.phases[-1] == "Failed"
        tried = len(stage.logs)
        assert 10 <= tried <= 20
        stage.error = None
        await asyncio.sleep(62.0)
        assert stage.stands() == Standing(Phase.READY, 1, 1)
        assert len(stage.logs) == tried + 1
        await stage.actuator.stop()

    run(main())


def test_one_that_is_late_has_failed_until_it_is_there() -> None:
    """Whoever keeps its replicas tries on."""

    async def main() -> None:
        stage = Stage()
        stage.lives.error = ModelNotReady("iris", "it is not ready after 600 s")
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        assert stage.stands() == Standing(Phase.FAILED, 0, 1, stage.lives.error.message)
        stage.life.recover()
        assert stage.stands() == Standing(Phase.READY, 1, 1)
        stage.life.crash()
        assert stage.phases[-1] == "Starting"
        await stage.actuator.stop()

    run(main())


def test_a_stop_ends_all_and_takes_no_more() -> None:
    """It does not wait for requests in front, nor for what is made or started; nobody comes back."""

    async def main() -> None:
        stage = Stage()
        stage.lives.infer_seconds = 100.0
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        asking = asyncio.create_task(stage.ask())
        await asyncio.sleep(0.1)
        await stage.actuator.end(ONE)  # which waits for the request
        await asyncio.sleep(50.0)
        assert stage.stands() is not None
        for number in (2, 3):
            await stage.actuator.run(workload(1, RevisionId("default", "iris", number)))
        began = asyncio.get_running_loop().time()
        await stage.actuator.stop()
        assert asyncio.get_running_loop().time() < began + 5.0
        assert (stage.standings, stage.lives.alive) == ({}, 0)
        with pytest.raises(ShuttingDown):
            await stage.actuator.run(workload())
        await asyncio.gather(asking, return_exceptions=True)

    run(main())


def test_a_kill_ends_what_stands_in_the_way() -> None:
    """A stop after it returns as soon as all is gone."""

    async def main() -> None:
        stage = Stage()
        stage.make_seconds = 1.0
        for number in (1, 2):
            await stage.actuator.run(workload(1, RevisionId("default", "iris", number)))
            await asyncio.sleep(0.9)
        stage.actuator.kill()
        await stage.actuator.stop()
        assert (stage.standings, stage.lives.alive) == ({}, 0)

    run(main())


def test_who_is_told_and_fails_holds_nobody_up() -> None:
    """The others are told, and the revision lives."""

    async def main() -> None:
        stage = Stage()

        def fail(namespace: str, service: str) -> None:
            raise ValueError("a fault of a subscriber")

        stage.actuator.subscribe(fail)
        stage.actuator.subscribe(stage._changed)
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        assert stage.stands() == Standing(Phase.READY, 1, 1)
        await stage.actuator.stop()

    run(main())


def test_the_log_of_a_revision() -> None:
    """What its replicas have written, over all its lives; who follows it comes to an end with it."""

    async def main() -> None:
        stage = Stage()
        assert (stage.actuator.logs(ONE), stage.actuator.follow(ONE)) == ((), None)
        await stage.actuator.run(workload())
        await asyncio.sleep(2.0)
        stage.logs[0].replica().write(b"one\n", at=1.0)
        follower = stage.actuator.follow(ONE)
        assert follower is not None
        stage.logs[0].replica().write(b"two\n", at=2.0)
        assert [line.text for line in stage.actuator.logs(ONE)] == ["one", "two"]
        await stage.actuator.stop()
        assert [line.text async for line in follower] == ["two"]

    run(main())


def as_wished(wished: Workload) -> Standing:
    """How it stands once everything has happened."""
    asleep = wished.sleeps and not wished.replicas
    reason = "it sleeps until somebody asks for it" if asleep else ""
    return Standing(Phase.READY, wished.replicas, wished.replicas, reason, wished.sleeps, asleep)


class Wishes(RuleBasedStateMachine):
    """Two revisions are wished for and away again, crash and come back, at any time; in the end it is as wished."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.stage = Stage()
        self.wishes: dict[int, Workload | None] = {}
        self.asks: list[asyncio.Task[None]] = []

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    @rule(
        number=st.integers(1, 2),
        replicas=st.integers(0, 3),
        sleeps=st.booleans(),
        seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 5.0]),
    )
    def wish(self, number: int, replicas: int, sleeps: bool, seconds: float) -> None:
        wished = workload(replicas, RevisionId("default", "iris", number), sleeps=sleeps)
        self.wishes[number] = wished if replicas or sleeps else None
        self.do(self.stage.actuator.run(wished))
        self.do(asyncio.sleep(seconds))

    @rule(number=st.integers(1, 2))
    def wish_away(self, number: int) -> None:
        self.wishes[number] = None
        self.do(self.stage.actuator.end(RevisionId("default", "iris", number)))

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @precondition(lambda self: self.stage.stands() and self.stage.stands().phase is Phase.READY)
    @rule()
    def ask(self) -> None:
        self.asks.append(self.loop.create_task(self.stage.ask()))
        self.do(asyncio.sleep(0))

    def teardown(self) -> None:
        try:
            self.do(asyncio.sleep(10.0))
            expected = {number: as_wished(wished) for number, wished in self.wishes.items() if wished is not None}
            assert self.stage.standings == expected
            assert self.stage.lives.alive == sum(not standing.asleep for standing in expected.values())
            for ask in self.asks:
                ask.result()  # whoever was let in was answered
            self.do(self.stage.actuator.stop())
            assert self.stage.lives.alive == 0
        finally:
            self.loop.close()


TestWishes = Wishes.TestCase
TestWishes.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
