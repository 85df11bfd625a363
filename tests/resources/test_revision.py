"""What forms a revision, and the way back to it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tidegate.resources.actuator import Resolved
from tidegate.resources.parts import at
from tidegate.resources.revision import (
    CHANGE_CAUSE,
    PINNED,
    RESTARTED_AT,
    hash_of,
    merged,
    name_of,
    pinned,
    request_of,
    template_of,
    templates_of,
    tracks_of,
    undone,
    unpinned,
)

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
SPEC: dict[str, Any] = {
    "slo": {"latency": "50ms"},
    "predictor": {
        "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "models:/iris@champion", "digest": DIGEST},
        "minReplicas": 2,
        "maxReplicas": 8,
        "replicas": 3,
        "scalePolicy": {"name": "kpa"},
        "labels": {"team": "a"},
        "annotations": {"note": "b"},
        "logger": {"mode": "all"},
        "canaryTrafficPercent": 10,
        "batcher": {"maxBatchSize": 64},
        "warmup": [{"batchSize": 1}],
        "timeout": "60s",
    },
    "transformer": {"builtin": {"text": {}}, "minReplicas": 3, "placement": "separate"},
    "rollout": {"historyLimit": 3},
    "notify": [{"slack": {"secretRef": "s"}}],
}


def changed(*path: str, value: object) -> dict[str, Any]:
    spec = deepcopy(SPEC)
    at(spec, *path[:-1])[path[-1]] = value
    return spec


def service(spec: dict[str, Any], kind: str = "ModelService") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "iris"}, "spec": deepcopy(spec)}


def revision(spec: dict[str, Any], kind: str = "ModelService", **more: Any) -> dict[str, Any]:
    resolved = {"uri": "models:/iris@champion", "digest": OTHER}
    told = {"service": {"kind": kind, "name": "iris"}, "number": 4, "template": template_of(spec), "resolved": resolved}
    return {"spec": told | more}


def test_the_template_is_what_decides_what_is_served() -> None:
    """Model, runtime, containers, batches, warm-up and companions form a revision, and nothing else does."""
    assert template_of(SPEC) == {
        "predictor": {
            "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "models:/iris@champion", "digest": DIGEST},
            "batcher": {"maxBatchSize": 64},
            "warmup": [{"batchSize": 1}],
            "timeout": "60s",
        },
        "transformer": {"builtin": {"text": {}}, "placement": "separate"},
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("slo", "latency"), "10ms"),
        (("rollout", "historyLimit"), 1),
        (("notify",), []),
        (("predictor", "minReplicas"), 0),
        (("predictor", "maxReplicas"), 0),
        (("predictor", "replicas"), 0),
        (("predictor", "scalePolicy"), {"name": "hpa"}),
        (("predictor", "labels"), {}),
        (("predictor", "annotations"), {}),
        (("predictor", "logger"), {}),
        (("predictor", "canaryTrafficPercent"), 0),
        (("predictor", "name"), "v2"),
        (("predictor", "scaleTarget"), 5),
        (("predictor", "deploymentStrategy"), {}),
        (("predictor", "autoScaling"), {}),
        (("transformer", "minReplicas"), 1),
    ],
)
def test_what_applies_at_once_forms_no_revision(path: tuple[str, ...], value: object) -> None:
    """How much runs, who gets how much and who is told can be changed without a new revision."""
    assert template_of(changed(*path, value=value)) == template_of(SPEC)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("predictor", "model", "storageUri"), "models:/iris/2"),
        (("predictor", "model", "runtimeVersion"), "2"),
        (("predictor", "containerConcurrency"), 2),
        (("predictor", "batcher", "maxBatchSize"), 32),
        (("predictor", "warmup"), []),
        (("predictor", "timeout"), "5s"),
        (("transformer", "placement"), "collocated"),
        (("explainer",), {"containers": [{"name": "a"}]}),
    ],
)
def test_what_a_replica_is_made_of_forms_a_revision(path: tuple[str, ...], value: object) -> None:
    """Each of these is another template, another hash and another question to the resolver."""
    other, template = template_of(changed(*path, value=value)), template_of(SPEC)
    resolved = Resolved("u", DIGEST)
    assert other != template
    assert hash_of(other, resolved) != hash_of(template, resolved)
    assert request_of(other, "") != request_of(template, "")


def test_the_same_content_is_the_same_revision() -> None:
    """A digest beside the reference, or the order of keys, makes no other one; other content, or who reads it, does."""
    template = template_of(SPEC)
    without = deepcopy(template)
    del without["predictor"]["model"]["digest"]
    reordered = {"transformer": template["transformer"], "predictor": dict(reversed(template["predictor"].items()))}
    resolved = Resolved("u", DIGEST, runtime="sklearn/1.7")
    same = hash_of(template, resolved)
    assert hash_of(without, resolved) == hash_of(reordered, resolved) == same
    assert hash_of(template, Resolved("v", DIGEST, version="3", runtime="sklearn/1.7", at=5.0)) == same
    assert hash_of(template, Resolved("u", OTHER, runtime="sklearn/1.7")) != same
    assert hash_of(template, Resolved("u", DIGEST, runtime="sklearn/1.8")) != same


def test_a_restart_asks_again() -> None:
    """The annotation that asks for it changes the question, and not what forms the revision."""
    assert request_of(template_of(SPEC), "2026-11-27T12:00:00Z") != request_of(template_of(SPEC), "")


def test_each_canary_has_a_track() -> None:
    """The service first; a canary's track is its predictor's name, or its place."""
    spec = SPEC | {
        "canary": [
            {"predictor": {"name": "v2", "model": {"storageUri": "b"}}, "trafficPercent": 5},
            {"predictor": {"batcher": {"maxLatency": "5ms"}}, "trafficPercent": 5},
        ]
    }
    assert tracks_of(spec) == ["", "v2", "canary-2"]
    stable, first, second = templates_of(spec)
    assert stable == template_of(SPEC)
    assert first["predictor"]["model"] == {"modelFormat": {"name": "sklearn"}, "storageUri": "b"}
    assert second["predictor"]["batcher"] == {"maxBatchSize": 64, "maxLatency": "5ms"}
    assert second["predictor"]["model"] == stable["predictor"]["model"]
    assert first["transformer"] == second["transformer"] == stable["transformer"]


@pytest.mark.parametrize(
    ("stable", "canary", "expected"),
    [
        ({"timeout": "1s"}, {"timeout": "2s"}, {"timeout": "2s"}),
        ({"model": {"args": ["a"]}}, {"model": {"args": ["b"]}}, {"model": {"args": ["b"]}}),
        ({"model": {"storageUri": "a", "digest": "x"}}, {"model": {"storageUri": "b"}}, {"model": {"storageUri": "b"}}),
        ({"model": {"storageUri": "a"}}, {"model": {"storage": {"key": "k"}}}, {"model": {"storage": {"key": "k"}}}),
        ({"model": {"digest": "x", "storageUri": "a"}}, {}, {"model": {"digest": "x", "storageUri": "a"}}),
        ({"model": {"device": "cpu"}}, {"containers": [{"name": "c"}]}, {"containers": [{"name": "c"}]}),
        ({"containers": [{"name": "c"}]}, {"model": {"device": "cpu"}}, {"model": {"device": "cpu"}}),
    ],
)
def test_a_canary_is_merged_over_the_stable_predictor(
    stable: dict[str, Any], canary: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Mappings are merged and lists replaced; one kind of implementation and one place of a model remain."""
    before = deepcopy((stable, canary))
    assert merged(stable, canary) == expected
    assert (stable, canary) == before


