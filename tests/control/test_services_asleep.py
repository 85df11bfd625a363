"""Services that sleep, from their manifests to routes and status: asleep is able to answer, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.control.services.settings import ServiceSettings
from tidegate.resources.actuator import Phase, Standing
from tidegate.resources.document import Document
from tidegate.resources.revision import undone
from tidegate.testing.api import in_virtual_time
from tidegate.testing.resolver import digest
from tidegate.testing.services import ServiceStage, inference_service, model_service, revision


def model(uri: str) -> Document:
    return {"modelFormat": {"name": "sklearn"}, "storageUri": uri}


def sleeper(uri: str = "a", spec: Document | None = None) -> Document:
    return model_service(uri, spec=spec, minReplicas=0)


async def begun(*documents: Document, settings: ServiceSettings | None = None) -> ServiceStage:
    stage = ServiceStage(settings)
    await stage.start()
    for document in documents:
        await stage.apply(document)
        await stage.settle()
    return stage


async def slept(*documents: Document, settings: ServiceSettings | None = None) -> ServiceStage:
    """The last of these services sleeps."""
    stage = await begun(*documents, settings=settings)
    stage.actuator.sleep(revision(len(documents)))
    await stage.settle()
    return stage


def condition(status: Document, name: str) -> Document:
    [found] = [each for each in status["conditions"] if each["type"] == name]
    return {field: found.get(field, "") for field in ("status", "reason", "message")}


@in_virtual_time
async def test_a_service_that_sleeps_is_ready() -> None:
    """It has no replicas and the traffic; people are told that it sleeps, programs by KServe's word for it."""
    stage = await slept(sleeper())
    status = await stage.status()
    assert condition(status, "Ready") == {"status": "True", "reason": "Asleep", "message": "it sleeps"}
    assert condition(status, "LatestDeploymentReady")["status"] == "True"
    assert status["replicas"] == 0
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"
    assert status["modelStatus"]["states"] == {"activeModelState": "Standby", "targetModelState": "Standby"}
    assert stage.shares() == {1: 100}
    stage.actuator.ready(revision(1))
    await stage.settle()
    status = await stage.status()
    assert condition(status, "Ready") == {"status": "True", "reason": "", "message": ""}
    assert status["replicas"] == 1
    assert status["modelStatus"]["states"]["activeModelState"] == "Loaded"
    assert len({traffic.shares for traffic in stage.published if traffic.shares}) == 1
    await stage.stop()


@in_virtual_time
async def test_nothing_is_written_or_asked_for_while_it_sleeps() -> None:
    """For hours; what is remembered of it is as it was."""
    stage = await slept(sleeper())
    version, calls = (await stage.service())["metadata"]["resourceVersion"], len(stage.actuator.calls)
    await stage.settle(10_000.0)
    assert (await stage.service())["metadata"]["resourceVersion"] == version
    assert len(stage.actuator.calls) == calls
    await stage.stop()


@pytest.mark.parametrize(
    ("document", "sleeps"),
    [
        (model_service("a"), False),
        (model_service("a", minReplicas=0), True),
        (model_service("a", minReplicas=1), False),
        (model_service("a", minReplicas=0, replicas=1), False),
        (inference_service("a", minReplicas=0), True),
        (inference_service("a", minReplicas=1), False),
    ],
    ids=str,
)
@in_virtual_time
async def test_which_services_sleep(document: Document, sleeps: bool) -> None:
    """Those of no least number, in our schema and in KServe's; a number that is told is told to be there."""
    stage = await begun(document)
    assert (stage.workload(1).sleeps, stage.workload(1).replicas) == (sleeps, 1)
    await stage.stop()


@pytest.mark.parametrize(
    ("stable", "canary", "sleep"),
    [
        ({"minReplicas": 0}, {}, (True, True)),
        ({"minReplicas": 0}, {"replicas": 1}, (True, False)),
        ({"minReplicas": 1}, {"minReplicas": 0}, (False, True)),
        ({"minReplicas": 1}, {}, (False, False)),
    ],
)
@in_virtual_time
async def test_a_canary_sleeps_as_its_service_does_or_as_it_says(
    stable: dict[str, Any], canary: dict[str, Any], sleep: tuple[bool, bool]
) -> None:
    """What it says itself goes before."""
    spec = {"canary": [{"trafficPercent": 10, "predictor": {"model": model("b"), **canary}}]}
    stage = await begun(model_service("a", spec=spec, **stable))
    by_uri = {each.resolved.uri: each.sleeps for each in map(stage.workload, stage.running())}
    assert by_uri == {"a": sleep[0], "b": sleep[1]}
    await stage.stop()


@in_virtual_time
async def test_whether_it_sleeps_may_change_while_it_runs() -> None:
    """It makes no revision, and what has the traffic keeps it."""
    stage = await slept(sleeper())
    for document, sleeps in ((model_service("a", minReplicas=1), False), (sleeper(), True)):
        await stage.apply(document)
        await stage.settle()
        assert stage.workload(1).sleeps == sleeps
        assert stage.shares() == {1: 100}
        assert stage.actuator.standings("default", "iris")[1].sleeps == sleeps
    assert await stage.numbers() == [1]
    begun = next(index for index, traffic in enumerate(stage.published) if traffic.shares)
    assert all(traffic.shares for traffic in stage.published[begun:])
    await stage.stop()


