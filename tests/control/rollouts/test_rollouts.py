"""Services whose new revisions are judged before they take over: in virtual time, and nothing that really runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tidegate.analysis.observation import Comparison
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.control.rollouts.rollout import Rollout
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.revision import undone
from tidegate.resources.rollout_command import COMMAND
from tidegate.testing.api import in_virtual_time
from tidegate.testing.resolver import digest
from tidegate.testing.services import ServiceStage, model_service, revision

STEPS = [{"weight": 10, "hold": {"min": "10s"}}, {"weight": 50, "hold": {"min": "10s"}}]
ERRORS = {"errors": {}, "minSamples": 100, "timeout": "60s"}
ROLLOUT = GroupKind("tidegate.dev", "ServingRollout")
JOB = GroupKind("tidegate.dev", "ServingJob")


def canary(uri: str, analysis: Document | None = None, steps: Sequence[Any] = STEPS, **rollout: Any) -> Document:
    """A service whose next revision takes two steps."""
    told = {"strategy": "canary", "steps": list(steps)} if steps else {"strategy": "blueGreen"}
    told |= rollout | ({} if analysis is None else {"analysis": analysis})
    return model_service(uri, spec={"rollout": told})


async def staged(document: Document) -> ServiceStage:
    """A stage on which revision 1 is the stable one, and revision 2 has been applied just now."""
    stage = ServiceStage()
    await stage.start()
    await stage.apply({**document, "spec": {**document["spec"], "predictor": model_service("a")["spec"]["predictor"]}})
    await stage.settle()
    assert stage.shares() == {1: 100}
    await stage.apply(document)
    return stage


async def serve(
    stage: ServiceStage, seconds: int, rate: int = 100, failing: float = 0.0, seconds_each: float = 0.01
) -> None:
    """So many seconds of requests, split as the gateway was told; the share ``failing`` of revision 2's fail."""
    debt = 0.0
    for _ in range(seconds):
        for number, percent in stage.shares().items():
            requests = rate * percent // 100
            debt += requests * failing if number == 2 else 0.0
            failures, debt = (int(debt), debt - int(debt)) if number == 2 else (0, debt)
            slow = seconds_each if number == 2 else 0.01
            stage.observer.answered(revision(number), requests, failures, slow)
        await asyncio.sleep(1)


async def rollout(stage: ServiceStage) -> Rollout:
    found = (await stage.book()).rollout
    assert found is not None
    return found


async def ask(stage: ServiceStage, verb: str, id: str = "1") -> None:
    await stage.patch({"metadata": {"annotations": {COMMAND: f"{verb} {id}"}}})
    await asyncio.sleep(0.1)


async def way(stage: ServiceStage) -> list[str]:
    """The states that it went through, by name."""
    return [str(each.target) for each in (await rollout(stage)).transitions]


@in_virtual_time
async def test_a_good_revision_takes_its_steps() -> None:
    """Each has its weight for its hold at least, and is passed by verdicts; then it is the stable one."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    assert stage.shares() == {1: 90, 2: 10}
    await serve(stage, 7, rate=5000)
    assert stage.shares() == {1: 90, 2: 10}  # the hold
    await serve(stage, 4, rate=5000)
    assert stage.shares() == {1: 50, 2: 50}
    await serve(stage, 15, rate=5000)
    assert stage.shares() == {2: 100}
    assert await way(stage) == ["Pending", "Warming", "Step", "Step", "Promoting", "Succeeded"]
    book = await stage.book()
    assert (book.rolledout, book.previous) == (2, 1)
    assert (await stage.conditions())["RolloutComplete"] == "True"
    await stage.stop()


@in_virtual_time
async def test_a_failing_revision_comes_back_by_itself() -> None:
    """Every 20th request: within 1,000 of them, and it stays back until it is asked for again."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await serve(stage, 12, rate=1000, failing=0.05)
    assert stage.shares() == {1: 100}
    over = await rollout(stage)
    assert over.state == "RolledBack"
    assert over.evidence.canary_errors.of <= 1000
    assert "errors 5" in over.message
    await stage.settle()
    assert 2 not in stage.running()
    told = {each["type"]: each for each in (await stage.status())["conditions"]}
    assert told["RolloutComplete"]["reason"] == "RolledBack"
    assert told["Ready"]["status"] == "True"
    await ask(stage, "retry")
    await stage.settle()
    assert (await rollout(stage)).number == 2
    assert stage.shares() == {1: 90, 2: 10}
    await stage.stop()


