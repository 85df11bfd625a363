"""What forms a revision: the template of a service, its hash, and the way back from a revision to its service. Pure.

A *template* is that part of a ModelService's spec which decides what is served. What only decides how much of it runs,
who gets how much, and who is told, is no part of it and applies at once. Each entry of ``spec.canary`` forms a template
of its own, on a *track* of its own; the service itself is the track ``STABLE``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidegate.resources.actuator import Resolved
from tidegate.resources.document import Document
from tidegate.resources.parts import annotations_of, at, part, parts

STABLE = ""
"""The track of the service itself."""
COMPONENTS = ("predictor", "transformer", "explainer")
_SCALING = ("minReplicas", "maxReplicas", "replicas", "scalePolicy", "autoScaling")
_KSERVE = ("scaleTarget", "scaleMetric", "scaleMetricType", "deploymentStrategy", "name")
FORMLESS = frozenset((*_SCALING, *_KSERVE, "canaryTrafficPercent", "logger", "labels", "annotations"))
"""Fields of a component, in our schema and KServe's, that form no revision."""
SERVICE_LABEL = "tidegate.dev/service"
"""Label of a ServingRevision: the name of its service."""
CHANGE_CAUSE = "tidegate.dev/change-cause"
"""Annotation of a service: why it is as it is."""
UNDO = "undo to revision "
"""How the cause begins that an undo writes."""
RESTARTED_AT = "tidegate.dev/restartedAt"
"""Annotation of a service: when its reference to a model was last asked to be resolved again."""
SERVICE_LABEL = "tidegate.dev/service"
"""Label of what belongs to a service: its name."""
PINNED = "tidegate.dev/revision"
"""Annotation of a service: the number of the revision that an undo went back to. It says which content the template
means, until the template is written otherwise or is to be resolved again."""

_sorted = msgspec.json.Encoder(order="sorted")


def template_of(spec: Document) -> Document:
    """The template of a spec, in the schema that the spec is written in."""
    return {name: _forming(spec[name]) for name in COMPONENTS if isinstance(spec.get(name), dict)}


def templates_of(spec: Document) -> list[Document]:
    """The template of each track of a spec: the service itself first, then its canaries in their order."""
    stable = part(spec, "predictor")
    canaries = [merged(stable, canary["predictor"]) for _, canary in parts(spec, "canary")]
    return [template_of({**spec, "predictor": predictor}) for predictor in (stable, *canaries)]


def tracks_of(spec: Document) -> list[str]:
    """The names of those tracks: a canary's is its predictor's name, or where it has none its place from 1."""
    names = [part(canary, "predictor").get("name") or f"canary-{index + 1}" for index, canary in parts(spec, "canary")]
    return [STABLE, *names]


def merged(stable: Document, canary: Document) -> Document:
    """A canary's predictor over the stable one: mappings are merged, everything else is replaced (as in RFC 7396).

    A canary with a model or a place of its own does not inherit the other kind from the stable one, and a digest holds
    for the place that it stands beside.
    """
    base = deepcopy(stable)
    if "containers" in canary and "model" not in canary:
        base.pop("model", None)
    elif "model" in canary and "containers" not in canary:
        base.pop("containers", None)
    model = part(base, "model")
    if {"storageUri", "storage"} & part(canary, "model").keys():
        for name in ("storageUri", "storage", "digest"):
            model.pop(name, None)
    predictor: Document = _over(base, canary)
    return predictor


def hash_of(template: Document, resolved: Resolved) -> str:
    """``sha256:…`` of all that forms a revision: the same content has the same one, however it is referred to."""
    return _digest([without_digest(template), resolved.digest, resolved.runtime])


def request_of(template: Document, restarted_at: str) -> str:
    """``sha256:…`` of what is asked of the resolver. It is asked again when this changes, and never else."""
    return _digest([template, restarted_at])


def without_digest(template: Document) -> Document:
    """The template but for the digest of its model, which a revision has by itself."""
    if at(template, "predictor", "model", "digest") is None:
        return template
    template = deepcopy(template)
    del template["predictor"]["model"]["digest"]
    return template


def name_of(service: str, number: int) -> str:
    """The name of a revision: that of the service, and its number in at least five digits."""
    return f"{service}-{number:05}"


def undone(service: Document, revision: Document) -> Document:
    """The service as it is to be written so that it is what the revision was: settings and model.

    What forms no revision (replicas, scaling, labels, shares, notifications) stays as it is now. Which content it was
    is said by an annotation. A digest in the spec would be somebody else's field there, and outlive the undo: beside
    the next reference that is applied it would still mean the old content.
    """
    document = deepcopy(service)
    was = revision["spec"]
    _put_back(document["spec"], was.get("source") or was["template"])
    annotations = document["metadata"].setdefault("annotations", {})
    annotations.pop(RESTARTED_AT, None)
    annotations |= {CHANGE_CAUSE: f"{UNDO}{was['number']}", PINNED: str(was["number"])}
    return document


def pinned(document: Document) -> int | None:
    """The number of the revision that a service was taken back to; None without one."""
    annotations = annotations_of(document)
    told = annotations.get(PINNED, "")
    return int(told) if told.isascii() and told.isdecimal() and RESTARTED_AT not in annotations else None


def unpinned(before: Document, after: Document) -> Document:
    """A service as it is to be written in the place of another: no undo holds for a template that came after it."""
    told = annotations_of(after)
    if PINNED not in told or told[PINNED] != annotations_of(before).get(PINNED):
        return after
    if template_of(before.get("spec", {})) == template_of(after.get("spec", {})):
        return after
    kept = {name: value for name, value in told.items() if name not in (PINNED, CHANGE_CAUSE)}
    return {**after, "metadata": {**after["metadata"], "annotations": kept}}


def timestamp(seconds: float) -> str:
    """RFC 3339 in whole seconds, as Kubernetes has it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(told: str) -> float:
    """Seconds since 1970 of a text that ``timestamp`` made."""
    return datetime.fromisoformat(told).timestamp()


def _forming(component: Mapping[str, Any]) -> Document:
    return {name: deepcopy(value) for name, value in component.items() if name not in FORMLESS}


def _put_back(spec: Document, template: Document) -> None:
    for name in COMPONENTS:
        if name not in template:
            spec.pop(name, None)
            continue
        kept = {field: value for field, value in part(spec, name).items() if field in FORMLESS}
        spec[name] = deepcopy(template[name]) | kept


def _over(base: Any, patch: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return deepcopy(patch)
    return {**base, **{name: _over(base.get(name), value) for name, value in patch.items()}}


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(_sorted.encode(value)).hexdigest()}"
