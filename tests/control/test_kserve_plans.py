"""KServe's published manifests from admission to what becomes of them: a service that runs, or one sentence why not."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from tidegate.control.api.admission import FieldValidation, admit
from tidegate.control.api.served import served_of
from tidegate.control.formats import READERS
from tidegate.control.resolver import LocalResolver, ResolverSettings
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.resources.decode import decode, encode
from tidegate.resources.document import Document
from tidegate.resources.faults import InvalidManifest
from tidegate.resources.inference_service import InferenceService
from tidegate.resources.kinds import SERVICES
from tidegate.resources.manifest import read_manifests
from tidegate.resources.parts import part
from tidegate.resources.revision import template_of
from tidegate.resources.translate import translate
from tidegate.runtimes.catalogue import runtimes
from tidegate.storage.cache import ArtifactCache, CacheSettings
from tidegate.testing.clock import run_virtual
from tidegate.testing.services import KSERVE, ServiceStage

FOLDER = Path(__file__).parents[1] / "resources" / "kserve"
_, THEIRS = map(served_of, SERVICES)
WRITTEN = {"uid", "resourceVersion", "creationTimestamp"}
"""What a server writes: on a page it is left from somebody else's."""


def published(name: str) -> dict[str, Document]:
    """The InferenceServices of files, by name, in the namespace that tests look into."""
    found: dict[str, Document] = {}
    for path in sorted(FOLDER.glob(name)):
        for each in read_manifests(path.read_bytes()):
            document: Document = copy.deepcopy(each.value)
            told = document["metadata"]
            if document["kind"] == "InferenceService":
                kept = {field: value for field, value in told.items() if field not in WRITTEN}
                found[told["name"]] = {**document, "metadata": {**kept, "namespace": "default"}}
    return found


REFUSED = published("refused.yaml")
GOOD = {name: each for name, each in published("*.yaml").items() if name not in REFUSED}

PREDICTOR, MODEL = "spec.predictor", "spec.predictor.model"
ANNOTATION = 'metadata.annotations["{}"]'
MODE = ANNOTATION.format("serving.kserve.io/deploymentMode")
SCALER = ANNOTATION.format("serving.kserve.io/autoscalerClass")
RUNS = ""
CONTAINER = f"{PREDICTOR}.containers needs a container, and none can run on this machine"
READ = ", ".join(sorted({*READERS, *runtimes()}))
NO_PLACE = f"{MODEL}.storageUri is missing, expected a path of this machine"


def unread(form: str) -> str:
    return f"{MODEL}.modelFormat.name '{form}' is read by no runtime here, expected one of {READ}"


def component(name: str) -> str:
    return f"spec.{name} cannot run on this machine yet, expected a predictor alone"


