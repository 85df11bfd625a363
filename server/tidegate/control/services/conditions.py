"""Conditions of a status, as Knative and KServe have them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidegate.resources.document import Document

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that holds of a resource, or does not, or is not known yet."""

    type: str
    status: str
    reason: str = ""
    """One word, for programs."""
    message: str = ""
    """One sentence, for people."""
    severity: str = ""
    """Info for what does not make the resource unready."""


class _Told(msgspec.Struct):
    type: str
    status: str = ""
    lastTransitionTime: str = ""


class _Named(msgspec.Struct):
    name: str = ""


class _Status(msgspec.Struct):
    """What is read back of a status, beside what is looked at as a mapping whatever it is."""

    conditions: list[_Told] | None = None
    canaryStatuses: list[_Named] | None = None


def readable(service: Document) -> Document:
    """The service; without its status where somebody else has written one over it that cannot be read back."""
    try:
        msgspec.convert(service.get("status", {}), _Status)
    except msgspec.ValidationError:
        return {name: value for name, value in service.items() if name != "status"}
    return service


def both(name: str, *parts: Condition) -> Condition:
    """The condition that all of these hold: the first that does not says why."""
    worst = min(parts, key=lambda part: (FALSE, UNKNOWN, TRUE).index(part.status))
    return Condition(name, worst.status, worst.reason, worst.message)


def documents(conditions: Iterable[Condition], before: Iterable[Document], now: str) -> list[Document]:
    """As they stand in a status, by name. ``lastTransitionTime`` is when the status of one changed."""
    since = {told["type"]: told for told in before if isinstance(told, dict) and "type" in told}
    told: list[Document] = []
    for condition in sorted(conditions, key=lambda condition: condition.type):
        was = since.get(condition.type, {})
        at = was.get("lastTransitionTime", now) if was.get("status") == condition.status else now
        document: Document = msgspec.to_builtins(condition)
        told.append(document | {"lastTransitionTime": at})
    return told
