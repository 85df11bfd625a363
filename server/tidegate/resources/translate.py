"""From an InferenceService to the ModelService that it amounts to, with a note for whatever is not the same.

One walk along the fates of the fields: what is honoured is copied, the rest is moved or left out, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from tidegate.resources.annotations import ANNOTATIONS
from tidegate.resources.decode import decode, encode
from tidegate.resources.defaults import apply_defaults
from tidegate.resources.fate import Fate, NotHonoured, Translated, fate_of
from tidegate.resources.faults import Path, show_path
from tidegate.resources.inference_service import InferenceService, InferenceServiceSpec
from tidegate.resources.kinds import OURS
from tidegate.resources.model_service import ModelService
from tidegate.resources.parts import annotations_of, components, part
from tidegate.resources.rules_kserve import PREFIX, class_of, mode_of
from tidegate.resources.section import Section, Shape, fields_of, shape_of

_BY_SCALE_METRIC = {"concurrency": "kpa", "rps": "kpa", "cpu": "hpa", "memory": "hpa"}


@dataclass(frozen=True)
class Note:
    """One thing that is not the same as in KServe."""

    path: Path
    fate: Fate

    @property
    def message(self) -> str:
        place = show_path(self.path)
        match self.fate:
            case NotHonoured(reason):
                return f"{place} is not honoured: {reason}"
            case Translated(to, note):
                return f"{place} becomes {to}{f', {note}' if note else ''}"
        return f"{place}: {self.fate.note}"


def translate(service: InferenceService) -> tuple[ModelService, tuple[Note, ...]]:
    """The ModelService, and what is to be said of it. There is one for every valid InferenceService."""
    walk = _Walk()
    _old_keys(service, walk)
    document = encode(apply_defaults(service))
    spec = walk.section(document["spec"], InferenceServiceSpec, ("spec",))
    explainer = spec.get("explainer")
    if explainer is not None and not explainer.get("containers"):
        del spec["explainer"]  # it was a built-in one, of which a note tells
    for (_, *path), component in components(document):
        ours = part(spec, *path)
        _scale(ours, component, document)
        if part(ours, "batcher").get("maxBatchSize") == 0:
            del ours["batcher"]["maxBatchSize"]  # KServe takes its default then, which is ours, too
    _annotations(document, spec, walk)
    translated = {"apiVersion": f"{OURS}/v1", "kind": "ModelService", "metadata": document["metadata"], "spec": spec}
    if "status" in document:
        translated["status"] = document["status"]
    return cast(ModelService, decode(translated)), tuple(walk.notes)


@dataclass
class _Walk:
    notes: list[Note] = field(default_factory=list)

    def section(self, document: Mapping[str, Any], section: type[Section], path: Path) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in document.items():
            info = fields_of(section)[name]
            fate = fate_of(info)
            here = (*path, name)
            if isinstance(fate, NotHonoured | Translated):
                if value is not False and value not in ([], {}, ""):  # said, but to no effect in KServe either
                    self.notes.append(Note(here, fate))
            else:
                kept[name] = self._value(value, shape_of(info), here)
        return kept

    def _value(self, value: Any, shape: Shape, path: Path) -> Any:
        if shape.section:
            return self.section(value, shape.section, path)
        if shape.item:
            return [self._value(each, shape.item, (*path, index)) for index, each in enumerate(value)]
        return value


def _old_keys(service: InferenceService, walk: _Walk) -> None:
    for path, component in components(encode(service)):
        for name, info in fields_of(type(service.spec.predictor)).items():
            fate = fate_of(info)
            if name in component and isinstance(fate, Translated) and fate.to == "model":
                walk.notes.append(Note((*path, name), fate))


def _scale(translated: dict[str, Any], component: Mapping[str, Any], document: dict[str, Any]) -> None:
    told = {
        ours: component[theirs]
        for theirs, ours in (("scaleMetric", "metric"), ("scaleTarget", "target"), ("scaleMetricType", "metricType"))
        if theirs in component
    }
    if not told:
        return
    by_resource = mode_of(document) == "Standard" or class_of(document) == "hpa" or "metricType" in told
    name = _BY_SCALE_METRIC[told.get("metric", "cpu" if by_resource else "concurrency")]
    if name == "kpa":
        told.pop("metricType", None)
    translated["scalePolicy"] = {"name": name, **told}


def _annotations(document: dict[str, Any], spec: dict[str, Any], walk: _Walk) -> None:
    annotations = annotations_of(document)
    for name in annotations:
        fate = ANNOTATIONS.get(name)
        if isinstance(fate, NotHonoured | Translated):
            walk.notes.append(Note(("metadata", "annotations", name), fate))
    if annotations.get(f"{PREFIX}stop") == "true":
        spec["predictor"]["replicas"] = 0
