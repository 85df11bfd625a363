"""Events for people: the same reason about the same resource is one event, and is counted. Pure."""

from __future__ import annotations

import re

from tidegate.protocol.errors import InvalidResource, shown
from tidegate.resources.document import Key
from tidegate.resources.store import Event, Severity

MESSAGE_LENGTH = 1024
"""Characters that are kept of a message, as in Kubernetes."""
_REASON = re.compile(r"[A-Z][A-Za-z0-9]{0,127}")


def told(
    before: Event | None, about: Key, uid: str, severity: Severity, reason: str, message: str, now: float
) -> Event:
    """The event after it was told once more: the latest message counts.

    Raises:
        InvalidResource: the reason is no word.
    """
    if not _REASON.fullmatch(reason):
        raise InvalidResource("reason", f"is '{shown(reason)}', expected a word such as ReplicaLost")
    text = shown(message, MESSAGE_LENGTH)
    if before is None:
        return Event(about, uid, severity, reason, text, 1, now, now)
    return Event(about, uid, severity, reason, text, before.count + 1, before.first, max(before.last, now))
