"""KServe's manifests, in the style of its published ones: they decode, default, validate and translate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.resources.decode import decode, encode
from tidegate.resources.defaults import apply_defaults
from tidegate.resources.inference_service import InferenceService
from tidegate.resources.manifest import Manifest, read_manifests
from tidegate.resources.parts import FRAMEWORKS
from tidegate.resources.translate import translate

FOLDER = Path(__file__).parent / "kserve"
REFUSED = "refused.yaml"


def documents(name: str) -> Iterator[Manifest]:
    for path in sorted(FOLDER.glob(name)):
        yield from read_manifests(path.read_bytes())


GOOD = [each for path in sorted(FOLDER.iterdir()) if path.name != REFUSED for each in documents(path.name)]
SERVICES = [each for each in GOOD if each.value["kind"] == "InferenceService"]


def name_of(document: Manifest) -> str:
    return str(document.value["metadata"]["name"])


def named(name: str) -> Any:
    return next(each.value for each in GOOD if name_of(each) == name)


def translated(name: str) -> tuple[Any, list[str]]:
    service = decode(named(name))
    assert isinstance(service, InferenceService)
    ours, notes = translate(service)
    return encode(ours)["spec"], [note.message for note in notes]


def test_there_are_many() -> None:
    """At least forty, no name twice."""
    assert len({name_of(each) for each in GOOD}) == len(GOOD) >= 40


@pytest.mark.parametrize("document", GOOD, ids=name_of)
def test_it_is_in_order(document: Manifest) -> None:
    """No fault and no unknown field; what was said is kept, and said again it is the same."""
    found = document.inspect(strict=True)
    assert (found.faults, found.warnings) == ((), ())
    assert found.resource is not None
    assert decode(encode(found.resource)) == found.resource


@pytest.mark.parametrize("document", GOOD, ids=name_of)
def test_its_defaults(document: Manifest) -> None:
    """They are filled in once, and leave no old key."""
    once = apply_defaults(decode(document.value))
    assert apply_defaults(once) == once
    assert not set(encode(once)["spec"].get("predictor", {})) & set(FRAMEWORKS)


@pytest.mark.parametrize("document", SERVICES, ids=name_of)
def test_its_translation(document: Manifest) -> None:
    """It is a valid ModelService of the same name, and the same one whether or not the defaults were filled in."""
    service = decode(document.value)
    assert isinstance(service, InferenceService)
    ours, _ = translate(service)
    assert decode(encode(ours), strict=True) == ours
    assert ours.metadata.name == service.metadata.name
    filled = apply_defaults(service)
    assert isinstance(filled, InferenceService)
    assert translate(filled)[0] == ours


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_old_key_becomes_a_model(framework: str) -> None:
    """With the key as format; triton, onnx and huggingface speak v2 then."""
    [predictor] = encode(apply_defaults(decode(named(f"old-{framework}"))))["spec"].values()
    speaks = predictor["model"].get("protocolVersion")
    assert predictor["model"]["modelFormat"] == {"name": framework}
    assert speaks == ("v2" if framework in ("triton", "onnx", "huggingface") else None)


def test_units_and_scaling_are_translated() -> None:
    """Seconds and milliseconds become durations, a scale metric a policy."""
    spec, notes = translated("to-zero")
    predictor = spec["predictor"]
    assert (predictor["timeout"], predictor["minReplicas"], predictor["containerConcurrency"]) == ("60s", 0, 20)
    assert predictor["scalePolicy"] == {"name": "kpa", "metric": "concurrency", "target": 10}
    assert [note.partition(" becomes ")[0] for note in notes] == [
        "spec.predictor.scaleMetric",
        "spec.predictor.scaleTarget",
    ]
    spec, _ = translated("by-processor")
    policy = {"name": "hpa", "metric": "cpu", "target": 60, "metricType": "Utilization"}
    assert spec["predictor"]["scalePolicy"] == policy


def test_batches_and_logs_are_translated() -> None:
    """Each field that has no effect is told, with the reason."""
    spec, notes = translated("batches-and-logs")
    assert spec["predictor"]["batcher"] == {"maxBatchSize": 32, "maxLatency": "500ms"}
    url = "http://message-dumper.default/"
    assert spec["predictor"]["logger"] == {"mode": "all", "url": url, "metadataHeaders": ["x-team"]}
    sink = "is not honoured: copies are sent to an HTTP sink (url), one by one"
    assert notes == [
        "spec.predictor.sklearn becomes model, with the key as modelFormat.name, as KServe's own admission does",
        "spec.predictor.batcher.timeout is not honoured: KServe ignores it as well; the component's timeout holds",
        f"spec.predictor.logger.storage {sink}",
        f"spec.predictor.logger.batchSize {sink}",
        f"spec.predictor.logger.batchInterval {sink}",
    ]


def test_a_batch_size_of_nothing_is_the_default() -> None:
    """KServe takes 32 then, and so do we."""
    assert translated("batches-of-the-default-size")[0]["predictor"]["batcher"] == {}


def test_canaries_are_translated() -> None:
    """By percentage and by list alike; the names of KServe's Deployments have no meaning here."""
    spec, _ = translated("canary-by-percent")
    assert spec["predictor"]["canaryTrafficPercent"] == 10
    spec, notes = translated("canary-by-list")
    assert [each["trafficPercent"] for each in spec["canary"]] == [25, 0]
    assert all("name" not in each["predictor"] for each in spec["canary"])
    assert sum("revisions are numbered" in note for note in notes) == 3


def test_a_stopped_service_has_no_replicas() -> None:
    """The annotation becomes a fixed number."""
    assert translated("stopped")[0]["predictor"]["replicas"] == 0


def test_a_builtin_explainer_is_left_out() -> None:
    """Of an explainer without containers nothing remains but the note."""
    spec, notes = translated("art")
    assert "explainer" not in spec
    assert "spec.explainer.art is not honoured: there is no built-in explainer; write containers" in notes
    assert "explainer" in translated("own-explainer")[0]


def test_what_kserve_refuses_or_prunes() -> None:
    """Published manifests that are wrong have a defined answer: what is at fault, and what is unknown."""
    said = {
        name_of(each): (
            [fault.message for fault in each.inspect().faults],
            [fault.message for fault in each.inspect().warnings],
        )
        for each in documents(REFUSED)
    }
    external = "spec.predictor.autoScaling.metrics[0].external"
    assert said == {
        "named-model": (
            [
                "spec.predictor.sklearn.name is 'iris', expected none: the container of a model has a name of its own",
            ],
            [],
        ),
        "alibi": (
            ["spec.explainer has no containers and no art, expected exactly one of containers, art"],
            ["spec.explainer.alibi is no field: KServe has removed it; write containers"],
        ),
        "v1alpha2-transformer": (
            ["spec.transformer has no containers, expected containers"],
            ["spec.transformer.custom is no field: that was v1alpha2; write containers"],
        ),
        "keda-of-the-page": (
            [f"{external}.authenticationRef.authenticationRef is missing, expected a mapping"],
            [
                f"{external}.metric.authModes is no field: in KServe it stands in external.authenticationRef",
                f"{external}.authenticationRef.name is no field: the secret's name stands in authenticationRef below",
            ],
        ),
        "outdented": (
            ["spec.predictor is missing, expected a mapping"],
            ["predictor is no field: it belongs to spec"],
        ),
    }