EXPECTED: dict[str, tuple[str, list[str]]] = {
    # containers.yaml
    "custom": (CONTAINER, []),
    "custom-without-a-name": (CONTAINER, [f"{PREDICTOR}.timeout", PREDICTOR]),
    "torch-transformer": (component("transformer"), []),
    "collocated": (CONTAINER, []),
    "collocated-beside-a-container": (CONTAINER, []),
    "art": (RUNS, ["spec.explainer.art"]),
    "own-explainer": (component("explainer"), []),
    # legacy.yaml
    "old-sklearn": (RUNS, []),
    "old-xgboost": (RUNS, []),
    "old-lightgbm": (RUNS, []),
    "old-tensorflow": (RUNS, []),
    "old-pytorch": (RUNS, []),
    "old-triton": (unread("triton"), []),
    "old-onnx": (RUNS, []),
    "old-huggingface": (RUNS, []),
    "old-pmml": (unread("pmml"), []),
    "old-paddle": (unread("paddle"), []),
    "old-in-full": (RUNS, [f"{MODEL}.runtimeVersion", PREDICTOR, MODEL]),
    # model.yaml
    "sklearn-v2": (RUNS, []),
    "by-mlserver": (RUNS, []),
    "triton-grpc": (unread("triton"), [f"{MODEL}.runtimeVersion", MODEL]),
    "llm": (NO_PLACE, [MODEL]),
    "vllm": (unread("vLLM"), [MODEL]),
    "from-a-volume": (unread("mlflow"), []),
    "from-a-bucket-of-a-secret": (
        f"{MODEL}.storage is in a remote storage, and those are not there yet; expected storageUri with a path of this "
        "machine",
        [PREDICTOR],
    ),
    "from-azure": (RUNS, []),
    "from-several-places": (NO_PLACE, [f"{PREDICTOR}.storageUris"]),
    "encrypted": (RUNS, [f"{MODEL}.confidential", f"{PREDICTOR}.storageContainerName"]),
    "as-a-python-client-sends-it": (RUNS, []),
    # operation.yaml
    "to-zero": (
        RUNS,
        [f"{PREDICTOR}.timeout"],
    ),
    "by-requests": (
        RUNS,
        [
            ANNOTATION.format("autoscaling.knative.dev/target"),
            ANNOTATION.format("autoscaling.knative.dev/class"),
        ],
    ),
    "by-processor": (RUNS, [MODE, SCALER]),
    "by-keda": (NO_PLACE, [f"{PREDICTOR}.autoScaling", MODE, SCALER, MODEL]),
    "batches-and-logs": (
        RUNS,
        [
            f"{PREDICTOR}.batcher.timeout",
            f"{PREDICTOR}.logger.storage",
            f"{PREDICTOR}.logger.batchSize",
            f"{PREDICTOR}.logger.batchInterval",
            f"{PREDICTOR}.logger",
        ],
    ),
    "batches-of-the-default-size": (RUNS, []),
    "canary-by-percent": (RUNS, []),
    "canary-by-list": (
        RUNS,
        [f"{PREDICTOR}.name", "spec.canary[0].predictor.name", "spec.canary[1].predictor.name", MODE],
    ),
    "rolling": (RUNS, [f"{PREDICTOR}.deploymentStrategy", MODE]),
    "over-nodes": (RUNS, [f"{PREDICTOR}.workerSpec", MODE, SCALER]),
    "stopped": (
        "it is stopped: it is to have no replicas",
        [ANNOTATION.format("prometheus.io/scrape"), ANNOTATION.format("prometheus.io/port")],
    ),
    "particular-about-its-pods": (
        RUNS,
        [f"{PREDICTOR}.nodeName", f"{PREDICTOR}.restartPolicy", "spec.tracing", PREDICTOR],
    ),
}
"""By name: why it does not run where every storage is at hand, and the places of what has no effect here."""


@pytest.fixture(scope="module")
def statuses() -> dict[str, Document]:
    """What is said of each, with all of them applied and every storage at hand."""

    async def main() -> dict[str, Document]:
        stage = ServiceStage()
        stage.resolver.models |= {uri: uri for each in GOOD.values() for uri in places(each)}
        await stage.start()
        for document in GOOD.values():
            await stage.apply(admit(THEIRS, document, None, FieldValidation.STRICT).document)
        await stage.settle(10)
        for name in GOOD:
            runs = EXPECTED[name][0] == RUNS
            assert bool(stage.shares(name)) == bool(stage.running(name)) == runs, name
            assert stage.routes[name].reason == EXPECTED[name][0], name
        found = {name: await stage.status(name, KSERVE) for name in GOOD}
        await stage.stop()
        return found

    return run_virtual(main())


def places(document: Any) -> set[str]:
    """Every storageUri in it."""
    if isinstance(document, list):
        return set().union(*map(places, document))
    if not isinstance(document, dict):
        return set()
    own = {document["storageUri"]} if "storageUri" in document else set()
    return own.union(*map(places, document.values()))


def conditions(status: Document) -> dict[str, Document]:
    return {each["type"]: each for each in status["conditions"]}


def test_each_has_an_answer() -> None:
    """At least forty, and none is left out."""
    assert list(GOOD) == list(EXPECTED)
    assert len(GOOD) >= 40


