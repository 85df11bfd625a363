"""Corners of rollouts where something else changes meanwhile: the strategy, the steps, whether it runs at all."""

from __future__ import annotations

import asyncio
from typing import Any

from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.services import book as books
from tidegate.control.store.settings import StoreSettings
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.rollout_command import COMMAND
from tidegate.testing.api import in_virtual_time
from tidegate.testing.services import ServiceStage, model_service, now, revision
from tidegate.testing.store import MemoryStore

STEPS = [{"weight": 10, "hold": {"min": "60s"}}, {"weight": 50, "hold": {"min": "60s"}}]
CANARY: Document = {"strategy": "canary", "steps": STEPS}
ERRORS: Document = {"errors": {}, "minSamples": 100, "timeout": "5m"}
GOLDEN: Document = {"golden": {"uri": "golden"}}
RECORD = Key(GroupKind("tidegate.dev", "ServingRollout"), "default", "iris-rollout-1")


async def staged(rollout: Document = CANARY, settle: float = 3.0, **predictor: Any) -> ServiceStage:
    """Revision 1 is the stable one, and revision 2 was applied so many seconds ago."""
    stage = ServiceStage()
    await stage.start()
    await stage.apply(service("a", rollout, **predictor))
    await stage.settle()
    await stage.apply(service("b", rollout, **predictor))
    await stage.settle(settle)
    return stage


def service(uri: str, rollout: Document | None = CANARY, **predictor: Any) -> Document:
    return model_service(uri, spec={"rollout": rollout} if rollout else {}, **predictor)


async def last(stage: ServiceStage) -> Rollout:
    found = (await stage.book()).rollout
    assert found is not None
    return found


async def ask(stage: ServiceStage, verb: str, id: str = "1", **spec: Any) -> None:
    await stage.patch({"metadata": {"annotations": {COMMAND: f"{verb} {id}"}}, "spec": spec})
    await asyncio.sleep(0.1)


@in_virtual_time
async def test_a_retry_of_what_takes_over_at_once_is_no_rollout() -> None:
    """The strategy is immediate by then: it takes over, and the service is looked after as before."""
    stage = await staged()
    await ask(stage, "abort")
    await ask(stage, "retry", "2", rollout=None)
    await stage.settle()
    assert stage.shares() == {2: 100}
    await stage.apply(service("c", None))
    await stage.settle()
    assert stage.shares() == {3: 100}
    await stage.stop()


@in_virtual_time
async def test_what_was_rejected_and_took_over_since_is_not_rejected_any_more() -> None:
    """By another strategy, which is gone again: the status says who answers."""
    stage = await staged()
    await ask(stage, "abort")
    await stage.apply(service("b", None))
    await stage.settle()
    await stage.apply(service("b"))
    await stage.settle()
    assert stage.shares() == {2: 100}
    assert (await stage.conditions())["RolloutComplete"] == "True"
    await stage.stop()


@in_virtual_time
async def test_what_succeeded_and_was_held_back_since_takes_its_steps_again() -> None:
    """KServe's percentage took it back: with a rollout once more, it is a new one."""
    stage = await staged()
    await ask(stage, "promote-full")
    await stage.settle()
    assert stage.shares() == {2: 100}
    await stage.apply(service("b", None, canaryTrafficPercent=0))
    await stage.settle()
    assert stage.shares() == {1: 100}
    await stage.apply(service("b"))
    await stage.settle()
    assert stage.shares() == {1: 90, 2: 10}
    assert (await last(stage)).number == 2
    await stage.stop()


@in_virtual_time
async def test_a_stopped_service_has_no_time() -> None:
    """Neither a hold nor the time for a verdict passes while nobody can ask it anything."""
    stage = await staged()
    await asyncio.sleep(30)
    await stage.patch({"spec": {"predictor": {"replicas": 0}}})
    await asyncio.sleep(7200)
    assert (stage.shares(), (await last(stage)).state) == ({}, "Step")
    await stage.patch({"spec": {"predictor": {"replicas": 1}}})
    await asyncio.sleep(50)
    assert stage.shares() == {1: 90, 2: 10}
    await asyncio.sleep(15)
    assert stage.shares() == {1: 50, 2: 50}
    await stage.stop()


