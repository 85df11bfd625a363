"""What holds for every document: hypothesis makes them, from nothing and from the shapes of the fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tidegate.control.services.revision import write
from tidegate.control.services.wish import wish_of
from tidegate.resources.actuator import Resolved
from tidegate.resources.decode import decode, encode, inspect
from tidegate.resources.defaults import apply_defaults
from tidegate.resources.faults import InvalidManifest
from tidegate.resources.inference_service import InferenceService, InferenceServiceSpec, KServePredictor
from tidegate.resources.kinds import KINDS, Kind
from tidegate.resources.manifest import read_manifests
from tidegate.resources.parts import part
from tidegate.resources.revision import undone, without_digest
from tidegate.resources.scalars import Amount, CountOrShare, Span
from tidegate.resources.section import Section, Shape, fields_of, shape_of
from tidegate.resources.translate import translate

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["500ms", "1Gi", "a"])
)
NAMES = st.sampled_from(
    sorted({name for kind in KINDS for name in fields_of(kind.model)} | {"predictor", "model", "containers", "name"})
) | st.text(max_size=6)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
)
INTS_OR_STRINGS: dict[str, list[int | str]] = {
    Span("s").schema["pattern"]: ["0ms", "500ms", "1m30s", "1.5h", 0, 250],
    Amount().schema["pattern"]: ["1", 1, "500m", "1Gi"],
    CountOrShare().schema["pattern"]: [0, 3, "3", "25%"],
}
"""By the pattern of their texts."""
WORDS = st.sampled_from(["a", "iris", "v1", "team-a"])


def fitting(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that a field takes, most of them; what only ``rules`` know of may still be broken."""
    if shape.section:
        return section(shape.section, depth)
    if shape.item:
        return st.lists(fitting(shape.item, depth), max_size=2)
    if shape.value:
        return st.dictionaries(WORDS, fitting(shape.value, depth), max_size=2)
    return scalar(shape.schema)