@in_virtual_time
async def test_a_slow_revision_comes_back_by_itself() -> None:
    """Twice as slow, with the stable one in the same window."""
    stage = await staged(canary("b", {"latency": {}, "minSamples": 100}))
    await asyncio.sleep(3)
    await serve(stage, 12, rate=1000, seconds_each=0.02)
    assert (await rollout(stage)).state == "RolledBack"
    over = await rollout(stage)
    assert "latency" in over.message or "execution" in over.message
    [told] = [each for each in over.transitions if each.target == "Aborting"]
    [latency] = [each for each in told.verdicts if each.check == "latency"]
    assert latency.numbers["effect"] > 0.99  # nearly each one took longer
    await stage.stop()


@in_virtual_time
async def test_without_traffic_it_holds_and_then_pauses() -> None:
    """Missing data is no pass and no failure; resumed, it goes on with its step."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(58)
    assert (await rollout(stage)).state == "Step"
    await asyncio.sleep(8)
    paused = await rollout(stage)
    assert (paused.state, paused.at, paused.weight) == ("Paused", "Step", 10)
    assert stage.shares() == {1: 90, 2: 10}
    await ask(stage, "resume")
    assert (await rollout(stage)).state == "Step"
    await serve(stage, 30, rate=5000)
    assert stage.shares() == {2: 100}
    await stage.stop()


@in_virtual_time
async def test_harm_brings_it_back_also_while_it_is_paused() -> None:
    """Its callers do not care that somebody thinks about it."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await ask(stage, "pause")
    assert (await rollout(stage)).state == "Paused"
    await serve(stage, 12, rate=1000, failing=0.05)
    assert (await rollout(stage)).state == "RolledBack"
    await stage.stop()


@in_virtual_time
async def test_golden_requests_stop_it_before_it_answers_anyone() -> None:
    """And what could not be tried is tried again."""
    stage = await staged(canary("b", {**ERRORS, "golden": {"uri": "golden"}}))
    stage.examiner.verdicts["golden"] = Verdict("golden", Outcome.NO_DATA, "golden: there is nothing there")
    await asyncio.sleep(5)
    assert (await rollout(stage)).state == "Golden"
    stage.examiner.verdicts["golden"] = Verdict("golden", Outcome.FAIL, "golden: 1 of 3 differs")
    await asyncio.sleep(10)
    assert (await rollout(stage)).state == "RolledBack"
    assert all(2 not in {share.revision for share in traffic.shares} for traffic in stage.published)
    await stage.stop()


@in_virtual_time
async def test_golden_requests_have_the_time_that_they_take_and_a_check_has_a_minute() -> None:
    """There may be a thousand of them, each with a time of its own; who is asked for one word does not need longer."""
    check = {"name": "business", "prometheus": {"url": "http://p", "query": "x", "max": 1}}
    stage = await staged(canary("b", {"errors": {}, "golden": {"uri": "golden"}, "checks": [check]}))
    stage.examiner.takes = 90.0
    await asyncio.sleep(85)
    assert (await rollout(stage)).state == "Golden"
    await asyncio.sleep(10)
    assert (await rollout(stage)).state == "Step"
    await asyncio.sleep(70)
    [told] = [each for each in (await rollout(stage)).verdicts if each.check == "check/business"]
    assert (told.outcome, told.sentence) == (Outcome.NO_DATA, "check/business: no answer within 60 s")
    await stage.stop()