@in_virtual_time
async def test_nothing_is_started_while_a_service_is_stopped() -> None:
    """A new spec waits for it, and so does what is asked."""
    stage = await staged(settle=0.0, replicas=1)
    await stage.apply(service("b", replicas=0))
    await stage.settle()
    assert (stage.running(), (await last(stage)).state) == ({}, "Pending")
    await ask(stage, "pause")
    await stage.patch({"spec": {"predictor": {"replicas": 1}}})
    await stage.settle()
    assert ((await last(stage)).state, (await last(stage)).at) == ("Paused", "Warming")
    assert stage.shares() == {1: 100}
    await stage.stop()


@in_virtual_time
async def test_golden_requests_that_the_spec_has_no_more_hold_nothing_up() -> None:
    """They could not be sent, and somebody takes them out of the manifest."""
    stage = ServiceStage()
    stage.examiner.verdicts["golden"] = Verdict("golden", Outcome.NO_DATA, "golden: there is nothing there")
    await stage.start()
    await stage.apply(service("a", CANARY | {"analysis": GOLDEN}))
    await stage.settle()
    await stage.apply(service("b", CANARY | {"analysis": GOLDEN}))
    await stage.settle(30)
    assert (await last(stage)).state == "Golden"
    await stage.apply(service("b"))
    await stage.settle()
    assert stage.shares() == {1: 90, 2: 10}
    await stage.stop()


@in_virtual_time
async def test_another_weight_begins_its_evidence_anew() -> None:
    """What was counted under the one before is of other hours and other callers."""
    stage = await staged(CANARY | {"analysis": ERRORS})
    stage.observer.answered(revision(1), 900)
    stage.observer.answered(revision(2), 90)
    await asyncio.sleep(6)
    assert (await last(stage)).evidence.canary_errors.of == 90
    steps = [{"weight": 20, "hold": {"min": "60s"}}]
    await stage.apply(service("b", {"strategy": "canary", "steps": steps, "analysis": ERRORS}))
    await asyncio.sleep(6)
    assert stage.shares() == {1: 80, 2: 20}
    assert (await last(stage)).evidence.canary_errors.of == 0
    await stage.stop()


@in_virtual_time
async def test_blue_green_asks_ones_own_checks_before_anybody_is_answered() -> None:
    """They are all that there is to go by, and every one of them must pass."""
    check = {"name": "sales", "prometheus": {"url": "http://p", "query": "x", "max": 1}}
    stage = ServiceStage()
    stage.examiner.verdicts["sales"] = Verdict("check/sales", Outcome.FAIL, "check/sales: they are down")
    await stage.start()
    rollout = {"strategy": "blueGreen", "analysis": {"checks": [check]}}
    await stage.apply(service("a", rollout))
    await stage.settle()
    await stage.apply(service("b", rollout))
    await stage.settle(30)
    assert (stage.shares(), (await last(stage)).message) == ({1: 100}, "check/sales: they are down")
    await stage.stop()


@in_virtual_time
async def test_a_promotion_waits_for_whoever_is_to_answer() -> None:
    """Its replica is gone when it is asked for: it is carried out once there is one again, and once only."""
    stage = await staged()
    stage.actuator.ready(revision(2), 0)
    await ask(stage, "promote")
    assert ((await last(stage)).step, stage.shares()) == (0, {1: 100})
    stage.actuator.ready(revision(2))
    await stage.settle(2)
    assert ((await last(stage)).step, stage.shares()) == (1, {1: 50, 2: 50})
    await stage.settle(20)
    assert (await last(stage)).step == 1
    await stage.stop()


