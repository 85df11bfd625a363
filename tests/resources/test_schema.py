"""What is read off the models: descriptions, fates, schemas, explanations, generated files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.decode import decode, encode
from tidegate.resources.explain import explain
from tidegate.resources.fate import Honoured, fate_of
from tidegate.resources.inference_service import InferenceService, InferenceServiceSpec
from tidegate.resources.kinds import KINDS, Kind, find_kind
from tidegate.resources.model_service import ModelServiceSpec
from tidegate.resources.openapi import definition_of, schema_of
from tidegate.resources.pages import fates, generated
from tidegate.resources.section import Section, fields_of, shape_of
from tidegate.resources.serving_runtime import ServingRuntimeSpec
from tidegate.resources.translate import translate

ROOT = Path(__file__).resolve().parents[2]


def below(section: type[Section]) -> Iterator[type[Section]]:
    """A section and all that is below it, each once."""
    seen: list[type[Section]] = [section]
    for each in seen:
        for info in fields_of(each).values():
            shape = shape_of(info)
            while inner := shape.item or shape.value:
                shape = inner
            if shape.section and shape.section not in seen:
                seen.append(shape.section)
    yield from seen


SECTIONS = list(dict.fromkeys(section for kind in KINDS for section in below(kind.model)))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_is_described(section: type[Section]) -> None:
    """With a sentence, which says what holds without it where there is no default; so is the section."""
    assert section.__doc__
    for name, info in fields_of(section).items():
        assert info.description, name
        assert info.description.rstrip().endswith("."), name


@pytest.mark.parametrize("kind", [InferenceServiceSpec, ServingRuntimeSpec])
def test_every_field_of_kserve_has_a_fate(kind: type[Section]) -> None:
    """Its own; or, where no field of a section has one, that of the field around it."""
    sections = [kind]
    for section in sections:
        told = {name: fate_of(info) for name, info in fields_of(section).items()}
        assert None not in told.values() or not any(told.values()), section.__name__
        for name, info in fields_of(section).items():
            shape = shape_of(info)
            while inner := shape.item or shape.value:
                shape = inner
            if shape.section and shape.section not in sections and isinstance(told[name], Honoured):
                sections.append(shape.section)
    assert all(fate_of(info) for info in fields_of(kind).values())


def test_what_is_honoured_is_in_modelservice() -> None:
    """A field of the same path; one that is not honoured or becomes another is not there."""
    theirs = dict(fates(InferenceServiceSpec))
    ours = set(paths(ModelServiceSpec))
    for path, fate in theirs.items():
        assert (path in ours) == isinstance(fate, Honoured), path


def paths(section: type[Section], path: str = "", above: tuple[type[Section], ...] = ()) -> Iterator[str]:
    for name, info in fields_of(section).items():
        here = f"{path}.{name}" if path else name
        yield here
        shape = shape_of(info)
        while inner := shape.item or shape.value:
            here += "[]" if shape.item else ".*"
            shape = inner
        if shape.section and shape.section not in above:
            yield from paths(shape.section, here, (*above, shape.section))


def test_a_note_for_each_field_that_is_not_the_same() -> None:
    """Setting a field of the predictor that is not honoured gives one note, with the reason that the page has."""
    base: dict[str, Any] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris"},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}},
    }
    values = {"activeDeadlineSeconds": 0, "nodeName": "n", "restartPolicy": "Always", "storageContainerName": "s"}
    for name, value in values.items():
        document = base | {"spec": {"predictor": base["spec"]["predictor"] | {name: value}}}
        service = decode(document)
        assert isinstance(service, InferenceService)
        ours, [note] = translate(service)
        fate = fate_of(fields_of(type(service.spec.predictor))[name])
        assert (note.path, note.fate) == (("spec", "predictor", name), fate)
        assert name not in encode(ours)["spec"]["predictor"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_schema_is_structural(kind: Kind) -> None:
    """Every value has a type or is an int-or-string or open; nothing is referred to; a CRD has no defaults."""
    for schema in nested(schema_of(kind)):
        assert "type" in schema or schema.get("x-kubernetes-int-or-string") or OPEN in schema
        assert not {"$ref", "allOf", "nullable", "additionalItems", "default"} & set(schema)
        assert not ("properties" in schema and "additionalProperties" in schema)
    whole = schema_of(kind, whole=True)
    assert whole["properties"]["metadata"]["properties"]["namespace"]["default"] == "default"


OPEN = "x-kubernetes-preserve-unknown-fields"


def nested(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for each in schema.get("properties", {}).values():
        yield from nested(each)
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from nested(schema[name])


def test_a_definition() -> None:
    """Names, scope, subresources: scaling writes the fixed number of replicas."""
    [ours] = [kind for kind in KINDS if kind.name == "ModelService"]
    definition = definition_of(ours)
    assert definition["metadata"]["name"] == "modelservices.tidegate.dev"
    assert definition["spec"]["names"]["shortNames"] == ["msvc"]
    [version] = definition["spec"]["versions"]
    assert version["subresources"]["scale"]["specReplicasPath"] == ".spec.predictor.replicas"
    [cluster] = [kind for kind in KINDS if kind.name == "ClusterServingRuntime"]
    assert definition_of(cluster)["spec"]["scope"] == "Cluster"


def test_a_definition_takes_no_word_of_kubernetes() -> None:
    """In a cluster `kubectl get job` is batch/v1's; only a server that has no such kind gives the word to ours."""
    [jobs] = [kind for kind in KINDS if kind.name == "ServingJob"]
    assert definition_of(jobs)["spec"]["names"]["shortNames"] == ["sjob"]
    assert {"job", "jobs"} < set(jobs.aliases)
    assert find_kind("Jobs") is jobs


