"""Services from their manifests to routes and status, with a store, and nothing that really runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tidegate.control.services.settings import ServiceSettings
from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import StateUnavailable, UntrustedModel
from tidegate.resources.actuator import Phase, Standing
from tidegate.resources.decode import decode
from tidegate.resources.document import Document, key_of
from tidegate.resources.revision import RESTARTED_AT, undone
from tidegate.testing.actuator import FakeActuator
from tidegate.testing.api import in_virtual_time
from tidegate.testing.resolver import FakeResolver, digest
from tidegate.testing.services import KSERVE, OURS, ServiceStage, inference_service, model_service, now, revision
from tidegate.testing.store import MemoryStore

STOP = "serving.kserve.io/stop"


async def begun(*documents: Document, settings: ServiceSettings | None = None) -> ServiceStage:
    """A stage with services that are applied one after the other, each once the one before has settled."""
    stage = ServiceStage(settings)
    await stage.start()
    for document in documents:
        await stage.apply(document)
        await stage.settle()
    return stage


def model(uri: str) -> Document:
    return {"modelFormat": {"name": "sklearn"}, "storageUri": uri}


def condition(status: Document, name: str) -> Document:
    [found] = [each for each in status["conditions"] if each["type"] == name]
    return {field: value for field, value in found.items() if field != "lastTransitionTime"}


@in_virtual_time
async def test_a_service_is_resolved_kept_run_and_routed_to() -> None:
    """In this order; its revision says what it was made of, and is one that could be applied."""
    stage = await begun(model_service("a"))
    [kept] = await stage.revisions()
    decode(kept, strict=True)
    assert kept["metadata"]["name"] == "iris-00001"
    assert kept["metadata"]["ownerReferences"][0]["uid"] == (await stage.service())["metadata"]["uid"]
    assert kept["spec"]["resolved"]["digest"] == digest("a")
    assert kept["spec"]["generation"] == 1
    assert stage.actuator.calls == [("run", revision(1))]
    assert stage.actuator.workloads[revision(1)].template == kept["spec"]["template"]
    assert stage.shares() == {1: 100}
    assert stage.routes["iris"].versions == {1: "1"}
    assert stage.routes["iris"].tags == {"latest": 1}
    assert (await stage.conditions())["Ready"] == "True"
    await stage.stop()


@in_virtual_time
async def test_a_new_revision_takes_over_and_the_one_before_waits_in_case() -> None:
    """It gives its replicas up once nobody has gone back to it for ``keep_previous`` seconds."""
    stage = await begun(model_service("a"), model_service("b"), settings=ServiceSettings(keep_previous=100.0))
    assert stage.shares() == {2: 100}
    assert stage.routes["iris"].tags == {"latest": 2, "prev": 1}
    await stage.settle(90)
    assert stage.running() == {1: 1, 2: 1}
    await stage.settle(20)
    assert stage.running() == {2: 1}
    assert stage.routes["iris"].running == (2,)
    assert await stage.numbers() == [1, 2]
    await stage.stop()


@in_virtual_time
async def test_a_route_is_published_before_what_it_left_ends() -> None:
    """At no instant does the gateway have a share for a revision that is ending."""

    class Watched(FakeActuator):
        async def end(self, revision: Any) -> None:
            at_end.append((revision.number, stage.shares()))
            await super().end(revision)

    at_end: list[tuple[int, Mapping[int, int]]] = []
    stage = ServiceStage(ServiceSettings(keep_previous=0.0))
    stage.actuator = Watched(starts_in=1.0, ends_in=1.0)
    await stage.start()
    for uri in "abc":
        await stage.apply(model_service(uri))
        await stage.settle()
    assert at_end == [(1, {2: 100}), (2, {3: 100})]
    await stage.stop()


@in_virtual_time
async def test_scaling_makes_no_revision() -> None:
    """The same revision runs with another number of replicas, and nothing is resolved again."""
    stage = await begun(model_service("a", replicas=3), model_service("a", replicas=5, labels={"a": "b"}))
    assert stage.running() == {1: 5}
    assert stage.resolver.calls == ["a"]
    assert (await stage.status())["replicas"] == 5
    assert (await stage.status())["observedGeneration"] == 2
    await stage.stop()


@pytest.mark.parametrize(("predictor", "replicas"), [({}, 1), ({"minReplicas": 0}, 1), ({"minReplicas": 4}, 4)])
@in_virtual_time
async def test_without_a_fixed_number_the_least_runs(predictor: dict[str, Any], replicas: int) -> None:
    """Until replicas scale; of zero there is one while it is awake."""
    stage = await begun(model_service("a", **predictor))
    assert stage.running() == {1: replicas}
    assert stage.workload(1).sleeps == (predictor.get("minReplicas") == 0)
    told = {each["type"] for each in (await stage.status())["conditions"]}
    assert "FieldsHonoured" not in told
    await stage.stop()


@pytest.mark.parametrize("lost", [False, True])
@in_virtual_time
async def test_a_restart_decides_and_resolves_nothing_again(lost: bool) -> None:
    """What was split is split, what was kept is kept until the same instant; without a change nothing is written."""
    stage = await begun(model_service("a"), model_service("b"), model_service("c", canaryTrafficPercent=20))
    before, version = await stage.book(), (await stage.service())["metadata"]["resourceVersion"]
    await stage.restart(lost=lost)
    await stage.settle()
    assert stage.resolver.calls == ["a", "b", "c"]
    assert stage.shares() == {2: 80, 3: 20}
    assert stage.running() == {1: 1, 2: 1, 3: 1}
    assert await stage.book() == before
    assert lost or (await stage.service())["metadata"]["resourceVersion"] == version
    await stage.settle(600)
    assert stage.running() == {2: 1, 3: 1}
    await stage.stop()


@in_virtual_time
async def test_a_reference_is_resolved_again_when_that_is_asked_for() -> None:
    """The annotation makes what the reference means now the newest revision; what means the same is the same one."""
    stage = await begun(model_service("a"))
    stage.resolver.models["a"] = "moved"
    await stage.settle(1000)
    assert stage.resolver.calls == ["a"]
    await stage.patch({"metadata": {"annotations": {RESTARTED_AT: "1"}}})
    await stage.settle()
    assert stage.shares() == {2: 100}
    await stage.patch({"metadata": {"annotations": {RESTARTED_AT: "2"}}})
    await stage.settle()
    assert stage.resolver.calls == ["a", "a", "a"]
    assert await stage.numbers() == [1, 2]
    await stage.stop()


@in_virtual_time
async def test_the_same_content_is_the_same_revision() -> None:
    """A, B, A comes back to A's number; A asked for again later is whatever its reference means by then."""
    stage = await begun(model_service("a"), model_service("b"), model_service("a"))
    assert stage.shares() == {1: 100}
    assert await stage.numbers() == [1, 2]
    stage.resolver.models["b"] = "moved"
    await stage.apply(model_service("b"))
    await stage.settle()
    assert stage.shares() == {3: 100}
    await stage.stop()


