"""From a status back to an error."""

from __future__ import annotations

from math import inf

import pytest

from tidegate.client.answers import from_grpc, from_http
from tidegate.protocol.errors import (
    GrpcStatus,
    InternalError,
    InvalidRequest,
    InvalidResponse,
    OutOfMemory,
    QuotaExceeded,
    TidegateError,
)


def every_error() -> list[type[TidegateError]]:
    """The whole tree below the root, but for InvalidResponse: that one is ours to raise, and no server sends it."""
    found: list[type[TidegateError]] = []
    waiting = list(TidegateError.__subclasses__())
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [k for k in found if k.__module__ == InvalidResponse.__module__ and k is not InvalidResponse]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_one_of_the_same_status(kind: type[TidegateError]) -> None:
    """A caller who catches by status, or asks whether a retry helps, sees what the server meant."""
    error = from_http(kind.http_status, "the reason", 2.0)
    assert (error.http_status, error.message, error.retry_after) == (kind.http_status, "the reason", 2.0)
    assert error.retryable == kind.retryable or kind.http_status == 503
    assert from_grpc(kind.grpc_status, "the reason").message == "the reason"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        pytest.param(418, InvalidRequest, id="a-client's-fault"),
        pytest.param(505, InternalError, id="a-server's-fault"),
        pytest.param(302, InternalError, id="a-redirect"),
    ],
)
def test_a_status_that_v2_does_not_use_goes_by_its_hundred(status: int, kind: type[TidegateError]) -> None:
    """As HTTP itself asks of clients."""
    assert type(from_http(status, "m")) is kind


def test_memory_is_told_from_a_quota() -> None:
    """Over gRPC both may be RESOURCE_EXHAUSTED: what can be tried again says when."""
    assert type(from_grpc(GrpcStatus.RESOURCE_EXHAUSTED, "m")) is OutOfMemory
    assert type(from_grpc(GrpcStatus.RESOURCE_EXHAUSTED, "m", inf)) is OutOfMemory
    busy = from_grpc(GrpcStatus.RESOURCE_EXHAUSTED, "m", 2.0)
    assert (type(busy), busy.retry_after) == (QuotaExceeded, 2.0)


def test_an_unknown_grpc_status_is_an_internal_error() -> None:
    """DATA_LOSS is not used by v2."""
    assert type(from_grpc(GrpcStatus.DATA_LOSS, "m")) is InternalError