@in_virtual_time
async def test_a_shadow_stops_it_before_it_answers_anyone() -> None:
    """By outputs that differ."""
    stage = await staged(canary("b", {**ERRORS, "outputs": {"maxDifferent": 0.02}}))
    await asyncio.sleep(3)
    assert (stage.routes["iris"].shadow, stage.shares()) == (2, {1: 100})
    stage.observer.outputs = Comparison(compared=300, different=60)
    await asyncio.sleep(2)
    assert (await rollout(stage)).state == "RolledBack"
    assert stage.routes["iris"].shadow == 0
    assert all(2 not in {share.revision for share in traffic.shares} for traffic in stage.published)
    await stage.stop()


@in_virtual_time
async def test_a_check_of_ones_own_is_a_further_verdict() -> None:
    """Without its answer no step is passed; with a failure it comes back."""
    check = {"name": "business", "prometheus": {"url": "http://p", "query": "x", "max": 1}, "interval": "2s"}
    stage = await staged(canary("b", {**ERRORS, "checks": [check]}))
    stage.examiner.verdicts["business"] = Verdict("check/business", Outcome.NO_DATA, "check/business: no answer")
    await asyncio.sleep(3)
    await serve(stage, 20, rate=5000)
    assert stage.shares() == {1: 90, 2: 10}
    del stage.examiner.verdicts["business"]
    await serve(stage, 3, rate=5000)
    assert stage.shares() == {1: 50, 2: 50}
    stage.examiner.verdicts["business"] = Verdict("check/business", Outcome.FAIL, "check/business: sales are down")
    await serve(stage, 4, rate=5000)
    assert (await rollout(stage)).message == "check/business: sales are down"
    assert stage.shares() == {1: 100}
    await stage.stop()


@in_virtual_time
async def test_blue_green_is_all_at_once_after_the_analysis() -> None:
    """No share in between."""
    stage = await staged(canary("b", {**ERRORS, "golden": {"uri": "golden"}}, steps=()))
    await asyncio.sleep(3)
    assert stage.routes["iris"].shadow == 2
    stage.observer.answered(revision(1), 2000)
    stage.observer.answered(revision(2), 2000)
    await asyncio.sleep(3)
    assert stage.shares() == {2: 100}
    assert await way(stage) == ["Pending", "Warming", "Golden", "Shadow", "Promoting", "Succeeded"]
    await stage.stop()


@in_virtual_time
async def test_by_hand() -> None:
    """Promoted step by step, in full, aborted: whatever the analysis says by then."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await ask(stage, "promote", "1")
    assert stage.shares() == {1: 50, 2: 50}
    await ask(stage, "promote", "1")  # the same wish once more
    assert stage.shares() == {1: 50, 2: 50}
    await ask(stage, "abort", "2")
    assert stage.shares() == {1: 100}
    assert (await rollout(stage)).state == "RolledBack"
    await stage.settle()
    await ask(stage, "retry", "3")
    await ask(stage, "promote-full", "4")  # waits for its replicas
    assert stage.shares() == {1: 100}
    await asyncio.sleep(3)
    assert stage.shares() == {2: 100}
    await stage.stop()


@in_virtual_time
async def test_a_new_spec_supersedes_it() -> None:
    """And the one before is no stable revision: the traffic is where it was."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await stage.apply(canary("c", ERRORS))
    await asyncio.sleep(3)
    assert stage.shares() == {1: 90, 3: 10}
    assert (await rollout(stage)).number == 2
    assert 2 not in stage.running()
    await stage.apply(canary("a", ERRORS))  # back to what is stable
    await asyncio.sleep(3)
    assert stage.shares() == {1: 100}
    assert (await rollout(stage)).state == "Superseded"
    await stage.apply(canary("c", ERRORS))
    await asyncio.sleep(3)
    assert stage.shares() == {1: 90, 3: 10}
    await stage.stop()


