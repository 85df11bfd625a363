"""A rollout as resources show it: ServingRollout and ServingJob, made anew from what the service remembers. Pure.

They are there to be read. Nothing is read back from them, so that they can be late, lost or deleted without harm.
"""

from __future__ import annotations

import msgspec

from tidegate.control.rollouts.course import Course
from tidegate.control.rollouts.rollout import Rollout, Transition
from tidegate.control.rollouts.state import State
from tidegate.control.rollouts.timing import times_of
from tidegate.resources.document import Document, key_of
from tidegate.resources.revision import SERVICE_LABEL, timestamp

_JOB = {
    State.PAUSED: "Paused",
    State.SUCCEEDED: "Succeeded",
    State.ROLLED_BACK: "Failed",
    State.FAILED: "Failed",
    State.SUPERSEDED: "Cancelled",
}
_DONE = {State.PENDING: 0.0, State.WARMING: 0.05, State.GOLDEN: 0.1, State.SHADOW: 0.15, State.PROMOTING: 0.95}


class Job(msgspec.Struct, frozen=True):
    """A ServingJob, as far as it is not made of what it is about."""

    namespace: str
    name: str
    spec: Document
    status: Document


def name_of_rollout(service: str, number: int) -> str:
    return f"{service}-rollout-{number}"


def record_of(service: Document, rollout: Rollout, course: Course | None) -> Document:
    """The ServingRollout."""
    metadata = service["metadata"]
    spec = {
        "service": {"kind": service["kind"], "name": metadata["name"]},
        "number": rollout.number,
        "revision": rollout.revision,
        "stable": rollout.stable,
        "strategy": rollout.strategy,
    }
    name = name_of_rollout(metadata["name"], rollout.number)
    owner = {"apiVersion": service["apiVersion"], "kind": service["kind"], "controller": True}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ServingRollout",
        "metadata": {
            "name": name,
            "namespace": key_of(service).namespace,
            "labels": {SERVICE_LABEL: metadata["name"]},
            "ownerReferences": [owner | {"name": metadata["name"], "uid": metadata["uid"]}],
        },
        "spec": spec,
        "status": _status(rollout, course),
    }


def job_of(service: Document, rollout: Rollout, course: Course | None) -> Job:
    """The ServingJob."""
    name = name_of_rollout(service["metadata"]["name"], rollout.number)
    spec = {"type": "rollout", "subject": {"kind": "ServingRollout", "name": name}}
    status: Document = {
        "state": _JOB.get(rollout.state, "Running"),
        "progress": progress_of(rollout, course),
        "message": rollout.message,
        "startedAt": timestamp(rollout.began),
    }
    if rollout.ended:
        status["endedAt"] = timestamp(rollout.since)
    return Job(key_of(service).namespace, name, spec, status)


def progress_of(rollout: Rollout, course: Course | None) -> float:
    """How much is done, from 0 to 1: the steps are most of it."""
    if rollout.ended:
        return 1.0
    steps = len(course.weights) if course else 0
    if rollout.at is State.STEP and steps:
        return round(0.2 + 0.75 * rollout.step / steps, 2)
    return _DONE.get(rollout.at, 0.95)


def _status(rollout: Rollout, course: Course | None) -> Document:
    steps = len(course.weights) if course else 0
    times = times_of(rollout, course)
    told: Document = {
        "phase": str(rollout.state),
        "message": rollout.message,
        "weight": rollout.weight,
        "since": timestamp(rollout.since),
        "startedAt": timestamp(rollout.began),
        "verdicts": [msgspec.to_builtins(verdict) for verdict in rollout.verdicts],
        "transitions": [_shown(transition) for transition in rollout.transitions],
    }
    if rollout.at is State.STEP and not rollout.ended:
        told["step"] = rollout.step + 1
    if steps:
        told["steps"] = steps
    if rollout.paused is not None:
        told["pausedPhase"] = str(rollout.paused)
    if rollout.ended:
        told["endedAt"] = timestamp(rollout.since)
        told["weight"] = 100 if rollout.state is State.SUCCEEDED else 0
    named = {"passAfter": times.pass_after, "passBy": times.pass_by, "timeoutAt": times.timeout_at}
    return told | {field: timestamp(at) for field, at in named.items() if at is not None}


def _shown(transition: Transition) -> Document:
    told: Document = {"number": transition.number, "time": timestamp(transition.time)}
    if transition.source is not None:
        told["from"] = str(transition.source)
    told |= {"to": str(transition.target), "message": transition.message}
    return told | ({"step": transition.step} if transition.step else {})
