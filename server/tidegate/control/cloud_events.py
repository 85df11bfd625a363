"""An occurrence as a CloudEvent 1.0 in structured JSON (https://github.com/cloudevents/spec). Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tidegate.resources.document import Key
from tidegate.resources.kinds import KINDS
from tidegate.resources.store import Occurrence, Told

MEDIA_TYPE = "application/cloudevents+json"
PREFIX = "dev.tidegate."
"""Of every type: ``rollout.succeeded`` is ``dev.tidegate.rollout.succeeded``."""
_DIGITS = 12


def cloud_event(occurrence: Occurrence) -> dict[str, Any]:
    """``source`` is the path of the resource at the admin port, ``subject`` its name. Source and id are unique."""
    about = occurrence.about
    return {
        "specversion": "1.0",
        "id": occurrence.id,
        "source": source_of(about),
        "type": PREFIX + occurrence.type,
        "subject": about.name,
        "time": time_of(occurrence.time),
        "datacontenttype": "application/json",
        "data": {
            "kind": about.kind.name,
            "namespace": about.namespace,
            "name": about.name,
            "uid": occurrence.uid,
            "severity": occurrence.severity.value,
            "reason": occurrence.reason,
            "message": occurrence.message,
            "details": occurrence.data,
        },
    }


def sequenced(told: Told) -> dict[str, Any]:
    """The same with its position in the log, by the extension ``sequence``, whose text sorts as it came."""
    return cloud_event(told.occurrence) | {"sequence": f"{told.number:0{_DIGITS}d}"}


def source_of(about: Key) -> str:
    """``/apis/tidegate.dev/v1/namespaces/default/modelservices/iris``"""
    kind = next((kind for kind in KINDS if (kind.group, kind.name) == about.kind), None)
    plural = kind.plural if kind else about.kind.name.lower()
    root = f"/apis/{kind.api_version}" if kind else f"/apis/{about.kind.group}"
    return root + (f"/namespaces/{about.namespace}" if about.namespace else "") + f"/{plural}/{about.name}"


def time_of(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