@pytest.mark.parametrize(("number", "name"), [(1, "iris-00001"), (99999, "iris-99999"), (100000, "iris-100000")])
def test_a_revision_is_named_after_its_service(number: int, name: str) -> None:
    """As Knative does, so that names sort as numbers do for the first hundred thousand."""
    assert name_of("iris", number) == name


def test_undo_brings_settings_and_model_back() -> None:
    """What forms no revision stays as it is now; which content it was is said by the number of the revision."""
    was = deepcopy(SPEC)
    del was["predictor"]["model"]["digest"]
    now = changed("predictor", "model", value={"modelFormat": {"name": "onnx"}, "storageUri": "other"})
    now["predictor"]["replicas"] = 7
    del now["predictor"]["batcher"], now["transformer"]
    now["explainer"] = {"containers": [{"name": "a"}]}
    before = service(now)
    after = undone(before, revision(was))
    assert before == service(now)
    expected = deepcopy(was)
    expected["predictor"]["replicas"] = 7
    expected["transformer"] = {"builtin": {"text": {}}, "placement": "separate"}
    assert after["spec"] == expected
    assert after["metadata"]["annotations"] == {CHANGE_CAUSE: "undo to revision 4", PINNED: "4"}
    assert pinned(after) == 4


def test_undo_of_an_inference_service_is_written_in_its_schema() -> None:
    """Old keys included."""
    old = {"predictor": {"sklearn": {"storageUri": "a"}, "workerSpec": {"containers": []}}}
    new = {"predictor": {"onnx": {"storageUri": "b"}, "minReplicas": 2, "name": "v2"}, "tracing": {}}
    after = undone(service(new, "InferenceService"), revision({"predictor": {}}, "InferenceService", source=old))
    assert after["spec"] == {"predictor": {**old["predictor"], "minReplicas": 2, "name": "v2"}, "tracing": {}}
    assert after["metadata"]["annotations"][PINNED] == "4"
    assert pinned(after) == 4


@pytest.mark.parametrize("told", ["", "x", "-1", "٣", "1.0"])
def test_a_pin_that_is_no_number_is_none(told: str) -> None:
    """An annotation may hold anything."""
    document = service(SPEC, "InferenceService")
    document["metadata"]["annotations"] = {PINNED: told}
    assert pinned(document) is None


def test_a_restart_lets_an_undo_go() -> None:
    """Who wants the model to be looked up again wants what lies there now; an undo after it holds again."""
    document = service(SPEC)
    document["metadata"]["annotations"] = {PINNED: "3", RESTARTED_AT: "2026-01-01T00:00:00Z"}
    assert pinned(document) is None
    assert pinned(undone(document, revision(SPEC))) == 4


def test_an_undo_holds_until_the_template_is_written_otherwise() -> None:
    """Replicas may change meanwhile. What is applied later is what it says, also if that is the template of before."""
    after = undone(service(SPEC), revision(SPEC))
    scaled = deepcopy(after)
    scaled["spec"]["predictor"]["replicas"] = 7
    assert unpinned(after, scaled) == scaled
    edited = deepcopy(after)
    edited["spec"]["predictor"]["model"]["storageUri"] = "elsewhere"
    edited["metadata"]["annotations"]["mine"] = "kept"
    assert unpinned(after, edited)["metadata"]["annotations"] == {"mine": "kept"}
    again = undone(edited, revision(SPEC))
    again["metadata"]["annotations"][PINNED] = "5"
    assert unpinned(edited, again) == again
