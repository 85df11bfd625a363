"""From a Status of the resource API to an error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.client import Cause, Rejected
from tidegate.client.http_calls import HttpAnswer
from tidegate.client.status import failure, from_status
from tidegate.protocol.errors import (
    DeadlineExceeded,
    FieldConflict,
    Forbidden,
    InternalError,
    InvalidRequest,
    NotFound,
    ResourceConflict,
    ResourceExists,
    ResourceExpired,
    ResourceNotFound,
    TidegateError,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)


def status(code: int, reason: str = "", **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": reason, "message": "the sentence", "details": details}


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        pytest.param(409, "AlreadyExists", ResourceExists, id="exists"),
        pytest.param(409, "Conflict", ResourceConflict, id="conflict"),
        pytest.param(409, "", ResourceConflict, id="conflict-without-reason"),
        pytest.param(404, "NotFound", ResourceNotFound, id="not-found"),
        pytest.param(404, "", NotFound, id="no-path"),
        pytest.param(410, "Expired", ResourceExpired, id="expired"),
        pytest.param(410, "Gone", ResourceExpired, id="gone"),
        pytest.param(422, "Invalid", Rejected, id="invalid"),
        pytest.param(401, "Unauthorized", Unauthenticated, id="unauthorized"),
        pytest.param(403, "Forbidden", Forbidden, id="forbidden"),
        pytest.param(400, "BadRequest", InvalidRequest, id="bad-request"),
        pytest.param(415, "UnsupportedMediaType", UnsupportedMediaType, id="media-type"),
        pytest.param(503, "ServiceUnavailable", Unavailable, id="unavailable"),
        pytest.param(504, "Timeout", DeadlineExceeded, id="timeout"),
    ],
)
def test_a_reason_becomes_its_error(code: int, reason: str, kind: type[TidegateError]) -> None:
    """With the server's sentence and status."""
    error = from_status(status(code, reason))
    assert (type(error), error.message, error.http_status) == (kind, "the sentence", code)


def test_a_rejection_has_all_causes() -> None:
    """Each with its field, so that a program need not read the sentence."""
    causes = [{"field": "spec.a", "message": "spec.a is 1", "reason": "FieldValueInvalid"}, {"message": "and more"}]
    error = from_status(status(422, "Invalid", causes=causes))
    assert isinstance(error, Rejected)
    assert error.causes == (Cause("spec.a is 1", "spec.a", "FieldValueInvalid"), Cause("and more"))


def test_a_conflict_of_fields_names_their_owners() -> None:
    """It has the reason of any conflict, and is told by its causes."""
    causes = [{"field": ".spec.replicas", "message": "conflict with 'kubectl'", "reason": "FieldManagerConflict"}]
    error = from_status(status(409, "Conflict", causes=causes))
    assert isinstance(error, FieldConflict)
    assert error.conflicts == ((".spec.replicas", "conflict with 'kubectl'"),)


@pytest.mark.parametrize(
    "details", [None, [], {"causes": 1}, {"causes": [1]}, {"causes": [{"field": 1}]}], ids=lambda details: str(details)
)
def test_details_that_are_none_are_passed_over(details: Any) -> None:
    """The sentence stands without them."""
    error = from_status({**status(422, "Invalid"), "details": details})
    assert isinstance(error, Rejected)
    assert error.causes == ()


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"kind": "Pod"}', b"\xff"], ids=["html", "list", "other", "bytes"]
)
def test_an_answer_that_is_no_status_is_shown_by_its_own(body: bytes) -> None:
    """As of a proxy on the way."""
    error = failure(HttpAnswer(502, "Bad Gateway", {}, body))
    assert (type(error), error.message) == (Unavailable, "the server answered 502 Bad Gateway")


def test_when_to_come_back_is_kept() -> None:
    """Of the header, in seconds."""
    body = msgspec.json.encode(status(503, "ServiceUnavailable"))
    assert failure(HttpAnswer(503, "", {"retry-after": "3"}, body)).retry_after == 3.0


def test_a_message_is_of_one_line() -> None:
    """A server cannot write on the terminal of who reads it."""
    assert from_status({"message": "a\x1b[2Jb", "code": 500}).message == r"a\x1b[2Jb"


def test_an_unknown_status_goes_by_its_hundred() -> None:
    """Also one that is no number."""
    assert type(from_status({"message": "m", "code": "many"}, 599)) is InternalError
