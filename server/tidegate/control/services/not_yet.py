"""What a ModelService may say and this version does not act on yet: it is told, never passed over in silence. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.resources.document import Document
from tidegate.resources.fate import IN_A_CLUSTER, OF_A_CONTAINER, Honoured, fate_of
from tidegate.resources.faults import show_path
from tidegate.resources.model_service import Model, Predictor
from tidegate.resources.parts import at, part, predictors
from tidegate.resources.section import Section, fields_of


def not_yet(spec: Document) -> tuple[str, ...]:
    """One sentence for each thing, which begins with the field's path."""
    yet = (f"spec.{field} is not honoured yet: {instead}" for field, instead in _fields(spec))
    return (*yet, *_without_pods(spec))


def _fields(spec: Document) -> Iterator[tuple[str, str]]:
    predictor = part(spec, "predictor")
    if "slo" in spec:
        yield "slo", "batches do not aim at it"
    if "logger" in predictor:
        yield "predictor.logger", "no copies are sent"
    if "timeout" in predictor:
        yield "predictor.timeout", "a request has the time that it asks for, or the server's default"
    for name in ("levels", "default"):
        if at(predictor, "batcher", "priorities", name) is not None:
            yield f"predictor.batcher.priorities.{name}", "the server's levels hold"
    if at(predictor, "model", "runtimeVersion"):
        yield "predictor.model.runtimeVersion", "the installed framework reads the model"


def _without_pods(spec: Document) -> Iterator[str]:
    """What is of a pod or of its container: one sentence for each of those, for manifests have a lot of it."""
    for path, predictor in predictors({"spec": spec}):
        if told := _said(predictor, Predictor, IN_A_CLUSTER):
            yield f"{show_path(path)} has no effect here by {told}: a replica is a process, and has no pod"
        if told := _said(part(predictor, "model"), Model, OF_A_CONTAINER):
            yield f"{show_path(path)}.model has no effect here by {told}: a replica is a process, and has no container"


def _said(section: Document, schema: type[Section], fate: Honoured) -> str:
    """The fields of this fate that say something."""
    fields = fields_of(schema)
    said = (value is not False and value not in ([], {}, "") for value in section.values())
    return ", ".join(name for name, says in zip(section, said, strict=True) if says and fate_of(fields[name]) == fate)
