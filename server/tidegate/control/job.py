"""A job as the control plane writes it in a ServingJob, and which of those that have ended are kept. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

from tidegate.resources.document import NAME_LENGTH, Document, GroupKind, Key, key_of
from tidegate.resources.kinds import KSERVE, OURS
from tidegate.resources.parts import at
from tidegate.resources.revision import seconds_of

JOB = GroupKind(OURS, "ServingJob")
_DIGITS = 8
"""Of the request, in a download's name."""


class State(StrEnum):
    """``status.state``."""

    WAITING = "Waiting"
    RUNNING = "Running"
    PAUSED = "Paused"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


def has_ended(status: Mapping[str, object]) -> bool:
    """Whether the status is that of a job that nobody works at any more."""
    return status.get("state") in [state for state in State if state.ended]


def download_name(service: str, request: str) -> str:
    """``download-SERVICE-<8 hex>``, of a request that is a ``sha256:…``. A service's name that is too long is cut."""
    tail = f"-{request.rpartition(':')[2][:_DIGITS]}"
    whole = f"download-{service}{tail}"
    if len(whole) <= NAME_LENGTH:
        return whole
    told = hashlib.sha256(service.encode()).hexdigest()[:_DIGITS]
    return f"{whole[: NAME_LENGTH - len(tail) - _DIGITS - 1].rstrip('-.')}-{told}{tail}"


def subject_key(namespace: str, spec: Document) -> Key:
    """The address of what a job is about."""
    kind = spec["subject"]["kind"]
    return Key(GroupKind(KSERVE if kind == "InferenceService" else OURS, kind), namespace, spec["subject"]["name"])


def job(namespace: str, name: str, spec: Document, subject: Document) -> Document:
    """The ServingJob of that spec, without its status. It goes with its subject, and is found by the label of the
    service where that is its subject."""
    metadata = subject["metadata"]
    owner = {"apiVersion": subject["apiVersion"], "kind": subject["kind"], "controller": True}
    labels = {"tidegate.dev/service": at(subject, "spec", "service", "name") or metadata["name"]}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ServingJob",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [owner | {"name": metadata["name"], "uid": metadata["uid"]}],
        },
        "spec": spec,
    }


def says_nothing_new(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether what has failed has failed again for the same reason. What is tried for ever is not written for ever."""
    told = [[status.get(field) for field in ("state", "message")] for status in (before, after)]
    return told[0] == told[1] and after.get("state") == State.FAILED


def spoilt(jobs: Iterable[Document], now: float, most: int, longest: float) -> list[Key]:
    """Which of the jobs have been kept long enough: those that ended more than ``longest`` seconds ago, and of each
    namespace all but the ``most`` that ended last."""
    ended: defaultdict[str, list[tuple[float, Key]]] = defaultdict(list)
    for each in jobs:
        if has_ended(each.get("status") or {}):
            key = key_of(each)
            ended[key.namespace].append((ended_at(each), key))
    found = []
    for entries in ended.values():
        entries.sort(reverse=True)
        found += [key for place, (time, key) in enumerate(entries) if place >= most or now - time > longest]
    return found


def ended_at(document: Document) -> float:
    """When a job ended, in seconds since 1970; 0 where it does not say."""
    told = at(document, "status", "endedAt")
    try:
        return seconds_of(told) if isinstance(told, str) else 0.0
    except ValueError:
        return 0.0
