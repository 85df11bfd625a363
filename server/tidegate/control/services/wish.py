"""What a service is to be, as its stored document says it: read once, in one shape for both kinds. Pure."""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import cast

import msgspec

from tidegate.control.rollouts.course import Course, course_of
from tidegate.control.scaling.scale import Scaling, scaling_of
from tidegate.control.services.not_yet import not_yet
from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.decode import decode, encode
from tidegate.resources.defaults import apply_defaults
from tidegate.resources.document import Document
from tidegate.resources.fate import NotHonoured
from tidegate.resources.inference_service import InferenceService
from tidegate.resources.parts import annotations_of, at, part
from tidegate.resources.revision import RESTARTED_AT, pinned, request_of, templates_of, tracks_of
from tidegate.resources.rollout import Rollout
from tidegate.resources.translate import translate


class Track(msgspec.Struct, frozen=True):
    """One of the things that are served side by side under the service's name."""

    name: str
    template: Document
    source: Document
    """The template in the service's own schema; {} where that is ours."""
    request: str
    """What the resolver is asked for it (``resources.revision.request_of``)."""
    percent: int = 0
    """Of a canary: its share."""
    replicas: int = 1
    """Without scaling; with it what it begins with."""
    scaling: Scaling | None = None
    """How their number is found; None where it is fixed."""
    sleeps: bool = False
    """Whether it may have no replica while nobody uses it."""


class Wish(msgspec.Struct, frozen=True):
    """All that the control plane reads in a service."""

    tracks: tuple[Track, ...]
    """The service itself first."""
    percent: int | None
    """``canaryTrafficPercent``; None without it, and beside ``spec.canary``, where it has no meaning."""
    pinned: int | None
    """The revision that an undo went back to."""
    restarted_at: str
    fixed: bool
    """Whether the number of replicas is told, and not made less by what canaries have."""
    history: int | None
    sticky: str
    course: Course | None
    """How a new revision takes over; None for once it is ready."""
    unhonoured: tuple[str, ...]
    """One sentence for each thing that is said and has no effect."""

    @property
    def stable(self) -> Track:
        return self.tracks[0]

    @property
    def canaries(self) -> tuple[Track, ...]:
        return self.tracks[1:]

    @property
    def stopped(self) -> bool:
        return self.stable.replicas == 0


def wish_of(document: Document) -> Wish:
    """What a stored ModelService or InferenceService asks for.

    Nothing in what is returned may be changed: it is remembered for the next look at the same manifest, because reading
    one takes milliseconds of the event loop, and status changes more often than what is asked for.

    Raises:
        InvalidManifest: it is not one, as this version knows them.
    """
    metadata = {name: document["metadata"].get(name) for name in ("name", "annotations")}
    manifest = {name: document.get(name) for name in ("apiVersion", "kind", "spec")} | {"metadata": metadata}
    return _read(msgspec.json.encode(manifest))


@lru_cache(maxsize=2048)
def _read(manifest: bytes) -> Wish:
    told, spec, sources, unhonoured = _in_our_schema(msgspec.json.decode(manifest))
    restarted_at = annotations_of(told).get(RESTARTED_AT, "")
    predictor = part(spec, "predictor")
    full = predictor.get("replicas", max(predictor.get("minReplicas", 1), 1))
    sleeps = _sleeps(predictor, otherwise=False)
    canaries = spec.get("canary", [])
    scalings, faults = _scalings(spec)
    tracks = tuple(
        Track(
            name=name,
            template=template,
            source=source,
            request=request_of(template, restarted_at),
            percent=canaries[index - 1]["trafficPercent"] if index else 0,
            replicas=_of_canary(canaries[index - 1], full) if index else full,
            scaling=scalings[index],
            sleeps=_sleeps(part(canaries[index - 1], "predictor"), otherwise=sleeps) if index else sleeps,
        )
        for index, (name, template, source) in enumerate(
            zip(tracks_of(told["spec"]), templates_of(spec), sources, strict=True)
        )
    )
    percent = predictor.get("canaryTrafficPercent")
    if canaries and percent is not None:
        unhonoured += ("spec.predictor.canaryTrafficPercent is not honoured beside spec.canary, which splits, too",)
    return Wish(
        tracks=tracks,
        percent=None if canaries else percent,
        pinned=pinned(told),
        restarted_at=restarted_at,
        fixed="replicas" in predictor,
        history=at(spec, "rollout", "historyLimit"),
        course=course_of(Rollout.model_validate(spec["rollout"])) if "rollout" in spec else None,
        sticky=(at(spec, "rollout", "sticky", "header") or "").lower(),
        unhonoured=(*unhonoured, *faults),
    )


def _in_our_schema(document: Document) -> tuple[Document, Document, list[Document], tuple[str, ...]]:
    """The document in its one form, its spec as a ModelService's, the sources of its tracks, and what has no effect."""
    resource = decode(document)
    if not isinstance(resource, InferenceService):
        told = encode(resource)
        return told, told["spec"], [{} for _ in tracks_of(told["spec"])], not_yet(told["spec"])
    resource = cast(InferenceService, apply_defaults(resource))
    told = encode(resource)
    ours, notes = translate(resource)
    spec = encode(ours)["spec"]
    unhonoured = (note.message for note in notes if isinstance(note.fate, NotHonoured))
    return told, spec, templates_of(told["spec"]), (*unhonoured, *not_yet(spec))


def _scalings(spec: Document) -> tuple[list[Scaling | None], list[str]]:
    """How each track scales, and what keeps one from it. A canary that says nothing of it scales as the service does,
    from one replica on."""
    scalings: list[Scaling | None] = []
    faults: list[str] = []
    predictor, slo = part(spec, "predictor"), spec.get("slo")
    canaries = [part(canary, "predictor") for canary in spec.get("canary", [])]
    for index, component in enumerate((predictor, *canaries)):
        own = not index or any(name in component for name in _SCALES)
        try:
            scaling = scaling_of(component if own else predictor, slo)
        except InvalidRequest as error:
            scaling = None
            faults.append(f"{f'spec.canary[{index - 1}]' if index else 'spec'}.predictor.{error.message}")
        scalings.append(scaling if own or scaling is None else scaling.with_bounds(1, scaling.config.most))
    return scalings, faults


_SCALES = ("replicas", "minReplicas", "maxReplicas", "scalePolicy", "scaleMetric", "scaleTarget", "scaleMetricType")


def _sleeps(predictor: Document, *, otherwise: bool) -> bool:
    """Whether one of no replicas at least is meant; a number of replicas that is told is told to be there."""
    if "replicas" in predictor:
        return False
    least: int | None = predictor.get("minReplicas")
    return otherwise if least is None else least == 0


def _of_canary(canary: Document, full: int) -> int:
    """A canary's replicas, by KServe's rule: what it says itself, else its share of the stable one's.

    A dark one, with a share of 0, has one: it is to be tried.
    """
    predictor = part(canary, "predictor")
    told: int = predictor.get("replicas", predictor.get("minReplicas", ceil(full * canary["trafficPercent"] / 100)))
    return max(told, 1) if full else 0
