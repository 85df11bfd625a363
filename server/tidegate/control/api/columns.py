"""What ``kubectl get`` shows of a resource: columns, each with how its cell is read off the document. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from tidegate.resources.age import age
from tidegate.resources.document import Document
from tidegate.resources.parts import at, part, parts

Cell = str | int | None
Read = Callable[[Document, float], Cell]
"""The cell of a document at a time, in seconds since 1970."""


class Column(msgspec.Struct, frozen=True):
    """A wide one is shown by ``-o wide`` only."""

    name: str
    read: Read
    text: str
    type: str = "string"
    format: str = ""
    wide: bool = False

    def definition(self) -> dict[str, object]:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.text,
            "priority": int(self.wide),
        }


def created(document: Document, now: float) -> Cell:
    """How long ago it was made."""
    return age(at(document, "metadata", "creationTimestamp"), now)


def _at(*path: str) -> Read:
    def read(document: Document, now: float) -> Cell:
        found = at(document, *path)
        return found if isinstance(found, str | int) else None

    return read


def _ready(field: str) -> Read:
    def read(document: Document, now: float) -> Cell:
        for _, condition in parts(document, "status", "conditions"):
            if condition.get("type") == "Ready":
                found = condition.get(field)
                return found if isinstance(found, str) else None
        return None

    return read


def _percent(field: str, value: object) -> Read:
    """The share of the revision that is marked so."""

    def read(document: Document, now: float) -> Cell:
        for _, share in parts(document, "status", "components", "predictor", "traffic"):
            if share.get(field) == value:
                found = share.get("percent")
                return found if isinstance(found, int) else None
        return None

    return read


def _replicas(document: Document, now: float) -> Cell:
    """Those that are ready, of those that are to be."""
    desired = at(document, "status", "scaling", "desired")
    return None if desired is None else f"{at(document, 'status', 'replicas') or 0}/{desired}"


def _digest(document: Document, now: float) -> Cell:
    digest = at(document, "spec", "resolved", "digest")
    return str(digest).removeprefix("sha256:")[:12] if digest else None


def _step(document: Document, now: float) -> Cell:
    step, steps = at(document, "status", "step"), at(document, "status", "steps")
    return f"{step}/{steps}" if step and steps else None


def _subject(document: Document, now: float) -> Cell:
    return f"{str(at(document, 'spec', 'subject', 'kind')).lower()}/{at(document, 'spec', 'subject', 'name')}"


def _progress(document: Document, now: float) -> Cell:
    progress = at(document, "status", "progress")
    return f"{100 * progress:.0f}%" if isinstance(progress, int | float) else None


def _formats(document: Document, now: float) -> Cell:
    return ",".join(str(each.get("name")) for _, each in parts(document, "spec", "supportedModelFormats")) or None


def _containers(document: Document, now: float) -> Cell:
    return ",".join(str(each.get("name")) for _, each in parts(document, "spec", "containers")) or None


def _disabled(document: Document, now: float) -> Cell:
    return str(bool(part(document, "spec").get("disabled"))).lower()


def _phase(document: Document, now: float) -> Cell:
    return "Terminating" if at(document, "metadata", "deletionTimestamp") else "Active"


def _last_seen(document: Document, now: float) -> Cell:
    return age(document.get("lastTimestamp"), now)


def _object(document: Document, now: float) -> Cell:
    about = part(document, "involvedObject")
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _text(field: str) -> Read:
    def read(document: Document, now: float) -> Cell:
        found = document.get(field)
        return found if isinstance(found, str | int) else None

    return read


NAME = Column("Name", _at("metadata", "name"), "Its name, unique in its namespace.", format="name")
AGE = Column("Age", created, "Since when it exists.")
_URL = Column("URL", _at("status", "url"), "Where it is asked.")
_READY = Column("Ready", _ready("status"), "Whether it answers.")
_LATEST_READY = ("status", "components", "predictor", "latestReadyRevision")
_PREVIOUS = ("status", "components", "predictor", "previousRolledoutRevision")
_RUNTIME = (
    NAME,
    Column("Disabled", _disabled, "Whether no model gets it."),
    Column("ModelType", _formats, "Formats that it reads."),
    Column("Containers", _containers, "Its containers."),
    AGE,
)

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "ModelService": (
        NAME,
        _READY,
        Column("Replicas", _replicas, "Those that are ready, of those that are to be."),
        _URL,
        Column("Revision", _at(*_LATEST_READY), "The newest revision that is ready."),
        Column("Latest", _percent("latestRevision", True), "Per cent of the traffic that it gets.", type="integer"),
        AGE,
        Column("Reason", _ready("reason"), "Why it is not ready.", wide=True),
        Column("Scaling", _at("status", "scaling", "reason"), "Why there are so many replicas.", wide=True),
        Column("Previous", _at(*_PREVIOUS), "The revision to go back to.", wide=True),
    ),
    # KServe's own columns, in its order.
    "InferenceService": (
        NAME,
        _URL,
        _READY,
        Column("Prev", _percent("tag", "prev"), "Per cent of the previous revision.", type="integer"),
        Column("Latest", _percent("latestRevision", True), "Per cent of the latest revision.", type="integer"),
        Column("PrevRolledoutRevision", _at(*_PREVIOUS), "The revision to go back to."),
        Column("LatestReadyRevision", _at(*_LATEST_READY), "The newest revision that is ready."),
        AGE,
    ),
    "ServingRevision": (
        NAME,
        Column("Service", _at("spec", "service", "name"), "Whose revision it is."),
        Column("Number", _at("spec", "number"), "Which of its service's.", type="integer"),
        _READY,
        Column("Model", _digest, "The beginning of the digest of the model's content."),
        Column("Version", _at("spec", "resolved", "version"), "The model's version."),
        AGE,
        Column("Track", _at("spec", "track"), "The canary that it is of.", wide=True),
        Column("Runtime", _at("spec", "resolved", "runtime"), "Who reads the model.", wide=True),
    ),
    "ServingRollout": (
        NAME,
        Column("Service", _at("spec", "service", "name"), "Whose rollout it is."),
        Column("Revision", _at("spec", "revision"), "The revision that is to take over.", type="integer"),
        Column("Strategy", _at("spec", "strategy"), "How."),
        Column("Phase", _at("status", "phase"), "How far it is."),
        Column("Step", _step, "Which step, of how many."),
        Column("Weight", _at("status", "weight"), "Per cent of the traffic that it gives.", type="integer"),
        AGE,
        Column("Stable", _at("spec", "stable"), "The revision before.", type="integer", wide=True),
        Column("Message", _at("status", "message"), "Why, in a sentence.", wide=True),
    ),
    "ServingJob": (
        NAME,
        Column("Type", _at("spec", "type"), "What is done."),
        Column("Subject", _subject, "For what."),
        Column("State", _at("status", "state"), "How it stands."),
        Column("Place", _at("status", "place"), "Of what waits: how many go before it, and itself.", type="integer"),
        Column("Progress", _progress, "How much is done, where that is known."),
        AGE,
        Column("Message", _at("status", "message"), "In a sentence.", wide=True),
    ),
    "ServingRuntime": _RUNTIME,
    "ClusterServingRuntime": _RUNTIME,
    "Scale": (
        NAME,
        Column("Desired", _at("spec", "replicas"), "Replicas that are wanted.", type="integer"),
        Column("Available", _at("status", "replicas"), "Replicas that are ready.", type="integer"),
        AGE,
    ),
    "Namespace": (NAME, Column("Status", _phase, "Whether it takes new resources."), AGE),
    "Event": (
        Column("Last Seen", _last_seen, "When it happened last."),
        Column("Type", _text("type"), "Normal or Warning."),
        Column("Reason", _text("reason"), "In one word."),
        Column("Object", _object, "What it is about."),
        Column("Message", _text("message"), "In a sentence."),
        Column("Count", _text("count"), "How often it happened.", type="integer", wide=True),
        Column("Name", _at("metadata", "name"), "Its name.", format="name", wide=True),
    ),
}