@in_virtual_time
async def test_a_model_that_is_not_there_changes_nothing_for_callers() -> None:
    """Status says why, it is tried again after pauses that grow, and taken once it is there."""
    stage = await begun(model_service("a"), model_service("z"))
    status = await stage.status()
    assert stage.shares() == {1: 100}
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "LatestDeploymentReady") == {
        "type": "LatestDeploymentReady",
        "status": "False",
        "reason": "ModelLoadFailed",
        "message": "'z' is not there",
    }
    assert status["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    assert status["modelStatus"]["states"] == {"activeModelState": "Loaded", "targetModelState": "FailedToLoad"}
    assert status["modelStatus"]["lastFailureInfo"]["message"] == "'z' is not there"
    assert len(stage.resolver.calls) == 1 + 3  # after 0, 1 and 3 seconds
    version = (await stage.service())["metadata"]["resourceVersion"]
    await stage.settle(300)
    assert (await stage.service())["metadata"]["resourceVersion"] == version
    assert len(stage.resolver.calls) == 1 + 11  # … 7, 15, 31, 63, then every 60
    stage.resolver.models["z"] = "z"
    await stage.settle(70)
    assert stage.shares() == {2: 100}
    assert "lastFailureInfo" not in (await stage.status())["modelStatus"]
    await stage.stop()


@in_virtual_time
async def test_a_first_model_that_may_not_be_read() -> None:
    """There is nothing to serve: Ready is False for the error's own reason, and so is the route."""
    stage = ServiceStage()
    stage.resolver.models["a"] = UntrustedModel("a is a pickle, and nobody vouches for it")
    await stage.start()
    await stage.apply(model_service("a"))
    await stage.settle()
    ready = condition(await stage.status(), "Ready")
    assert ready["reason"] == "UntrustedModel"
    assert stage.shares() == {}
    assert stage.routes["iris"].reason == ready["message"] == "a is a pickle, and nobody vouches for it"
    await stage.stop()


@in_virtual_time
async def test_a_revision_that_does_not_start_changes_nothing_for_callers() -> None:
    """The one before answers, and status tells of both."""
    stage = await begun(model_service("a"))
    stage.actuator.broken[digest("b")] = "the file is no model"
    await stage.apply(model_service("b"))
    await stage.settle()
    status = await stage.status()
    assert stage.shares() == {1: 100}
    assert condition(status, "Ready")["status"] == "True"
    failure = status["modelStatus"]["lastFailureInfo"]
    assert (failure["message"], failure["modelRevisionName"]) == ("the file is no model", "iris-00002")
    assert status["components"]["predictor"]["latestCreatedRevision"] == "iris-00002"
    assert status["components"]["predictor"]["latestReadyRevision"] == "iris-00001"
    [event] = [each for each in await stage.store.events() if each.severity == "Warning"]
    assert (event.reason, event.message) == ("ModelLoadFailed", "the file is no model")
    await stage.stop()


@in_virtual_time
async def test_a_split_follows_readiness() -> None:
    """A canary that loses its replicas loses its share, and has it again when they are back."""
    stage = await begun(model_service("a"), model_service("b", canaryTrafficPercent=10))
    assert stage.shares() == {1: 90, 2: 10}
    stage.actuator.ready(revision(2), 0)
    await stage.settle()
    assert stage.shares() == {1: 100}
    stage.actuator.ready(revision(2))
    await stage.settle()
    assert stage.shares() == {1: 90, 2: 10}
    await stage.stop()


@in_virtual_time
async def test_a_service_that_loses_all_replicas_is_waited_for() -> None:
    """Its requests go on to the revision that comes back; Ready tells that none is there."""
    stage = await begun(model_service("a"))
    stage.actuator.ready(revision(1), 0)
    await stage.settle()
    assert stage.shares() == {1: 100}
    assert (await stage.conditions())["Ready"] == "Unknown"
    stage.actuator.fail(revision(1), "it crashed five times")
    await stage.settle()
    assert condition(await stage.status(), "Ready")["message"] == "it crashed five times"
    await stage.stop()


@in_virtual_time
async def test_undo_is_a_switch_of_the_route() -> None:
    """The earlier revision still runs: nothing is resolved, nothing is started, settings and model are its own."""
    stage = await begun(model_service("a", timeout="5s"), model_service("b"))
    stage.resolver.models["a"] = "moved"
    calls = list(stage.actuator.calls)
    [first, _] = await stage.revisions()
    await stage.apply(undone(await stage.service(), first))
    await stage.settle(0.05)
    assert stage.shares() == {1: 100}
    assert stage.actuator.calls == calls
    assert stage.resolver.calls == ["a", "b"]
    assert (await stage.service())["spec"]["predictor"]["timeout"] == "5s"
    await stage.settle()
    await stage.apply(model_service("c"))
    await stage.settle()
    assert stage.shares() == {3: 100}
    await stage.stop()


@in_virtual_time
async def test_undo_of_an_inference_service_holds_the_model() -> None:
    """By the revision's number, for as long as the template is the revision's."""
    stage = await begun(inference_service("a"), inference_service("b"))
    stage.resolver.models["a"] = "moved"
    [first, _] = await stage.revisions()
    await stage.apply(undone(await stage.service(kind=KSERVE), first))
    await stage.settle()
    assert stage.shares() == {1: 100}
    assert stage.resolver.calls == ["a", "b"]
    await stage.restart()
    await stage.settle()
    assert stage.resolver.calls == ["a", "b"]
    spec = (await stage.service(kind=KSERVE))["spec"]
    spec["predictor"]["model"]["storageUri"] = "c"
    await stage.patch({"spec": spec}, kind=KSERVE)
    await stage.settle()
    assert stage.shares() == {3: 100}
    await stage.stop()


@in_virtual_time
async def test_undo_after_the_replicas_are_gone_starts_them_again() -> None:
    """Until they are ready the newer revision keeps the traffic."""
    stage = await begun(model_service("a"), model_service("b"), settings=ServiceSettings(keep_previous=0.0))
    await stage.settle()
    assert stage.running() == {2: 1}
    [first, _] = await stage.revisions()
    await stage.apply(undone(await stage.service(), first))
    await stage.settle(0.5)
    assert stage.shares() == {2: 100}
    await stage.settle()
    assert stage.shares() == {1: 100}
    await stage.stop()


@in_virtual_time
async def test_a_stopped_service_has_no_replicas_and_no_route() -> None:
    """KServe's annotation; started again it is as it was."""
    stage = await begun(inference_service("a"))
    await stage.patch({"metadata": {"annotations": {STOP: "true"}}}, kind=KSERVE)
    await stage.settle()
    status = await stage.status(kind=KSERVE)
    assert (stage.running(), stage.shares()) == ({}, {})
    assert stage.routes["iris"].reason == "it is stopped: it is to have no replicas"
    assert condition(status, "Stopped")["status"] == "True"
    assert condition(status, "Ready")["reason"] == "Stopped"
    assert status["modelStatus"]["states"]["activeModelState"] == "Standby"
    assert status["deploymentMode"] == "Standard"
    await stage.patch({"metadata": {"annotations": {STOP: "false"}}}, kind=KSERVE)
    await stage.settle()
    assert stage.shares() == {1: 100}
    assert "Stopped" not in await stage.conditions(kind=KSERVE)
    assert stage.resolver.calls == ["a"]
    await stage.stop()


@in_virtual_time
async def test_canaries_have_replicas_by_their_share() -> None:
    """By KServe's rule, and the stable revision has fewer by those that are ready; a dark one has one."""
    canaries = [
        {"predictor": {"name": "v2", "model": model("b")}, "trafficPercent": 25},
        {"predictor": {"name": "dark", "model": model("c")}, "trafficPercent": 0},
    ]
    stage = await begun(inference_service("a", minReplicas=4))
    document = inference_service("a", minReplicas=4, spec={"canary": canaries})
    await stage.apply(document)
    await stage.settle()
    assert stage.shares() == {1: 75, 2: 25}
    assert stage.running() == {1: 2, 2: 1, 3: 1}
    status = await stage.status(kind=KSERVE)
    told = [(each["name"], each["ready"], each["trafficPercent"]) for each in status["canaryStatuses"]]
    assert told == [("v2", True, 25), ("dark", True, 0)]
    assert condition(status, "CanaryPredictorReady")["status"] == "True"
    await stage.apply(inference_service("b", minReplicas=4))
    await stage.settle()
    assert stage.shares() == {2: 100}
    assert stage.running() == {1: 4, 2: 4}
    assert stage.resolver.calls == ["a", "b", "c"]
    await stage.stop()


@in_virtual_time
async def test_a_canary_that_fails_is_told_of() -> None:
    """The stable revision keeps everything, and is Ready."""
    canary = {"predictor": {"model": model("z")}, "trafficPercent": 25}
    stage = await begun(model_service("a", spec={"canary": [canary]}))
    status = await stage.status()
    assert stage.shares() == {1: 100}
    assert condition(status, "CanaryPredictorReady") == {
        "type": "CanaryPredictorReady",
        "status": "False",
        "reason": "ModelLoadFailed",
        "message": "'z' is not there",
        "severity": "Info",
    }
    assert condition(status, "Ready")["status"] == "True"
    assert status["canaryStatuses"][0]["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    await stage.stop()


@in_virtual_time
async def test_a_deleted_service_is_withdrawn_and_ended() -> None:
    """Its revisions go with it, and their files are let go of."""
    stage = await begun(model_service("a"), model_service("b"), model_service("c", name="other"))
    await stage.delete()
    await stage.settle()
    assert set(stage.routes) == {"other"}
    assert stage.running() == {}
    assert await stage.numbers() == []
    assert stage.resolver.kept == {digest("c")}
    await stage.stop()


@in_virtual_time
async def test_a_service_made_anew_is_another_one() -> None:
    """While anything of the old one runs its numbers are not given again."""
    stage = await begun(model_service("a"), model_service("b"))
    await stage.delete()
    await stage.apply(model_service("c"))
    await stage.settle()
    assert await stage.numbers() == [3]
    assert stage.shares() == {3: 100}
    assert stage.running() == {3: 1}
    await stage.stop()


@in_virtual_time
async def test_a_name_is_one_services() -> None:
    """Of two kinds the one that was served stays; the other is told, and takes its place when that is deleted."""
    stage = await begun(model_service("a"))
    await stage.store.create(inference_service("b"))
    await stage.settle()
    assert stage.shares() == {1: 100}
    ready = condition(await stage.status(kind=KSERVE), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NameTaken")
    await stage.delete()
    await stage.settle()
    assert (await stage.conditions(kind=KSERVE))["Ready"] == "True"
    assert stage.actuator.workloads[revision(2)].resolved.digest == digest("b")
    await stage.stop()


@in_virtual_time
async def test_history_is_bounded() -> None:
    """Old revisions go with their files, but never one that runs or that could be gone back to by the route."""
    rollout: Document = {"rollout": {"historyLimit": 2}}
    stage = await begun(*(model_service(uri, spec=rollout) for uri in "abcde"))
    assert await stage.numbers() == [2, 3, 4, 5]
    assert stage.resolver.kept == {digest(uri) for uri in "bcde"}
    await stage.apply(model_service("a", spec=rollout))
    await stage.settle()
    assert stage.shares() == {6: 100}
    await stage.stop()


@in_virtual_time
async def test_what_is_stored_and_no_manifest_is_told() -> None:
    """A later version may know stricter rules: what runs is left as it is."""
    stage = await begun(model_service("a"))
    await stage.patch({"spec": {"predictor": {"model": None}}})
    await stage.settle()
    status = await stage.status()
    assert stage.shares() == {1: 100}
    assert status["modelStatus"]["transitionStatus"] == "InvalidSpec"
    assert condition(status, "Ready")["reason"] == "InvalidSpec"
    assert "spec.predictor has no model" in condition(status, "Ready")["message"]
    await stage.stop()


@in_virtual_time
async def test_a_store_that_is_busy_is_asked_again() -> None:
    """Nothing is lost meanwhile, and other services are looked after as before."""

    class Busy(MemoryStore):
        async def create(self, document: Document, *, dry_run: bool = False) -> Document:
            if document["kind"] == "ServingRevision" and now() < until:
                refused.append(document["metadata"]["name"])
                raise StateUnavailable("the disk is full")
            return await super().create(document, dry_run=dry_run)

    refused: list[str] = []
    until = now() + 10.0
    stage = ServiceStage(store=Busy(clock=now))
    await stage.start()
    await stage.apply(model_service("a"))
    await stage.settle(9)
    assert refused == ["iris-00001"] * 4  # at 0, 1, 3 and 7 seconds
    await stage.settle(20)
    assert stage.shares() == {1: 100}
    assert stage.resolver.calls == ["a"]
    await stage.stop()


@in_virtual_time
async def test_what_was_published_counts_though_it_could_not_be_written_down() -> None:
    """A route that was given is not taken away because the status that tells of it could not be kept."""

    class Full(MemoryStore):
        async def replace_status(self, document: Document, *, dry_run: bool = False) -> Document:
            if full:
                raise StateUnavailable("the disk is full")
            return await super().replace_status(document, dry_run=dry_run)

    full = True
    stage = ServiceStage(store=Full(clock=now))
    await stage.start()
    await stage.apply(model_service("a"))
    await stage.settle()
    assert stage.shares() == {1: 100}
    await stage.apply(model_service("z"))
    await stage.settle()
    assert stage.shares() == {1: 100}
    full = False
    await stage.settle(60)
    assert (await stage.book()).rolledout == 1
    assert (await stage.conditions())["Ready"] == "True"
    await stage.stop()


@in_virtual_time
async def test_what_goes_wrong_with_one_service_stops_no_other() -> None:
    """Whatever it is."""

    class Faulty(FakeActuator):
        async def observe(self, namespace: str, service: str) -> Mapping[int, Standing]:
            if service == "bad":
                raise ZeroDivisionError
            return await super().observe(namespace, service)

    stage = ServiceStage()
    stage.actuator = Faulty(starts_in=1.0)
    await stage.start()
    await stage.apply(model_service("a", name="bad"))
    await stage.apply(model_service("b"))
    await stage.settle()
    assert stage.shares() == {1: 100}
    await stage.stop()


@in_virtual_time
async def test_a_watch_that_is_too_far_behind_lists_again() -> None:
    """A log that is shorter than what happens between two reads loses no change."""
    stage = ServiceStage(store=MemoryStore(StoreSettings(max_changes=3, watch_queue=2, watch_batch=1), clock=now))
    await stage.start()
    for number in range(30):
        await stage.store.create(model_service("a", name=f"s{number}"))
    await stage.settle(60)
    assert all(stage.shares(f"s{number}") == {1: 100} for number in range(30))
    for number in range(30):
        await stage.delete(f"s{number}")
    await stage.settle(60)
    assert stage.routes == {}
    await stage.stop()


@in_virtual_time
async def test_whoever_counts_for_revisions_is_told_of_each_that_goes() -> None:
    """Once, also of those that the watch was too far behind to tell of: a service takes all of its own along."""
    stage = ServiceStage(store=MemoryStore(StoreSettings(watch_queue=2), clock=now))
    await stage.start()
    for uri in "abcd":
        await stage.apply(model_service(uri))
        await stage.settle()
    assert stage.forgotten == []
    [first, *_] = await stage.revisions()
    await stage.store.delete(key_of(first))
    await stage.settle()
    assert stage.forgotten == [revision(1)]
    await stage.delete()
    await stage.settle(60)
    assert sorted(stage.forgotten) == [revision(number) for number in (1, 2, 3, 4)]
    await stage.stop()


@in_virtual_time
async def test_what_is_being_resolved_holds_nothing_up() -> None:
    """A download of an hour: the service scales meanwhile, and another spec is another question at once."""
    stage = await begun(model_service("a"))
    stage.resolver.takes = 3600.0
    await stage.apply(model_service("b", replicas=2))
    await stage.settle()
    assert stage.running() == {1: 2}
    assert condition(await stage.status(), "LatestDeploymentReady")["message"] == "its model is being resolved"
    stage.resolver.takes = 0.1
    await stage.apply(model_service("c", replicas=2))
    await stage.settle()
    assert stage.shares() == {2: 100}
    assert (await stage.revisions())[1]["spec"]["resolved"]["uri"] == "c"
    await stage.settle(4000)
    assert await stage.numbers() == [1, 2]
    await stage.stop()


@in_virtual_time
async def test_what_has_no_effect_is_said() -> None:
    """Of our fields that wait for a later version, and of KServe's that are not honoured."""
    stage = await begun(model_service("a", spec={"slo": {"latency": "5ms"}}, timeout="5s"))
    told = condition(await stage.status(), "FieldsHonoured")
    assert (told["status"], told["severity"]) == ("False", "Info")
    assert told["message"] == (
        "spec.slo is not honoured yet: batches do not aim at it; "
        "spec.predictor.timeout is not honoured yet: a request has the time that it asks for, or the server's default"
    )
    await stage.apply(inference_service("a", name="foreign", spec={"tracing": {"a": "b"}}))
    await stage.settle()
    told = condition(await stage.status("foreign", KSERVE), "FieldsHonoured")
    assert told["message"].startswith("spec.tracing is not honoured: ")
    await stage.stop()


@in_virtual_time
async def test_the_gateway_is_told_what_keeps_a_caller_with_one_revision() -> None:
    """The header in lower case; a revision that is ended is addressed no more."""
    stage = await begun(model_service("a", spec={"rollout": {"sticky": {"header": "X-User"}}}))
    assert stage.routes["iris"].sticky == "x-user"
    assert stage.actuator.standings("default", "iris")[1].phase is Phase.READY
    await stage.stop()


@in_virtual_time
async def test_a_revision_that_was_deleted_by_hand_is_made_anew() -> None:
    """It is resolved again, under a number of its own, and what runs answers until then."""
    stage = await begun(model_service("a"))
    [kept] = await stage.revisions()
    await stage.store.delete(key_of(kept))
    await stage.settle()
    assert stage.shares() == {2: 100}
    assert await stage.numbers() == [2]
    await stage.stop()


@in_virtual_time
async def test_a_number_is_never_given_again() -> None:
    """Not even that of a revision of which nothing is left."""
    stage = await begun(*map(model_service, "aba"), settings=ServiceSettings(keep_previous=0.0))
    await stage.settle()
    [_, second] = await stage.revisions()
    await stage.store.delete(key_of(second))
    await stage.restart()
    await stage.apply(model_service("c"))
    await stage.settle()
    assert await stage.numbers() == [1, 3]
    await stage.stop()


@in_virtual_time
async def test_what_is_still_ending_is_not_forgotten() -> None:
    """Its files are needed for as long as it has requests, however short the history is."""
    stage = ServiceStage(ServiceSettings(keep_previous=0.0, history=1))
    stage.actuator = FakeActuator(starts_in=1.0)
    await stage.start()
    for uri in "abcd":
        await stage.apply(model_service(uri))
        await stage.settle()
    assert await stage.numbers() == [1, 2, 3, 4]
    stage.actuator.gone(revision(1))
    stage.actuator.gone(revision(2))
    await stage.settle()
    assert await stage.numbers() == [2, 3, 4]
    await stage.stop()


@in_virtual_time
async def test_nothing_is_let_go_of_while_something_is_found() -> None:
    """What was found and is no revision yet would be let go of, too; afterwards it is made up for."""
    stage = await begun(model_service("a"))
    stage.resolver.takes = 10.0
    await stage.apply(model_service("b", name="other"))
    await stage.settle(1.0)
    await stage.delete()
    await stage.settle(5.0)
    assert stage.resolver.kept == {digest("a")}
    await stage.settle(10.0)
    assert stage.resolver.kept == {digest("b")}
    await stage.stop()


@in_virtual_time
async def test_what_goes_while_other_content_is_let_go_of_is_let_go_of_too() -> None:
    """The resolver was told what is to be kept before that; also where it fails, it is told again."""

    class Slow(FakeResolver):
        async def keep(self, digests: frozenset[str]) -> None:
            await asyncio.sleep(10.0)
            if len(told) == 1:
                told.append("failed")
                raise StateUnavailable("the disk is full")
            told.append("kept")
            await super().keep(digests)

    told: list[str] = []
    stage = ServiceStage()
    stage.resolver = Slow({"a": "a", "b": "b"})
    await stage.start()
    await stage.apply(model_service("a"))
    await stage.apply(model_service("b", name="other"))
    await stage.settle()
    assert stage.resolver.kept == {digest("a"), digest("b")}
    await stage.delete()
    await stage.settle(15.0)
    assert stage.resolver.kept == {digest("a"), digest("b")}, "it failed"
    await stage.delete("other")
    await stage.settle(30.0)
    assert stage.resolver.kept == frozenset()
    await stage.stop()


OVERWRITTEN: dict[str, Any] = {
    "nothing": {},
    "another book": {"bookkeeping": {"rolledout": 99, "last": 100}},
    "no book": {"bookkeeping": "closed"},
    "a word for each": dict.fromkeys(("conditions", "modelStatus", "canaryStatuses", "components", "replicas"), "gone"),
    "a list of words": {"conditions": ["Ready"], "canaryStatuses": ["canary"]},
    "conditions of nothing": {"conditions": [{"status": "True"}, {"type": 1}]},
    "a mapping": {"conditions": {"Ready": "True"}},
    "a field of others": {"phase": "Running"},
}


@pytest.mark.parametrize("lost", [False, True], ids=["running", "started anew"])
@pytest.mark.parametrize("status", OVERWRITTEN.values(), ids=OVERWRITTEN.keys())
@in_virtual_time
async def test_a_status_that_somebody_else_wrote_over_is_put_right(status: Document, lost: bool) -> None:
    """Whatever it was: who looks after the service goes on from what was decided, also of one that is not served."""
    stage = await begun(model_service("a"), inference_service("b"))
    good = {kind: await stage.status(kind=kind) for kind in (OURS, KSERVE)}
    if lost:
        await stage.stop()
    book = {"bookkeeping": good[OURS]["bookkeeping"]} if lost else {}
    await stage.store.replace_status({**await stage.service(), "status": {**status, **book}})
    await stage.store.replace_status({**await stage.service(kind=KSERVE), "status": status})
    if lost:
        await stage.restart()
    await stage.settle()
    told = await stage.status()
    assert {**told, "conditions": []} == {**good[OURS], "conditions": []}
    assert condition(await stage.status(kind=KSERVE), "Ready") == condition(good[KSERVE], "Ready")
    conditions = {each["type"]: each["status"] for each in good[OURS]["conditions"]}
    assert await stage.conditions() == conditions
    assert stage.shares() == {1: 100}
    await stage.stop()


@in_virtual_time
async def test_a_fixed_number_is_not_made_less_by_canaries() -> None:
    """It was written by hand."""
    canary = {"predictor": {"model": model("b")}, "trafficPercent": 50}
    stage = await begun(model_service("a", replicas=4, spec={"canary": [canary]}))
    assert stage.running() == {1: 4, 2: 2}
    assert stage.shares() == {1: 50, 2: 50}
    await stage.stop()


@in_virtual_time
async def test_people_are_told_what_was_decided() -> None:
    """Once each; a restart is no event of a service, and replicas that are lost are."""
    stage = await begun(model_service("a"), model_service("b", canaryTrafficPercent=10), model_service("b"))
    told = {(each.reason, each.count): each.message for each in await stage.store.events()}
    assert told == {
        ("RevisionChosen", 2): "the spec is revision 2",
        ("TrafficSplit", 2): "the traffic goes to revision 2 100 %",
        ("RolledOut", 2): "revision 2 is rolled out, after revision 1",
    }
    await stage.restart()
    await stage.settle()
    assert len(await stage.store.events()) == 3
    stage.actuator.fail(revision(2), "it crashed")
    await stage.settle()
    warnings = [(each.reason, each.message) for each in await stage.store.events() if each.severity == "Warning"]
    assert sorted(warnings) == [("ModelLoadFailed", "it crashed"), ("NotReady", "it crashed")]
    await stage.stop()
