"""Replicas of services follow their load, with the policies themselves, and nothing that really runs."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.control.scaling.deciding import HOLD
from tidegate.control.scaling.record import REMEMBERED
from tidegate.resources.document import Document, Key
from tidegate.resources.rollout_command import COMMAND
from tidegate.resources.store import MergePatch
from tidegate.testing.api import in_virtual_time
from tidegate.testing.scaling import FakeSource
from tidegate.testing.services import REVISION, ServiceStage, model_service, revision

LONG = 1200.0
"""Seconds after which every policy has given up what nobody needs."""


async def begun(**predictor: Any) -> tuple[ServiceStage, FakeSource]:
    """A service that answers, and what its first revision answers by."""
    stage = ServiceStage()
    source = sourced(stage)
    await stage.start()
    await stage.apply(model_service("a", **predictor))
    await stage.settle()
    return stage, source


def sourced(stage: ServiceStage, number: int = 1) -> FakeSource:
    """Have a revision answer by a queue."""

    def ready() -> int:
        standing = stage.actuator.standings("default", "iris").get(number)
        return standing.ready if standing else 0

    source = stage.sources[revision(number)] = FakeSource(ready)
    return source


async def until_it_has(stage: ServiceStage, percent: int, kept: int) -> None:
    """Return once revision 2 has so much of the traffic; revision 1 keeps its replicas meanwhile."""
    for _ in range(2000):
        if stage.shares().get(2, 0) >= percent:
            return
        await stage.settle(0.2)
        assert stage.running()[1] >= kept
    raise AssertionError(stage.shares())


async def scaling(stage: ServiceStage, number: int = 1) -> Document:
    """What is kept of a revision's."""
    document = await stage.store.get(Key(REVISION, "default", f"iris-{number:05}"))
    told: Document = document.get("status", {}).get("scaling", {})
    return told


@in_virtual_time
async def test_the_slo_is_told_and_whose_it_is() -> None:
    """Four times the tenth that a request takes; and what the service says as soon as it does."""
    stage, source = await begun(maxReplicas=8)
    assert (await scaling(stage))["slo"] == {"seconds": 0.2, "given": False}
    source.load(8.0)
    await stage.settle(60)
    source.load(0.0)
    await stage.settle(LONG)
    assert (await scaling(stage))["slo"] == {"seconds": pytest.approx(0.4, rel=0.05), "given": False}
    await stage.apply(model_service("a", spec={"slo": {"latency": "90ms"}}, maxReplicas=8))
    await stage.settle(2)
    assert (await scaling(stage))["slo"] == (await stage.status())["scaling"]["slo"] == {"seconds": 0.09, "given": True}
    await stage.stop()


@in_virtual_time
async def test_how_long_starts_take_is_told_and_outlives_the_server() -> None:
    """A guess, then quantiles; the next server goes on with them."""
    stage, source = await begun(maxReplicas=8)
    assert (await scaling(stage))["starts"] == {"usual": 10.0}
    source.load(40.0)
    await stage.settle(60)
    source.load(0.0)
    await stage.settle(LONG)
    told = (await scaling(stage))["starts"]
    assert 0.0 <= told["p50"] <= told["p95"] < told["usual"] < 10.0
    await stage.restart()
    await stage.settle(LONG)
    assert (await scaling(stage))["starts"] == told
    await stage.stop()


@in_virtual_time
async def test_replicas_rise_with_the_load_and_fall_after_it() -> None:
    """Ten requests a second that take a tenth each are more than one replica can do, and forty more than four."""
    stage, source = await begun(maxReplicas=8)
    assert stage.running() == {1: 1}
    source.load(40.0)
    await stage.settle(60)
    busy = stage.running()[1]
    assert 5 <= busy <= 8
    status = await stage.status()
    assert (status["replicas"], status["scaling"]["desired"]) == (busy, busy)
    source.load(0.0)
    await stage.settle(LONG)
    assert stage.running() == {1: 1}
    told = await scaling(stage)
    assert told["desired"] == 1
    assert next(change["from"] for change in told["history"]) == 1
    assert [change["to"] for change in told["history"]][-1] == 1
    assert all(change["reason"].startswith(tuple("123456789")) for change in told["history"])
    assert (await stage.status())["scaling"]["reason"] == told["reason"]
    await stage.stop()


@in_virtual_time
async def test_a_service_of_no_least_replicas_sleeps_and_wakes_by_its_load() -> None:
    """The last replica goes by the same rule as any other, and the first request brings it back."""
    stage, source = await begun(minReplicas=0, maxReplicas=4)
    source.load(15.0)
    await stage.settle(60)
    assert stage.running()[1] >= 2
    source.load(0.0)
    await stage.settle(LONG)
    standing = stage.actuator.standings("default", "iris")[1]
    assert (standing.wanted, standing.ready, standing.asleep) == (0, 0, True)
    assert stage.shares() == {1: 100}
    looks = source.looks
    await stage.settle(LONG)
    assert source.looks <= looks + 5  # nothing ticks while it sleeps
    source.load(15.0)
    await stage.settle(30)
    assert stage.actuator.standings("default", "iris")[1].ready >= 1
    assert stage.running()[1] >= 2
    await stage.stop()