@pytest.mark.parametrize("name", [name for name, (why, _) in EXPECTED.items() if why == RUNS])
def test_it_runs(name: str, statuses: dict[str, Document]) -> None:
    """In KServe's form: ready because predictor and ingress are, one revision with all of the traffic, loaded."""
    status = statuses[name]
    told = conditions(status)
    assert [told[each]["status"] for each in ("Ready", "PredictorReady", "IngressReady")] == ["True"] * 3
    assert status["observedGeneration"] == 1
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"
    assert status["modelStatus"]["states"] == {"activeModelState": "Loaded", "targetModelState": "Loaded"}
    assert status["url"] == f"http://127.0.0.1:8080/serving/default/{name}"
    stable = {"revisionName": f"{name}-00001", "latestRevision": True, "tag": "latest"}
    traffic = [share for share in status["components"]["predictor"]["traffic"] if share["percent"]]
    if name != "canary-by-list":
        assert traffic == [{**stable, "percent": 100}]
        return
    assert traffic == [
        {**stable, "percent": 75},
        {"revisionName": f"{name}-00002", "percent": 25, "latestRevision": False},
    ]
    assert [(each["name"], each["ready"], each["trafficPercent"]) for each in status["canaryStatuses"]] == [
        ("v2", True, 25),
        ("v3", True, 0),
    ]


@pytest.mark.parametrize("name", [name for name, (why, _) in EXPECTED.items() if why != RUNS])
def test_it_says_why_it_does_not_run(name: str, statuses: dict[str, Document]) -> None:
    """In one sentence, which stands wherever KServe's clients look; a stopped service failed in nothing."""
    status, why = statuses[name], EXPECTED[name][0]
    told = conditions(status)
    assert [told[each]["status"] for each in ("Ready", "PredictorReady", "IngressReady")] == ["False", "False", "True"]
    assert told["Ready"]["message"] == told["PredictorReady"]["message"] == why
    assert "traffic" not in status["components"]["predictor"]
    failure = status["modelStatus"].get("lastFailureInfo", {})
    if name == "stopped":
        assert (told["Stopped"]["status"], failure) == ("True", {})
        return
    assert failure["message"] == why
    assert status["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"


@pytest.mark.parametrize("name", EXPECTED)
def test_what_has_no_effect_is_said(name: str, statuses: dict[str, Document]) -> None:
    """By a condition that is information: each thing with its place, and nothing else."""
    told = conditions(statuses[name]).get("FieldsHonoured")
    if told is None:
        assert EXPECTED[name][1] == []
        return
    assert (told["status"], told["severity"]) == ("False", "Info")
    sentences = re.split(r"; (?=spec\.|metadata\.)", told["message"])
    assert [re.split(" is not honoured| has no effect", each)[0] for each in sentences] == EXPECTED[name][1]


@pytest.mark.parametrize("name", REFUSED)
def test_what_kserve_refuses_is_stored_by_nobody(name: str) -> None:
    """What is said of it stands in tests/resources/test_kserve_manifests.py."""
    with pytest.raises(InvalidManifest):
        admit(THEIRS, REFUSED[name])


@pytest.mark.parametrize("name", [name for name in EXPECTED if "://" in "".join(places(GOOD[name]))])
def test_a_storage_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    """By its scheme; but what no storage could mend is said first."""
    service = decode(GOOD[name])
    assert isinstance(service, InferenceService)
    template = template_of(encode(translate(service)[0])["spec"])
    why = EXPECTED[name][0] if name != "stopped" else RUNS
    if why == RUNS:
        uri = part(template, "predictor", "model")["storageUri"]
        why = (
            f"{MODEL}.storageUri '{uri}' is in a remote storage ({uri.partition(':')[0]}:), and those are not there "
            "yet; expected a path of this machine, as /models/iris or file:///models/iris"
        )
    with (
        ArtifactCache(CacheSettings(directory=tmp_path)) as cache,
        pytest.raises(ModelLoadFailed) as caught,
    ):
        run_virtual(LocalResolver(cache, ResolverSettings()).resolve("default", template))
    assert caught.value.message == why