@in_virtual_time
async def test_what_was_rejected_begins_again_once_the_spec_meant_another() -> None:
    """A → B is rejected; to A and to B once more is a new change."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await ask(stage, "abort")
    await stage.apply(canary("a", ERRORS))
    await asyncio.sleep(2)
    await stage.apply(canary("b", ERRORS))
    await asyncio.sleep(3)
    assert stage.shares() == {1: 90, 2: 10}
    await stage.stop()


@in_virtual_time
async def test_an_undo_is_a_switch_and_no_rollout() -> None:
    """At once, also while a rollout goes on."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await ask(stage, "promote-full")
    assert stage.shares() == {2: 100}
    [first, _] = await stage.revisions()
    await stage.store.replace(undone(await stage.service(), first))
    await asyncio.sleep(0.2)
    assert stage.shares() == {1: 100}
    await asyncio.sleep(3)
    assert stage.shares() == {1: 100}
    await stage.stop()


@in_virtual_time
async def test_a_revision_that_cannot_be_started_fails_its_rollout() -> None:
    """The stable one answers all the time."""
    stage = ServiceStage()
    await stage.start()
    await stage.apply(canary("a", ERRORS))
    await stage.settle()

    stage.actuator.broken[digest("b")] = "it has no weights"
    await stage.apply(canary("b", ERRORS))
    await asyncio.sleep(5)
    assert ((await rollout(stage)).state, (await rollout(stage)).message) == ("Failed", "it has no weights")
    assert stage.shares() == {1: 100}
    assert 2 not in stage.running()
    await stage.stop()


@pytest.mark.parametrize("step", ["Step", "Paused"])
@in_virtual_time
async def test_if_the_stable_revision_breaks_the_new_one_has_its_traffic(step: str) -> None:
    """There is no outage: who is ready answers."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    if step == "Paused":
        await ask(stage, "pause")
    stage.actuator.ready(revision(1), 0)
    await asyncio.sleep(1)
    assert stage.shares() == {2: 100}
    await ask(stage, "abort", "2")
    assert stage.shares() == {2: 100}  # going back waits for whoever is to answer
    assert (await rollout(stage)).state == "Aborting"
    stage.actuator.ready(revision(1))
    await asyncio.sleep(2)
    assert stage.shares() == {1: 100}
    assert (await rollout(stage)).state == "RolledBack"
    await stage.stop()


@in_virtual_time
async def test_a_restart_goes_on_where_it_was() -> None:
    """In its step, with what was counted until the last report."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await serve(stage, 8, rate=1000)
    before = await rollout(stage)
    assert before.evidence.canary_errors.of >= 200
    await stage.restart()
    await asyncio.sleep(2)
    after = await rollout(stage)
    assert (after.number, after.state, after.step) == (1, "Step", 0)
    assert after.evidence.canary_errors.of >= before.evidence.canary_errors.of
    assert stage.shares() == {1: 90, 2: 10}
    await stage.stop()


@in_virtual_time
async def test_what_people_see_and_are_told() -> None:
    """A record, a job, and each transition once, also after a restart."""
    stage = await staged(canary("b", ERRORS))
    await asyncio.sleep(3)
    await ask(stage, "promote-full")
    await asyncio.sleep(2)
    record = await stage.store.get(Key(ROLLOUT, "default", "iris-rollout-1"))
    assert record["spec"] == {
        "service": {"kind": "ModelService", "name": "iris"},
        "number": 1,
        "revision": 2,
        "stable": 1,
        "strategy": "canary",
    }
    assert (record["status"]["phase"], record["status"]["weight"]) == ("Succeeded", 100)
    job = await stage.store.get(Key(JOB, "default", "iris-rollout-1"))
    assert (job["status"]["state"], job["status"]["progress"]) == ("Succeeded", 1.0)
    told = [each.reason for each in await stage.store.events() if each.reason.startswith("Rollout")]
    assert sorted(told) == sorted(
        ["RolloutStarted", "RolloutWarming", "RolloutStep", "RolloutPromoting", "RolloutSucceeded"]
    )
    await stage.restart()
    await asyncio.sleep(3)
    assert {each.count for each in await stage.store.events() if each.reason.startswith("Rollout")} == {1}
    assert (await rollout(stage)).told == (await rollout(stage)).count
    await stage.stop()
