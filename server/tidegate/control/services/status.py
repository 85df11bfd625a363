"""The status of a service, in KServe's form for both kinds, and what tidegate tells beside it. Pure.

``Ready`` says whether the service answers: it stays True while a new revision cannot be loaded and the old one serves.
Whether the newest revision is the one that answers is ``LatestDeploymentReady``, and in words ``modelStatus``.
"""

from __future__ import annotations

import msgspec

from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.services import book as books
from tidegate.control.services import conditions
from tidegate.control.services.conditions import FALSE, TRUE, UNKNOWN, Condition
from tidegate.control.services.model_status import model_status
from tidegate.control.services.picture import Picture, why_unready
from tidegate.control.services.revision import resolved_document
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.traffic import candidate
from tidegate.resources.actuator import Phase
from tidegate.resources.document import Document, key_of
from tidegate.resources.parts import part
from tidegate.resources.revision import STABLE, timestamp
from tidegate.resources.rules_kserve import mode_of

MOST = 1024
"""Characters of a message in a condition."""
_OF_RECORD = ("policy", "reason", "time", "slo", "starts")
"""Of what is kept of a revision's scaling, what its service tells."""


def status_of(picture: Picture, settings: ServiceSettings) -> Document:
    """The whole status."""
    before = part(picture.service, "status")
    metadata = picture.service["metadata"]
    url = f"{settings.base}/serving/{key_of(picture.service).namespace}/{metadata['name']}"
    status: Document = {
        "observedGeneration": metadata["generation"],
        "conditions": conditions.documents(
            _conditions(picture), before.get("conditions") or [], timestamp(picture.now)
        ),
        "url": url,
        "address": {"url": url},
        "components": {"predictor": _predictor(picture, url)},
        "modelStatus": model_status(picture, STABLE, part(before, "modelStatus")),
        "replicas": sum(picture.ready(number) for number in picture.book.with_traffic),
        "scaling": _scaling(picture),
        "selector": f"serving.kserve.io/inferenceservice={metadata['name']}",
        books.FIELD: books.write(picture.book),
    }
    if picture.service["kind"] == "InferenceService":
        status["deploymentMode"] = mode_of(picture.service) or "Standard"
    if picture.wish.canaries:
        status["canaryStatuses"] = _canaries(picture, before)
    if resolved := _resolved(picture):
        status["resolved"] = resolved
    return status


def refused(service: Document, reason: str, message: str, now: float) -> Document:
    """The status of a service that is not looked after: nothing of it changes but that this is said."""
    before = part(service, "status")
    said = [Condition(name, FALSE, reason, message[:MOST]) for name in ("Ready", "PredictorReady")]
    others = [told for told in before.get("conditions") or [] if told["type"] not in ("Ready", "PredictorReady")]
    told = conditions.documents(said, before.get("conditions") or [], timestamp(now))
    model = {"transitionStatus": "InvalidSpec"}
    return {
        **before,
        "observedGeneration": service["metadata"]["generation"],
        "conditions": sorted([*others, *told], key=lambda told: str(told["type"])),
        "modelStatus": {**part(before, "modelStatus"), **model},
    }


def _conditions(picture: Picture) -> list[Condition]:
    predictor, routes = _predictor_ready(picture), _routed(picture)
    ingress = Condition("IngressReady", TRUE)
    told = [
        predictor,
        ingress,
        conditions.both("Ready", predictor, ingress),
        routes,
        msgspec.structs.replace(routes, type="PredictorRouteReady"),
        _configured(picture),
        _latest(picture),
    ]
    if picture.wish.stopped:
        told.append(Condition("Stopped", TRUE, "Stopped", "it is to have no replicas", "Info"))
    if picture.wish.canaries:
        told.append(_canaries_ready(picture))
    if picture.book.rollout is not None:
        told.append(_rollout_complete(picture, picture.book.rollout))
    if picture.wish.unhonoured:
        message = "; ".join(picture.wish.unhonoured)
        told.append(Condition("FieldsHonoured", FALSE, "NotHonoured", message[:MOST], "Info"))
    return told


def _predictor_ready(picture: Picture) -> Condition:
    name = "PredictorReady"
    if picture.wish.stopped:
        return Condition(name, FALSE, "Stopped", "it is stopped: it is to have no replicas")
    answering = [number for number in picture.book.with_traffic if picture.answers(number)]
    if answering and all(map(picture.asleep, answering)):
        return Condition(name, TRUE, "Asleep", picture.standings[answering[0]].reason[:MOST])
    if answering:
        return Condition(name, TRUE)
    reason, message = picture.failure(STABLE)
    if reason:
        return Condition(name, FALSE, reason, message[:MOST])
    rolledout = picture.standings.get(picture.book.rolledout)
    if rolledout is not None and rolledout.phase is Phase.FAILED:
        return Condition(name, FALSE, "RuntimeUnhealthy", rolledout.reason[:MOST])
    return Condition(name, UNKNOWN, "Deploying", why_unready(picture))


def _routed(picture: Picture) -> Condition:
    if picture.book.shares:
        return Condition("RoutesReady", TRUE)
    return Condition("RoutesReady", UNKNOWN, "NoTraffic", why_unready(picture)[:MOST])


