"""From a Status of the resource API to the error that it stands for.

Unlike v2's answers (``answers``), a Status names its reason, so that one HTTP status has several errors. The sentence
is always the server's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tidegate.client.answers import from_http
from tidegate.client.http_calls import HttpAnswer
from tidegate.protocol.errors import (
    FieldConflict,
    ResourceConflict,
    ResourceExists,
    ResourceExpired,
    ResourceNotFound,
    TidegateError,
    Unprocessable,
    shown,
)

FIELD_CONFLICT = "FieldManagerConflict"
"""The reason of a cause that another manager owns a field."""


class Cause(msgspec.Struct, frozen=True):
    """One of the things that are wrong. ``field`` is its path, '' where it is about the whole document."""

    message: str = ""
    field: str = ""
    reason: str = ""


class Rejected(Unprocessable):
    """A document that the server does not take; ``causes`` has all that is wrong with it."""

    causes: tuple[Cause, ...] = ()


_KINDS: Mapping[str, type[TidegateError]] = {
    "NotFound": ResourceNotFound,
    "AlreadyExists": ResourceExists,
    "Conflict": ResourceConflict,
    "Expired": ResourceExpired,
    "Gone": ResourceExpired,
    "Invalid": Rejected,
}
_STATUSES: Mapping[int, type[TidegateError]] = {409: ResourceConflict, 422: Rejected}
"""For those without a reason."""


def failure(answer: HttpAnswer) -> TidegateError:
    """The error that an answer stands for; a body that is no Status (a proxy's page) is shown by its HTTP status."""
    wait = answer.headers.get("retry-after", "")
    after = float(wait) if wait.isdecimal() else None
    try:
        document = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict) or document.get("kind") != "Status":
        return from_http(answer.status, f"the server answered {answer.status} {answer.reason}", after)
    return from_status(document, answer.status, after)


def from_status(document: Mapping[str, Any], status: int = 500, retry_after: float | None = None) -> TidegateError:
    """The error that a Status stands for; ``status`` counts where it has no code of its own."""
    code = document.get("code") if isinstance(document.get("code"), int) else status
    reason = document.get("reason") or ""
    message = shown(document.get("message") or reason or f"the server answered {code}", 100_000)
    causes = _causes(document.get("details"))
    kind = _KINDS.get(reason) or _STATUSES.get(int(code or status))
    if kind is None:
        return from_http(int(code or status), message, retry_after)
    if kind is Rejected:
        rejected = Rejected.told(message)
        rejected.causes = causes
        return rejected
    if kind is ResourceConflict and any(cause.reason == FIELD_CONFLICT for cause in causes):
        conflict = FieldConflict.told(message)
        conflict.conflicts = tuple((each.field, each.message) for each in causes if each.reason == FIELD_CONFLICT)
        return conflict
    return kind.told(message, retry_after=retry_after)


def _causes(details: object) -> tuple[Cause, ...]:
    try:
        return msgspec.convert(details["causes"], tuple[Cause, ...])  # type: ignore[index]
    except (KeyError, TypeError, msgspec.ValidationError):  # they explain; the sentence stands without them
        return ()