@pytest.mark.parametrize("policy", ["qda", "kpa", "hpa", "ray"])
@in_virtual_time
async def test_bounds_hold_at_once(policy: str) -> None:
    """Whatever the policy would have, and when the bounds change, too."""
    target = {"qda": {}, "kpa": {"target": 1}, "hpa": {"target": 50}, "ray": {"target": 1}}[policy]
    stage, source = await begun(minReplicas=2, maxReplicas=3, scalePolicy={"name": policy, **target})
    assert stage.running() == {1: 2}
    source.load(200.0)
    await stage.settle(120)
    assert stage.running() == {1: 3}
    await stage.patch({"spec": {"predictor": {"maxReplicas": 2}}})
    await stage.settle(2)
    assert stage.running() == {1: 2}
    await stage.patch({"spec": {"predictor": {"minReplicas": 5, "maxReplicas": 5, "scalePolicy": {"name": policy}}}})
    await stage.settle(2)
    assert stage.running() == {1: 5}
    await stage.stop()


@pytest.mark.parametrize(
    ("predictor", "most"),
    [
        ({}, 1),
        ({"minReplicas": 2}, 2),
        ({"maxReplicas": 0, "minReplicas": 0}, 1),
        ({"minReplicas": 0, "maxReplicas": 3}, 3),
        ({"scalePolicy": {}}, 8),
        ({"scalePolicy": {"name": "fixed"}, "maxReplicas": 5}, 1),
        ({"replicas": 2, "maxReplicas": 5}, 2),
        ({"scalePolicy": {"name": "hpa", "metric": "memory"}, "maxReplicas": 5}, 1),
    ],
)
@in_virtual_time
async def test_who_scales(predictor: Document, most: int) -> None:
    """Nobody whose manifest says nothing of it, and no further than the machine."""
    stage, source = await begun(**predictor)
    source.load(1000.0)
    await stage.settle(200)
    assert stage.running() == {1: most}
    await stage.stop()


@in_virtual_time
async def test_an_idle_service_is_not_looked_at() -> None:
    """Not once in a day; and its next request is seen when it comes, not a tick later."""
    stage, source = await begun(maxReplicas=8)
    source.load(30.0)
    await stage.settle(60)
    source.load(0.0)
    await stage.settle(LONG)
    looks = source.looks
    assert source.asleep
    await stage.settle(86400)
    assert source.looks == looks
    source.load(30.0)
    await stage.settle(0.1)
    assert source.looks > looks
    await stage.stop()


@in_virtual_time
async def test_a_restart_holds_what_there_was() -> None:
    """Nothing runs any more, and nobody asks: as many as there were come back, and go only once data say so."""
    stage, source = await begun(maxReplicas=8)
    source.load(40.0)
    await stage.settle(60)
    busy = stage.running()[1]
    await stage.stop()
    await stage.settle(3600)
    source = sourced(stage)
    await stage.restart()
    for _ in range(int(HOLD) - 2):
        await stage.settle(1)
        assert stage.running()[1] >= busy
    await stage.settle(LONG)
    assert stage.running() == {1: 1}
    history = (await scaling(stage))["history"]
    assert len(history) <= REMEMBERED
    await stage.stop()


@pytest.mark.parametrize("blind", ["error", "unloaded"])
@in_virtual_time
async def test_without_figures_nothing_falls(blind: str) -> None:
    """A minute without any, while nobody asks, and after it the number goes down as it would have."""
    stage, source = await begun(maxReplicas=8)
    source.load(40.0)
    await stage.settle(60)
    busy = stage.running()[1]
    source.error = OSError("no figures") if blind == "error" else None
    source.loaded = blind != "unloaded"
    source.load(0.0)
    for _ in range(60):
        await stage.settle(1)
        assert stage.running()[1] >= busy
    source.error, source.loaded = None, True
    await stage.settle(LONG)
    assert stage.running() == {1: 1}
    await stage.stop()


@in_virtual_time
async def test_figures_that_begin_anew_are_no_fall_of_the_load() -> None:
    """As of a revision whose process was started again."""
    stage, source = await begun(maxReplicas=8)
    source.load(40.0)
    await stage.settle(120)
    busy = stage.running()[1]
    source.reset()
    await stage.settle(30)
    assert stage.running()[1] >= busy - 1
    await stage.stop()


@in_virtual_time
async def test_starts_that_fail_are_no_capacity_and_are_not_multiplied() -> None:
    """What was ordered is tried again by whoever runs it, and no more is ordered meanwhile."""
    stage, source = await begun(maxReplicas=8)
    stage.actuator.starts_in = None  # from now on the test says what becomes ready
    source.load(15.0)
    await stage.settle(3)
    ordered = stage.running()[1]
    assert ordered > 1
    for _ in range(20):
        source.replicas = {"ready": 1, "backing off": ordered - 1}
        await stage.settle(1)
        source.replicas = {"ready": 1, "starting": ordered - 1}
        await stage.settle(1)
    assert stage.running()[1] == ordered
    assert "starts failed, and no more are ordered yet" in (await scaling(stage))["reason"]
    source.replicas = {}
    stage.actuator.ready(revision(1))
    await stage.settle(5)
    assert stage.running()[1] > ordered  # the queue that has grown meanwhile is worked off
    await stage.stop()


