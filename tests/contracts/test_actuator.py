"""What every actuator promises, held against each, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tidegate.protocol.errors import ShuttingDown
from tidegate.resources.actuator import Phase, RevisionId, Standing, Workload
from tidegate.testing.actuators import ActuatorStage, FakeStage, LocalStage, Standings
from tidegate.testing.clock import run_virtual

STAGES: tuple[type[ActuatorStage], ...] = (FakeStage, LocalStage)
Test = Callable[[ActuatorStage], Awaitable[None]]


def on_every_stage(test: Test) -> Callable[[type[ActuatorStage]], None]:
    """A test that is a coroutine, on each stage there is. Within 1,000 seconds everything has happened."""

    @pytest.mark.parametrize("kind", STAGES, ids=lambda kind: kind.__name__)
    def run(kind: type[ActuatorStage]) -> None:
        async def main() -> None:
            stage = kind()
            try:
                async with asyncio.timeout(1000.0):
                    await test(stage)
            finally:
                await stage.close()

        run_virtual(main())

    run.__doc__ = test.__doc__
    return run


def sleeping(workload: Workload, replicas: int = 1, **changes: bool) -> Workload:
    """The same as one that sleeps."""
    return msgspec.structs.replace(workload, replicas=replicas, **({"sleeps": True} | changes))


def is_asleep(standings: Standings) -> bool:
    """Whether revision 1 is ready, and sleeps."""
    standing = standings.get(1)
    return standing is not None and standing.phase is Phase.READY and standing.asleep and standing.answers


def is_awake(standings: Standings) -> bool:
    standing = standings.get(1)
    return standing is not None and standing.phase is Phase.READY and standing.ready > 0 and not standing.asleep


def is_asleep_or_gone(standings: Standings) -> bool:
    return is_asleep(standings) or not standings[1].answers


def is_awake_or_gone(standings: Standings) -> bool:
    return is_awake(standings) or not standings[1].answers


def is_ready(number: int, replicas: int = 1) -> Callable[[Standings], bool]:
    return lambda standings: standings.get(number) == Standing(Phase.READY, replicas, replicas)


@on_every_stage
async def test_what_was_not_asked_for_does_not_run(stage: ActuatorStage) -> None:
    """There is nothing to observe, and nobody is told of anything."""
    assert await stage.standings() == {}
    assert stage.told == []


@on_every_stage
async def test_running_is_noted_before_it_is_ready(stage: ActuatorStage) -> None:
    """The call does not wait for the model."""
    await stage.actuator.run(stage.good(replicas=2))
    [(number, now)] = (await stage.standings()).items()
    assert (number, now.phase, now.ready, now.wanted) == (1, Phase.STARTING, 0, 2)


@on_every_stage
async def test_a_revision_becomes_ready_with_all_its_replicas(stage: ActuatorStage) -> None:
    """Whoever subscribed is told of it, and no reason is given where all is well."""
    await stage.actuator.run(stage.good(replicas=3))
    standings = await stage.until(is_ready(1, 3))
    assert standings[1].reason == ""
    assert set(stage.told) == {("default", "iris")}


@on_every_stage
async def test_told_again_it_does_nothing(stage: ActuatorStage) -> None:
    """Level-based: nothing changes, and nobody is told."""
    await stage.actuator.run(stage.good())
    await stage.until(is_ready(1))
    stage.told.clear()
    await stage.actuator.run(stage.good())
    await asyncio.sleep(10.0)
    assert is_ready(1)(await stage.standings())
    assert stage.told == []


@pytest.mark.parametrize("kind", STAGES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3)])
def test_the_number_of_replicas_may_change_while_it_runs(kind: type[ActuatorStage], before: int, after: int) -> None:
    """It is ready all the time, and has as many as it was told last."""

    async def main() -> None:
        stage = kind()
        await stage.actuator.run(stage.good(replicas=before))
        await stage.until(is_ready(1, before))
        await stage.actuator.run(stage.good(replicas=after))
        now = (await stage.standings())[1]
        assert (now.phase, now.wanted) == (Phase.READY, after)
        standings = await stage.until(lambda each: each[1].phase is not Phase.READY or each[1].ready == after)
        assert standings[1] == Standing(Phase.READY, after, after)
        await stage.close()

    run_virtual(main())


@on_every_stage
async def test_what_cannot_run_has_failed_for_a_reason(stage: ActuatorStage) -> None:
    """One line, for people; it stays until it is told to end."""
    await stage.actuator.run(stage.bad())
    standings = await stage.until(lambda each: each[1].phase is Phase.FAILED)
    assert (standings[1].ready, standings[1].wanted) == (0, 1)
    assert standings[1].reason
    assert "\n" not in standings[1].reason
    await stage.actuator.end(stage.bad().id)
    await stage.until(lambda each: not each)


@on_every_stage
async def test_an_end_is_told(stage: ActuatorStage) -> None:
    """It is ending or gone at once, with no replicas to have, and gone in the end."""
    await stage.actuator.run(stage.good())
    await stage.until(is_ready(1))
    stage.told.clear()
    await stage.actuator.end(stage.good().id)
    now = (await stage.standings()).get(1, Standing(Phase.ENDING))
    assert (now.phase, now.wanted) == (Phase.ENDING, 0)
    await stage.until(lambda each: not each)
    assert set(stage.told) == {("default", "iris")}


@on_every_stage
async def test_the_end_of_what_does_not_run_is_nothing(stage: ActuatorStage) -> None:
    """Nor is a second one."""
    await stage.actuator.end(RevisionId("default", "iris", 7))
    assert stage.told == []
    await stage.actuator.run(stage.good())
    await stage.actuator.end(stage.good().id)
    await stage.actuator.end(stage.good().id)
    await stage.until(lambda each: not each)


@on_every_stage
async def test_what_is_starting_can_be_ended(stage: ActuatorStage) -> None:
    """Nobody waits until it is ready for that."""
    await stage.actuator.run(stage.good())
    await stage.actuator.end(stage.good().id)
    seen = await stage.until(lambda each: not each or each[1].phase is Phase.READY)
    assert not seen


@on_every_stage
async def test_what_is_ending_can_be_asked_for_again(stage: ActuatorStage) -> None:
    """It goes on or starts anew, and is ready in the end."""
    await stage.actuator.run(stage.good())
    await stage.until(is_ready(1))
    await stage.actuator.end(stage.good().id)
    await stage.actuator.run(stage.good())
    await stage.until(is_ready(1))
    await asyncio.sleep(100.0)
    assert is_ready(1)(await stage.standings())


@on_every_stage
async def test_what_has_ended_can_be_asked_for_again(stage: ActuatorStage) -> None:
    """It starts anew."""
    await stage.actuator.run(stage.good())
    await stage.until(is_ready(1))
    await stage.actuator.end(stage.good().id)
    await stage.until(lambda each: not each)
    await stage.actuator.run(stage.good())
    await stage.until(is_ready(1))


@on_every_stage
async def test_what_sleeps_is_loaded_once_before_it_answers(stage: ActuatorStage) -> None:
    """So a model that cannot be loaded is told before anybody asks for it."""
    await stage.actuator.run(sleeping(stage.good()))
    now = (await stage.standings())[1]
    assert (now.phase, now.answers, now.sleeps) == (Phase.STARTING, False, True)
    standings = await stage.until(is_awake)
    assert standings[1] == Standing(Phase.READY, 1, 1, sleeps=True)
    await stage.actuator.run(sleeping(stage.bad(2)))
    standings = await stage.until(lambda each: each[2].phase is Phase.FAILED)
    assert (standings[2].answers, standings[2].sleeps) == (False, True)
    assert standings[2].reason


@on_every_stage
async def test_of_no_replicas_it_sleeps_and_answers(stage: ActuatorStage) -> None:
    """It has none, and a reason to; more replicas wake it."""
    await stage.actuator.run(sleeping(stage.good(), 2))
    await stage.until(is_awake)
    await stage.actuator.run(sleeping(stage.good(), 0))
    standings = await stage.until(is_asleep)
    assert (standings[1].ready, standings[1].wanted, standings[1].full) == (0, 0, True)
    assert standings[1].reason
    await stage.actuator.run(sleeping(stage.good(), 3))
    standings = await stage.until(lambda each: is_awake(each) or not each[1].answers)
    assert standings[1] == Standing(Phase.READY, 3, 3, sleeps=True)


@on_every_stage
async def test_told_again_to_sleep_it_does_nothing(stage: ActuatorStage) -> None:
    """Level-based: nothing changes, and nobody is told."""
    await stage.actuator.run(sleeping(stage.good(), 0))
    await stage.until(is_asleep)
    await asyncio.sleep(10.0)
    stage.told.clear()
    await stage.actuator.run(sleeping(stage.good(), 0))
    await asyncio.sleep(10.0)
    assert is_asleep(await stage.standings())
    assert stage.told == []


@on_every_stage
async def test_what_is_known_begins_asleep(stage: ActuatorStage) -> None:
    """It is not loaded to know that it can be; one that does not sleep is."""
    await stage.actuator.run(sleeping(stage.good(), known=True))
    await stage.actuator.run(sleeping(stage.good(2), known=True, sleeps=False))
    standings = await stage.until(lambda each: each[2].ready)
    assert is_asleep(standings)
    assert not standings[2].asleep


@on_every_stage
async def test_what_sleeps_can_be_ended(stage: ActuatorStage) -> None:
    """And be asked for again."""
    await stage.actuator.run(sleeping(stage.good(), 0))
    await stage.until(is_asleep)
    await stage.actuator.end(stage.good().id)
    assert not any(standing.answers for standing in (await stage.standings()).values())
    await stage.until(lambda each: not each)
    await stage.actuator.run(sleeping(stage.good(), known=True))
    await stage.until(is_asleep)


@on_every_stage
async def test_whether_it_sleeps_may_change_while_it_runs(stage: ActuatorStage) -> None:
    """It answers all the time, and does in the end as it was told."""
    await stage.actuator.run(sleeping(stage.good(), 0))
    await stage.until(is_asleep)
    for sleeps in (False, True, False):
        await stage.actuator.run(sleeping(stage.good(), int(not sleeps), sleeps=sleeps))
        standings = await stage.until(is_asleep_or_gone if sleeps else is_awake_or_gone)
        assert (standings[1].answers, standings[1].sleeps) == (True, sleeps)


@on_every_stage
async def test_revisions_stand_each_for_itself(stage: ActuatorStage) -> None:
    """One that fails or ends is of no concern to others; services have revisions of their own."""
    await stage.actuator.run(stage.good(1))
    await stage.actuator.run(stage.bad(2))
    await stage.actuator.run(stage.good(1, 2, service="other"))
    await stage.until(is_ready(1))
    await stage.until(lambda each: each[2].phase is Phase.FAILED)
    assert is_ready(1, 2)(await stage.until(is_ready(1, 2), "other"))
    await stage.actuator.end(stage.good(1).id)
    await stage.until(lambda each: 1 not in each)
    assert set(await stage.standings()) == {2}
    assert is_ready(1, 2)(await stage.standings("other"))
    assert set(stage.told) == {("default", "iris"), ("default", "other")}


@on_every_stage
async def test_a_closed_one_takes_no_orders(stage: ActuatorStage) -> None:
    """It says that the server is shutting down."""
    await stage.close()
    with pytest.raises(ShuttingDown):
        await stage.actuator.run(stage.good())
