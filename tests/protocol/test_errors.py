from __future__ import annotations

import pytest

from tidegate.protocol import errors
from tidegate.protocol.errors import (
    GrpcStatus,
    InternalError,
    InvalidRequest,
    InvalidResponse,
    InvalidTensor,
    ModelNotFound,
    ModelNotReady,
    QuotaExceeded,
    ShuttingDown,
    TidegateError,
    VersionNotFound,
    shown,
)

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TidegateError)]


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in TREE if kind is not TidegateError])
def test_the_picture_of_the_tree_tells_the_statuses(kind: type[TidegateError]) -> None:
    """Every error stands in the module's picture, with the HTTP and gRPC status that it really has."""
    assert errors.__doc__ is not None
    lines = [line.split() for line in errors.__doc__.splitlines()]
    (line,) = [line for line in lines if kind.__name__ in line]
    at = line.index(kind.__name__)
    assert line[at + 1 : at + 3] == [str(kind.http_status), kind.grpc_status.name]


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in TREE])
def test_only_what_is_temporary_is_retryable(kind: type[TidegateError]) -> None:
    """UNAVAILABLE is what clients retry, so the two agree; a quota fills again, and memory does not."""
    assert kind.retryable is (kind.grpc_status is GrpcStatus.UNAVAILABLE or kind is QuotaExceeded)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(InvalidTensor("x", "is odd"), "input 'x': is odd", id="tensor"),
        pytest.param(ModelNotFound("m"), "model 'm' is not found", id="model"),
        pytest.param(VersionNotFound("m", "3", "1, 2"), "model 'm' has no version '3'; it has 1, 2", id="version"),
        pytest.param(ModelNotReady("m", "loading"), "model 'm' is not ready: loading", id="not-ready"),
        pytest.param(ShuttingDown(), "the server is shutting down", id="shutting-down"),
        pytest.param(InvalidResponse("no outputs"), "the server's answer is not valid: no outputs", id="response"),
        pytest.param(InternalError(), "internal error; the server's log has the cause", id="internal"),
    ],
)
def test_messages(error: TidegateError, message: str) -> None:
    """An error's message is one sentence, and the text of the exception too."""
    assert error.message == message
    assert str(error) == message


def test_an_invalid_tensor_keeps_its_parts() -> None:
    """The name and the problem can be put in another sentence."""
    error = InvalidTensor("x", "is odd")
    assert (error.tensor, error.problem) == ("x", "is odd")
    assert isinstance(error, InvalidRequest)


def test_retry_after_is_kept() -> None:
    """The seconds to wait travel with the error; None means that nobody knows."""
    assert ModelNotReady("m", "loading", retry_after=2.0).retry_after == 2.0
    assert InvalidRequest("no").retry_after is None


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [
        pytest.param("plain", 64, "plain", id="plain"),
        pytest.param(3.5, 64, "3.5", id="a-number"),
        pytest.param("a\nb\x00c", 64, "a\\nb\\x00c", id="control-characters"),
        pytest.param("\ud800", 64, "\\ud800", id="half-a-surrogate-pair"),
        pytest.param("x" * 64, 64, "x" * 64, id="at-the-limit"),
        pytest.param("x" * 65, 64, "x" * 63 + "…", id="above-the-limit"),
        pytest.param("\n" * 5, 8, "\\n\\n\\n\\…", id="escapes-count"),
    ],
)
def test_shown_is_printable_and_short(value: object, limit: int, expected: str) -> None:
    """What a caller sent stands in a message on one line, printable, and cut to the limit."""
    assert shown(value, limit) == expected