@in_virtual_time
async def test_a_new_revision_takes_over_from_one_that_sleeps() -> None:
    """It is loaded first, and the one before has the traffic until it answers."""
    stage = await slept(sleeper("a"))
    await stage.apply(sleeper("b"))
    await stage.settle(0.5)
    assert stage.shares() == {1: 100}
    assert not stage.workload(2).known
    await stage.settle()
    assert stage.shares() == {2: 100}
    await stage.stop()


@in_virtual_time
async def test_a_new_revision_that_is_broken_is_told_and_the_one_that_sleeps_stays() -> None:
    """At once: nobody has to ask for it to find out."""
    stage = await slept(sleeper("a"))
    stage.actuator.broken = {digest("b"): "it is no model"}
    await stage.apply(sleeper("b"))
    await stage.settle()
    status = await stage.status()
    assert condition(status, "Ready") == {"status": "True", "reason": "Asleep", "message": "it sleeps"}
    assert condition(status, "LatestDeploymentReady")["message"] == "it is no model"
    assert status["modelStatus"]["states"] == {"activeModelState": "Standby", "targetModelState": "FailedToLoad"}
    assert stage.shares() == {1: 100}
    await stage.stop()


@in_virtual_time
async def test_a_rollout_in_steps_over_one_that_sleeps() -> None:
    """Both may be asleep on the way: who has a share answers for it."""
    steps = [{"weight": 10, "hold": {"min": "60s"}}]
    spec = {"rollout": {"strategy": "canary", "steps": steps}}
    first, second = (sleeper(uri, spec) for uri in "ab")
    stage = await slept(first)
    await stage.apply(second)
    await stage.settle()
    assert stage.shares() == {1: 90, 2: 10}
    stage.actuator.sleep(revision(2))
    await stage.settle()
    assert stage.shares() == {1: 90, 2: 10}
    await stage.settle(120.0)
    assert stage.shares() == {2: 100}
    assert condition(await stage.status(), "RolloutComplete")["status"] == "True"
    await stage.stop()


@pytest.mark.parametrize("kept", [True, False])
@in_virtual_time
async def test_going_back_to_one_that_sleeps(kept: bool) -> None:
    """While it still runs it takes over at once, asleep; else it is loaded first, for the other one has callers."""
    settings = ServiceSettings(keep_previous=100.0 if kept else 0.0)
    stage = await begun(sleeper("a"), sleeper("b"), settings=settings)
    assert stage.shares() == {2: 100}
    if kept:
        stage.actuator.sleep(revision(1))
        await stage.settle()
    first = next(each for each in await stage.revisions() if each["spec"]["number"] == 1)
    await stage.apply(undone(await stage.service(), first))
    await stage.settle(0.2)
    assert stage.shares() == ({1: 100} if kept else {2: 100})
    await stage.settle()
    assert stage.shares() == {1: 100}
    assert stage.actuator.standings("default", "iris")[1].asleep == kept
    await stage.stop()


@in_virtual_time
async def test_after_a_restart_it_sleeps() -> None:
    """What had the traffic is not loaded to find out what is known: hundreds of services would be, at once."""
    stage = await begun(sleeper())
    await stage.restart(lost=True)
    await asyncio.sleep(0.5)
    assert stage.actuator.standings("default", "iris")[1] == Standing(
        Phase.READY, 0, 1, "it sleeps", sleeps=True, asleep=True
    )
    assert stage.shares() == {1: 100}
    assert (await stage.conditions())["Ready"] == "True"
    await stage.stop()


@in_virtual_time
async def test_after_a_restart_what_never_answered_is_loaded() -> None:
    """It is not known yet whether it can be; and a service that does not sleep is loaded, too."""
    stage = ServiceStage()
    stage.actuator.broken = {digest("a"): "it is no model"}
    await stage.start()
    await stage.apply(sleeper("a"))
    await stage.apply(model_service("b", name="rose"))
    await stage.settle()
    await stage.restart(lost=True)
    await stage.settle()
    assert not stage.workload(1).known
    assert condition(await stage.status(), "Ready")["message"] == "it is no model"
    assert stage.actuator.standings("default", "rose")[1] == Standing(Phase.READY, 1, 1)
    await stage.stop()


@in_virtual_time
async def test_a_waking_that_fails_is_told() -> None:
    """The service is not ready, and its route stays: the next request tries again."""
    stage = await slept(sleeper())
    stage.actuator.fail(revision(1), "it could not be woken")
    await stage.settle()
    told = condition(await stage.status(), "Ready")
    assert (told["status"], told["message"]) == ("False", "it could not be woken")
    assert stage.shares() == {1: 100}
    stage.actuator.ready(revision(1))
    await stage.settle()
    assert (await stage.conditions())["Ready"] == "True"
    await stage.stop()