@in_virtual_time
async def test_what_a_check_brings_is_written_down_whatever_its_number_is() -> None:
    """A metric without samples is NaN, which JSON cannot have: nothing is forgotten because of it."""
    check = {"name": "sales", "prometheus": {"url": "http://p", "query": "x", "max": 1}}
    stage = ServiceStage()
    numbers = {"value": float("nan"), "limit": 1.0}
    stage.examiner.verdicts["sales"] = Verdict("check/sales", Outcome.NO_DATA, "check/sales: NaN", numbers)
    await stage.start()
    rollout = CANARY | {"analysis": {"checks": [check]}}
    await stage.apply(service("a", rollout))
    await stage.settle()
    await stage.apply(service("b", rollout))
    await stage.settle(30)
    assert stage.shares() == {1: 90, 2: 10}
    assert (await last(stage)).verdicts[-1].numbers == {"limit": 1.0}
    await stage.restart()
    await stage.settle()
    assert stage.shares() == {1: 90, 2: 10}
    await stage.stop()


@in_virtual_time
async def test_a_record_that_somebody_deletes_comes_back_with_the_next_change() -> None:
    """It is there to be read alone: the rollout goes on without it."""
    stage = await staged()
    await stage.store.delete(RECORD)
    await ask(stage, "promote")
    assert stage.shares() == {1: 50, 2: 50}
    assert (await stage.store.get(RECORD))["status"]["weight"] == 50
    await stage.stop()


@in_virtual_time
async def test_a_service_of_the_same_name_is_told_of_from_the_beginning() -> None:
    """Whatever was told of the one that was deleted a moment ago."""
    stage = await staged()
    await ask(stage, "promote-full")
    await stage.settle()
    await stage.delete()
    await stage.apply(service("a"))
    await stage.settle()
    await stage.apply(service("b"))
    await stage.settle(3)
    uid = (await stage.service())["metadata"]["uid"]
    told = [each.occurrence for each in (await stage.store.occurrences()).items]
    types = [each.type for each in told if each.uid == uid]
    assert types == ["rollout.succeeded", "rollout.started", "rollout.warming", "rollout.step"]
    await stage.stop()


@in_virtual_time
async def test_a_transition_is_counted_when_it_is_told_and_not_again() -> None:
    """A restart tells nothing that was told."""
    stage = await staged()
    await ask(stage, "promote-full")
    await stage.settle()
    states = ["Pending", "Warming", "Step", "Promoting", "Succeeded"]
    assert stage.transitions == [("iris", state) for state in states]
    await stage.restart()
    await stage.settle()
    assert len(stage.transitions) == len(states)
    await stage.stop()


@in_virtual_time
async def test_what_cannot_be_told_holds_nothing_up() -> None:
    """An occurrence that is larger than the log takes: what comes after it is done, and the next rollout begins."""
    stage = ServiceStage(store=MemoryStore(StoreSettings(max_occurrence=700), clock=now))
    sentence = "golden: " + "1 of 3 differs, " * 30
    stage.examiner.verdicts["golden"] = Verdict("golden", Outcome.FAIL, sentence)
    await stage.start()
    for content in "abc":
        await stage.apply(service(content, CANARY | {"analysis": GOLDEN}))
        await stage.settle()
    assert ((await last(stage)).number, (await last(stage)).state) == (2, "RolledBack")
    assert (stage.shares(), stage.running()) == ({1: 100}, {1: 1})
    await stage.stop()


def test_a_rollout_that_cannot_be_read_takes_nothing_with_it() -> None:
    """Of another version of tidegate, say: the service knows its stable revision all the same."""
    rollout = Rollout(number=1, revision=2, stable=1, strategy="canary", began=0.0, since=0.0)
    kept = books.write(books.Book(last=2, rolledout=1, rollout=rollout))
    assert books.read({"status": {books.FIELD: kept}}).rollout == rollout
    kept["rollout"]["state"] = "Levitating"
    found = books.read({"status": {books.FIELD: kept}})
    assert (found.last, found.rolledout, found.rollout) == (2, 1, None)