def test_the_generated_files_are_up_to_date() -> None:
    """scripts/generate-schemas has been run since the models changed."""
    for path, text in generated().items():
        assert (ROOT / path).read_text() == text, f"{path}: run scripts/generate-schemas"


def test_a_generated_definition_is_plain_yaml() -> None:
    """Without anchors; what is read is what was made."""
    text = (ROOT / "deploy/tidegate/cluster/crds/modelservices.yaml").read_text()
    assert yaml.safe_load(text) == definition_of(KINDS[0])
    assert "&id" not in text


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("modelservice", ["KIND     ModelService", "VERSION  tidegate.dev/v1", "  spec <Object> required"]),
        ("MSVC.spec.predictor.minReplicas", ["<integer>", "EXPECTED a whole number of at least 0", "DEFAULT  1"]),
        (
            "isvc.spec.predictor.batcher.maxLatency",
            ["DEFAULT  5000", "HERE     honoured: an upper bound", "Milliseconds"],
        ),
        ("isvc.spec.predictor.workerSpec", ["HERE     not honoured: a replica is one process on one node"]),
        ("isvc.spec.predictor.autoScaling.metrics.type", ["HERE     not honoured: replicas follow the queue"]),
        ("isvc.spec.predictor.scaleTarget", ["HERE     becomes scalePolicy.target"]),
        ("modelservice.spec.notify.slack", ["FIELD    spec.notify.slack <Object>", "  secretRef <string> required"]),
        ("modelservice.spec.predictor.batcher.pad", ["<map[string][]integer>"]),
        ("servingruntimes.spec.supportedModelFormats", ["<[]Object>", "  autoSelect <boolean>, default false"]),
    ],
)
def test_an_explanation(path: str, parts: list[str]) -> None:
    """Kind by any of its names, in any case; type, bounds, default, what becomes of it, and what is below."""
    text = explain(path)
    for part in parts:
        assert part in text
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("section", [ModelServiceSpec, InferenceServiceSpec, ServingRuntimeSpec])
def test_every_path_has_an_explanation(section: type[Section]) -> None:
    """No field lacks one."""
    [kind] = [kind for kind in KINDS if shape_of(fields_of(kind.model)["spec"]).section is section][:1]
    for name in fields_of(section):
        assert explain(f"{kind.name}.spec.{name}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "",
            "there is no kind ''; known are ModelService, ServingRevision, ServingRollout, ServingJob, "
            "InferenceService, ServingRuntime, "
            "ClusterServingRuntime",
        ),
        ("modelservce", "there is no kind 'modelservce'; did you mean modelservice?"),
        ("msvc.spec.predicto", "ModelService.spec has no field 'predicto'; did you mean predictor?"),
        (
            "msvc.spec.predictor.minreplicas",
            "ModelService.spec.predictor has no field 'minreplicas'; did you mean minReplicas?",
        ),
        ("msvc.spec.slo.x", "ModelService.spec.slo has no field 'x'; it has latency"),
        ("msvc.kind.x", "ModelService.kind has no fields of its own to explain"),
    ],
)
def test_what_cannot_be_explained(path: str, message: str) -> None:
    """The nearest name is told."""
    with pytest.raises(InvalidRequest) as caught:
        explain(path)
    assert caught.value.message == message