@in_virtual_time
async def test_what_another_wrote_takes_nothing_away() -> None:
    """He says 1 where 5 are needed; that is not heeded, and what is needed is written again."""
    stage, source = await begun(maxReplicas=8)
    source.load(40.0)
    await stage.settle(120)
    busy = stage.running()[1]
    seen: list[int] = []
    stage.actuator.subscribe(lambda namespace, service: seen.append(stage.running()[1]))
    key = Key(REVISION, "default", "iris-00001")
    for wrong in ({"desired": 1}, None, {"desired": "x"}):
        await stage.store.patch(key, MergePatch({"status": {"scaling": wrong}}), status=True)
        await stage.settle(3)
        assert (await scaling(stage))["desired"] == stage.running()[1]
    assert min([busy, *seen]) >= busy - 1
    await stage.stop()


@in_virtual_time
async def test_a_new_revision_has_what_the_one_before_had() -> None:
    """It takes over with the first that is ready, and is not begun with one replica where five were needed."""
    stage, source = await begun(maxReplicas=8)
    source.load(40.0)
    await stage.settle(120)
    busy = stage.running()[1]
    after = sourced(stage, 2)
    await stage.apply(model_service("b", maxReplicas=8))
    await stage.settle(0.5)
    assert stage.running() == {1: busy, 2: busy}
    await stage.settle(2)
    source.load(0.0)
    after.load(40.0)
    for _ in range(120):
        await stage.settle(1)
        assert stage.running()[2] >= busy - 1
        assert stage.running()[1] == busy  # it is kept as it was, so that going back is a switch
    await stage.stop()


@in_virtual_time
async def test_a_canary_has_replicas_for_all_before_it_gets_all() -> None:
    """And what it came from keeps its own for as long as the rollout may go back."""
    rollout = {"strategy": "canary", "steps": [{"weight": 20, "hold": {"min": 60, "max": 120}}]}
    stage = ServiceStage()
    source = sourced(stage)
    await stage.start()
    await stage.apply(model_service("a", maxReplicas=8, spec={"rollout": rollout}))
    await stage.settle()
    source.load(40.0)
    await stage.settle(120)
    busy = stage.running()[1]
    after = sourced(stage, 2)
    await stage.apply(model_service("b", maxReplicas=8, spec={"rollout": rollout}))
    await until_it_has(stage, 20, busy)
    source.load(32.0)
    after.load(8.0)
    await until_it_has(stage, 100, busy)
    assert stage.actuator.standings("default", "iris")[2].ready >= busy
    source.load(0.0)
    after.load(40.0)
    for _ in range(100):
        await stage.settle(1)
        assert stage.running()[2] >= busy - 1
    await stage.stop()


@in_virtual_time
async def test_who_is_promoted_in_full_waits_for_all_replicas() -> None:
    """Also from a step whose next one needs fewer."""
    rollout = {
        "strategy": "canary",
        "steps": [{"weight": 10, "hold": {"min": 600}}, {"weight": 20, "hold": {"min": 600}}],
    }
    stage = ServiceStage()
    source = sourced(stage)
    await stage.start()
    await stage.apply(model_service("a", maxReplicas=8, spec={"rollout": rollout}))
    await stage.settle()
    source.load(40.0)
    await stage.settle(120)
    busy = stage.running()[1]
    sourced(stage, 2)
    await stage.apply(model_service("b", maxReplicas=8, spec={"rollout": rollout}))
    await until_it_has(stage, 10, busy)
    await stage.settle(5)
    assert stage.actuator.standings("default", "iris")[2].ready == stage.running()[2] < busy
    ready: list[int] = []
    stage.actuator.starts_in = 20.0
    await stage.patch({"metadata": {"annotations": {COMMAND: "promote-full 1"}}})
    for _ in range(200):
        if stage.shares() == {2: 100}:
            ready.append(stage.actuator.standings("default", "iris")[2].ready)
        await stage.settle(0.2)
    assert ready
    assert ready[0] >= busy
    await stage.stop()


@in_virtual_time
async def test_a_service_that_scales_no_more_has_what_it_says() -> None:
    """And nothing is looked at any more."""
    stage, source = await begun(maxReplicas=8)
    source.load(40.0)
    await stage.settle(60)
    await stage.patch({"spec": {"predictor": {"replicas": 2}}})
    await stage.settle(2)
    assert stage.running() == {1: 2}
    looks = source.looks
    await stage.settle(60)
    assert source.looks == looks
    await stage.patch({"spec": {"predictor": {"replicas": None}}})
    await stage.settle(60)
    assert stage.running()[1] > 4
    await stage.delete()
    await stage.settle()
    assert not source.asleep
    await stage.stop()