def scalar(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(max(schema.get("minimum", -5), -5), min(schema.get("maximum", 20), 20))
        case "number":
            return st.floats(max(schema.get("minimum", 0), 0), min(schema.get("maximum", 9), 9))
        case "string":
            return WORDS
        case "object":
            return st.dictionaries(WORDS, WORDS, max_size=2)
    return st.sampled_from(INTS_OR_STRINGS[schema["pattern"]])


@cache
def section(kind: type[Section], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: fitting(shape_of(info), depth + 1) for name, info in fields_of(kind).items() if depth < 6}
    required = {name for name, info in fields_of(kind).items() if info.is_required()}
    must = {name: fitting(shape_of(fields_of(kind)[name]), depth + 1) for name in required}
    may = sorted(set(fields) - required)
    if not may:
        return st.fixed_dictionaries(must)
    some = st.lists(st.sampled_from(may), max_size=3, unique=True)
    return some.flatmap(lambda names: st.fixed_dictionaries(must | {name: fields[name] for name in names}))


def documents(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    def whole(spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "iris"}, "spec": spec}

    return fitting(shape_of(fields_of(kind.model)["spec"])).map(whole)


BY_KIND = st.sampled_from(KINDS).flatmap(documents)
SAMPLES = [
    document.value
    for path in sorted((Path(__file__).parent / "kserve").iterdir())
    if path.name != "refused.yaml"
    for document in read_manifests(path.read_bytes())
    if document.value["kind"] == "InferenceService"
]


@st.composite
def valid_services(draw: st.DrawFn) -> InferenceService:
    """A sample with more fields, in its spec and in its predictor, as far as no rule speaks against one."""
    document = deepcopy(draw(st.sampled_from(SAMPLES)))
    more: list[tuple[tuple[str, ...], str, Any]]
    more = [(("spec",), *each) for each in draw(section(InferenceServiceSpec, 1)).items()]
    more += [(("spec", "predictor"), *each) for each in draw(section(KServePredictor, 2)).items()]
    for path, name, value in more:
        changed = deepcopy(document)
        part(changed, *path).setdefault(name, value)
        if not inspect(changed).faults:
            document = changed
    resource = decode(document)
    assert isinstance(resource, InferenceService)
    return resource


@given(JSON)
@settings(max_examples=100)
def test_any_value_is_a_resource_or_its_faults(document: object) -> None:
    """Nothing else is raised, whatever it is."""
    with suppress(InvalidManifest):
        decode(document)
    assert bool(inspect(document).faults) == (inspect(document).resource is None)


@given(st.sampled_from(KINDS), JSON, JSON)
@settings(max_examples=100)
def test_any_content_of_a_known_kind(kind: Kind, metadata: object, spec: object) -> None:
    """As above, further in."""
    document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
    found = inspect(document)
    assert bool(found.faults) == (found.resource is None)
    json.dumps([fault.message for fault in found.faults + found.warnings])


@given(BY_KIND, st.data())
@settings(max_examples=60)
def test_a_damaged_document(document: dict[str, Any], data: st.DataObject) -> None:
    """One value replaced by anything: either still a resource, or faults that name a place."""
    holders = [document]
    for holder in holders:
        holders.extend(each for each in holder.values() if isinstance(each, dict))
    holder = data.draw(st.sampled_from([each for each in holders if each]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
    found = inspect(document, strict=True)
    assert bool(found.faults) == (found.resource is None)


@given(BY_KIND)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_what_fits_each_field_is_in_order_and_comes_back(document: dict[str, Any]) -> None:
    """Only rules can speak against it; decode undoes encode, through JSON and through YAML."""
    found = inspect(document)
    assert found.warnings == ()
    assume(found.resource is not None)
    assert found.resource is not None
    again = encode(found.resource)
    assert decode(again) == found.resource
    assert encode(decode(json.loads(json.dumps(again)))) == again
    [read] = read_manifests(yaml.safe_dump(again).encode())
    assert read.value == again


@given(valid_services())
@settings(max_examples=60)
def test_every_valid_service_has_defaults_and_a_translation(service: InferenceService) -> None:
    """Defaults twice are defaults once; there is a ModelService, valid by itself, and no note without words."""
    once = apply_defaults(service)
    assert apply_defaults(once) == once
    ours, notes = translate(service)
    assert decode(encode(ours), strict=True) == ours
    assert all(note.message for note in notes)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@settings(max_examples=100)
def test_any_text_is_documents(data: bytes) -> None:
    """Whatever is in a file, each of its documents can be read, or says why not."""
    for document in read_manifests(data):
        found = document.inspect()
        assert found.faults
        assert all(document.line(fault.path) >= 1 for fault in found.faults)


@given(st.lists(st.sampled_from(["a: 1", "---", "- b", "? [c]", "&x", "*x", "!!python/name:os", "{", "'", "\t", "a:"])))
def test_any_yaml_is_documents(lines: list[str]) -> None:
    """Of the parts that make YAML difficult, too."""
    for document in read_manifests("\n".join(lines).encode()):
        assert document.inspect().faults


@st.composite
def valid_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A service of either kind, without fault."""
    if draw(st.booleans()):
        return encode(draw(valid_services()))
    document = draw(documents(KINDS[0]))
    assume(not inspect(document).faults)
    return document


def kept(document: dict[str, Any], track: int) -> dict[str, Any]:
    """The revision of one of a service's tracks."""
    served = {**document, "metadata": {**document["metadata"], "namespace": "default", "uid": "u", "generation": 1}}
    return write(served, wish_of(document).tracks[track], 7, Resolved("u", f"sha256:{'a' * 64}"))


@given(valid_documents(), valid_documents(), st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_an_undo_is_what_the_revision_was(past: dict[str, Any], now: dict[str, Any], data: st.DataObject) -> None:
    """Whatever the service was changed to: undone it is valid and has the template; undone again nothing changes."""
    assume(past["kind"] == now["kind"])
    track = data.draw(st.integers(0, len(wish_of(past).tracks) - 1))
    revision = kept(past, track)
    decode(revision, strict=True)
    after = undone(now, revision)
    assume(not inspect(after).faults)  # beside what is kept of now, a rule over several fields may speak against it
    assert without_digest(wish_of(after).stable.template) == without_digest(revision["spec"]["template"])
    assert undone(after, revision) == after
