"""Status (v1): the body of every answer that is no resource, as Kubernetes' clients read it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tidegate.protocol.errors import (
    DeadlineExceeded,
    FieldConflict,
    Forbidden,
    InvalidRequest,
    InvalidResource,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RequestCancelled,
    RequestTimeout,
    ResourceConflict,
    ResourceExists,
    ResourceExpired,
    ResourceInUse,
    TidegateError,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)
from tidegate.resources.document import Document
from tidegate.resources.faults import Fault, InvalidManifest

REASONS: tuple[tuple[type[TidegateError], str], ...] = (
    (Unprocessable, "Invalid"),
    (PayloadTooLarge, "RequestEntityTooLarge"),
    (UnsupportedMediaType, "UnsupportedMediaType"),
    (RequestTimeout, "Timeout"),
    (InvalidRequest, "BadRequest"),
    (Unauthenticated, "Unauthorized"),
    (Forbidden, "Forbidden"),
    (NotFound, "NotFound"),
    (MethodNotAllowed, "MethodNotAllowed"),
    (ResourceExists, "AlreadyExists"),
    (ResourceConflict, "Conflict"),
    (FieldConflict, "Conflict"),
    (ResourceInUse, "Conflict"),
    (ResourceExpired, "Expired"),
    (DeadlineExceeded, "Timeout"),
    (Overloaded, "ServiceUnavailable"),
    (Unavailable, "ServiceUnavailable"),
    (RequestCancelled, "Cancelled"),
)
"""Kubernetes' word for an error: the first row that it belongs to. For the last one it has none, and nobody reads it
but in the audit log."""
INTERNAL = "InternalError"


def reason_of(error: TidegateError) -> str:
    """The word by which clients tell errors of one HTTP status apart."""
    return next((reason for kind, reason in REASONS if isinstance(error, kind)), INTERNAL)


def failure(error: TidegateError, details: Document | None = None) -> Document:
    """The Status of an error. ``details`` says which resource it is about, as far as that is known."""
    told = dict(details or {})
    if causes := causes_of(error):
        told["causes"] = causes
    if error.retry_after is not None:
        told["retryAfterSeconds"] = ceil(error.retry_after)
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": reason_of(error),
        **({"details": told} if told else {}),
        "code": error.http_status,
    }


def success(details: Document) -> Document:
    """The Status of a deletion that is done."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def causes_of(error: TidegateError) -> list[Document]:
    """Everything that is wrong, each with its field; kubectl prints ``FIELD: MESSAGE``."""
    if isinstance(error, InvalidManifest):
        return _faults(error.faults)
    if isinstance(error, InvalidResource):
        return [{"reason": "FieldValueInvalid", "message": error.problem, "field": error.field}]
    if isinstance(error, FieldConflict):
        return [
            {"reason": "FieldManagerConflict", "message": f"conflict with '{owner}'", "field": field}
            for field, owner in error.conflicts
        ]
    return []


def _faults(faults: Sequence[Fault]) -> list[Document]:
    missing, unknown = "FieldValueRequired", "FieldValueInvalid"
    return [
        {
            "reason": missing if fault.problem == "is missing" else unknown,
            "message": fault.message.removeprefix(fault.place).strip(),
            "field": fault.place or "<document>",
        }
        for fault in faults
    ]
