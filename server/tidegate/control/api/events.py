"""What people are told, as Events (v1) of Kubernetes: for ``kubectl describe`` and ``kubectl get events``. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeAlias

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.resources.document import DEFAULT_NAMESPACE, Document, GroupKind, Key
from tidegate.resources.parts import at
from tidegate.resources.store import Event

Requirement: TypeAlias = tuple[str, str, bool]
"""A field, a value, and whether it is the value that is wanted, or any other."""
MOST = 500
"""Events in one list, the latest."""
FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "reason",
    "type",
)
"""What ``fieldSelector`` may ask for."""


def event_document(event: Event, api_version: str) -> Document:
    """An Event; ``api_version`` is that of the resource that it is about. Its name says which it is, and stays."""
    namespace = event.about.namespace or DEFAULT_NAMESPACE
    told = "\0".join((*event.about.kind, *event.about[1:], event.uid, event.severity, event.reason))
    name = f"{event.about.name[:200]}.{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    first, last = _time(event.first), _time(event.last)
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": first},
        "involvedObject": {
            "kind": event.about.kind.name,
            "apiVersion": api_version,
            "namespace": namespace,
            "name": event.about.name,
            "uid": event.uid,
        },
        "reason": event.reason,
        "message": event.message,
        "source": {"component": "tidegate"},
        "firstTimestamp": first,
        "lastTimestamp": last,
        "count": event.count,
        "type": event.severity.value,
        "eventTime": None,
        "reportingComponent": "tidegate",
        "reportingInstance": "",
    }


def api_version_of(kind: GroupKind, known: Iterable[tuple[GroupKind, str]]) -> str:
    """The version that a kind is served in; its group where it is not."""
    return next((version for each, version in known if each == kind), kind.group)


def parse_fields(text: str) -> list[Requirement]:
    """The requirements of a ``fieldSelector``.

    Raises:
        InvalidRequest: it is none, or of fields that cannot be asked for.
    """
    found = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        field, sign, value = part.partition("!=")
        wanted = not sign
        if wanted:
            field, sign, value = part.partition("=")
        if not sign or field.strip() not in FIELDS:
            raise InvalidRequest(
                f"the field selector '{shown(text, 128)}' is not understood at '{shown(part)}', expected = or != on "
                f"one of {', '.join(FIELDS)}"
            )
        found.append((field.strip(), value.lstrip("=").strip(), wanted))
    return found


def about_of(requirements: Iterable[Requirement], kinds: Iterable[GroupKind]) -> Key | None:
    """The one resource that is asked for; None where it may be any of several."""
    told = {field: value for field, value, wanted in requirements if wanted}
    name, namespace = told.get("involvedObject.name"), told.get("involvedObject.namespace")
    kind = next((each for each in kinds if each.name == told.get("involvedObject.kind")), None)
    return Key(kind, namespace or "", name) if kind and name and namespace is not None else None


def selects(requirements: Iterable[Requirement], document: Document) -> bool:
    """Whether an Event is what is asked for."""
    return all(((at(document, *field.split(".")) or "") == value) is wanted for field, value, wanted in requirements)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
