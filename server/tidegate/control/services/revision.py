"""A kept revision, as the control plane reads it in a ServingRevision and writes it there. Pure."""

from __future__ import annotations

import msgspec

from tidegate.control.services.wish import Track
from tidegate.resources.actuator import Resolved, RevisionId, Workload
from tidegate.resources.document import Document, key_of, owners_of
from tidegate.resources.parts import annotations_of
from tidegate.resources.revision import (
    CHANGE_CAUSE,
    RESTARTED_AT,
    SERVICE_LABEL,
    UNDO,
    hash_of,
    name_of,
    request_of,
    seconds_of,
    timestamp,
)


class Revision(msgspec.Struct, frozen=True):
    """What a ServingRevision says."""

    number: int
    template: Document
    resolved: Resolved
    hash: str
    request: str
    """What the resolver was asked when it was made."""

    def workload(self, namespace: str, service: str, replicas: int, *, sleeps: bool, known: bool) -> Workload:
        revision = RevisionId(namespace, service, self.number)
        return Workload(revision, self.template, self.resolved, replicas, sleeps=sleeps, known=known)


def read(document: Document) -> Revision:
    """The revision that a stored ServingRevision describes."""
    spec = document["spec"]
    told = dict(spec["resolved"])
    at = told.pop("time", None)
    return Revision(
        number=spec["number"],
        template=spec["template"],
        resolved=Resolved(**{"uri": "", "digest": ""} | told, at=seconds_of(at) if at else 0.0),
        hash=spec["hash"],
        request=request_of(spec["template"], annotations_of(document).get(RESTARTED_AT, "")),
    )


def write(service: Document, track: Track, number: int, resolved: Resolved) -> Document:
    """The ServingRevision of what was resolved for a track of a service."""
    metadata = service["metadata"]
    annotations = {
        name: value
        for name in (RESTARTED_AT, CHANGE_CAUSE)
        if (value := annotations_of(service).get(name)) and not value.startswith(UNDO)
    }
    owner = {"apiVersion": service["apiVersion"], "kind": service["kind"], "controller": True}
    spec = {
        "service": {"kind": service["kind"], "name": metadata["name"]},
        "number": number,
        "track": track.name,
        "generation": metadata["generation"],
        "template": track.template,
        "resolved": resolved_document(resolved),
        "hash": hash_of(track.template, resolved),
    }
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ServingRevision",
        "metadata": {
            "name": name_of(metadata["name"], number),
            "namespace": key_of(service).namespace,
            "labels": {SERVICE_LABEL: metadata["name"]},
            "ownerReferences": [owner | {"name": metadata["name"], "uid": metadata["uid"]}],
        }
        | ({"annotations": annotations} if annotations else {}),
        "spec": spec | ({"source": track.source} if track.source else {}),
    }


def resolved_document(resolved: Resolved) -> Document:
    """What was resolved, as resources show it."""
    told = {
        "uri": resolved.uri,
        "digest": resolved.digest,
        "version": resolved.version,
        "runtime": resolved.runtime,
        "format": resolved.format,
    }
    return {name: value for name, value in told.items() if value} | {"time": timestamp(resolved.at)}


def service_of(name: str) -> tuple[str, int]:
    """The service whose revision has such a name, and the number; the number is 0 where it is not one of ours."""
    service, _, number = name.rpartition("-")
    return service, int(number) if number.isascii() and number.isdecimal() else 0


def is_owned_by(document: Document, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in owners_of(document))