def _configured(picture: Picture) -> Condition:
    name = "PredictorConfigurationReady"
    if STABLE in picture.failures:
        return Condition(name, FALSE, picture.failures[STABLE].kind, picture.failures[STABLE].failure[:MOST])
    if picture.newest.get(STABLE):
        return Condition(name, TRUE)
    return Condition(name, UNKNOWN, "Resolving", "its model is being resolved")


def _latest(picture: Picture) -> Condition:
    name = "LatestDeploymentReady"
    number = picture.newest.get(STABLE, 0)
    reason, message = picture.failure(STABLE)
    if reason:
        return Condition(name, FALSE, reason, message[:MOST])
    if picture.answers(number):
        return Condition(name, TRUE)
    if picture.wish.stopped:
        return Condition(name, UNKNOWN, "Stopped", "it is to have no replicas")
    waits = f"revision {number} is not ready" if number else "its model is being resolved"
    return Condition(name, UNKNOWN, "Deploying", waits)


def _rollout_complete(picture: Picture, rollout: Rollout) -> Condition:
    """Whether the spec is what has the traffic, as far as the last rollout is concerned."""
    name = "RolloutComplete"
    if picture.rejected:
        differs = (
            f"revision {rollout.revision}, which the spec means, was rejected: {rollout.message}; "
            f"revision {rollout.stable} answers until the spec changes or the rollout is retried"
        )
        return Condition(name, FALSE, str(rollout.state), differs[:MOST], "Info")
    if rollout.ended:
        return Condition(name, TRUE, severity="Info")
    told = f"from revision {rollout.stable} to {rollout.revision}: {rollout.message}"
    return Condition(name, UNKNOWN, str(rollout.state), told[:MOST], "Info")


def _canaries_ready(picture: Picture) -> Condition:
    waiting = [track.name for track in picture.wish.canaries if not picture.answers(picture.newest.get(track.name, 0))]
    if not waiting:
        return Condition("CanaryPredictorReady", TRUE, severity="Info")
    failed = [message for name in waiting if (message := picture.failure(name)[1])]
    status, reason = (FALSE, "ModelLoadFailed") if failed else (UNKNOWN, "Deploying")
    message = "; ".join(failed) or f"not ready: {', '.join(waiting)}"
    return Condition("CanaryPredictorReady", status, reason, message[:MOST], "Info")


def _predictor(picture: Picture, url: str) -> Document:
    book = picture.book
    track = book.tracks.get(STABLE)
    names = {
        "latestCreatedRevision": picture.named(track.created if track else 0),
        "latestReadyRevision": picture.named(candidate(book)),
        "latestRolledoutRevision": picture.named(book.rolledout),
        "previousRolledoutRevision": picture.named(book.previous),
    }
    told: Document = {field: name for field, name in names.items() if name}
    traffic = _traffic(picture)
    return (
        told
        | ({"traffic": traffic} if traffic else {})
        | {"url": url, "restUrl": f"{url}/v2/models/{picture.name}", "address": {"url": url}}
    )


def _traffic(picture: Picture) -> list[Document]:
    """KServe's list: the rolled-out revision, what is split off, and the newest also while it is held back with 0."""
    book = picture.book
    latest = candidate(book)
    percents = {share.revision: share.percent for share in book.shares}
    if percents and latest and not picture.wish.canaries:
        percents.setdefault(latest, 0)
    return [
        {"revisionName": picture.named(number), "percent": percent, "latestRevision": number == latest}
        | ({"tag": "latest"} if number == latest else {"tag": "prev"} if number == book.rolledout else {})
        for number, percent in percents.items()
    ]


def _scaling(picture: Picture) -> Document:
    """Replicas of what has the traffic: ``desired``, beside ``replicas``, which are ready; and why so many, and by
    what, where that was decided, of the revision that has most of it."""
    shares = {share.revision: share.percent for share in picture.book.shares if share.percent}
    counted = shares or {n: 100 for n in (picture.newest.get(STABLE, 0),) if n}
    told: Document = {"desired": sum(picture.replicas.get(number, 0) for number in counted)}
    if (main := max(counted, key=lambda number: counted[number], default=0)) in picture.scaled:
        record = picture.scaled[main]
        told |= {name: record[name] for name in _OF_RECORD if name in record}
    return told


def _canaries(picture: Picture, before: Document) -> list[Document]:
    old = {told.get("name"): told for told in before.get("canaryStatuses") or []}
    return [
        {
            "name": track.name,
            "ready": picture.answers(picture.newest.get(track.name, 0)),
            "trafficPercent": track.percent,
            "revisionName": picture.named(picture.newest.get(track.name, 0)),
            "modelStatus": model_status(picture, track.name, part(old.get(track.name, {}), "modelStatus")),
        }
        for track in picture.wish.canaries
    ]


def _resolved(picture: Picture) -> Document:
    """What the model of the service turned out to be; while that is not known, what it was before."""
    track = picture.book.tracks.get(STABLE)
    revision = picture.revisions.get(track.created) if track else None
    if revision is None:
        return {}
    return resolved_document(revision.resolved) | {"revision": picture.named(revision.number)}
