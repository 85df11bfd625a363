"""From a server's status to the error that it stands for: the way back of protocol/errors.py.

Several errors share a status, so the caller gets the widest of them, with the server's own words. RESOURCE_EXHAUSTED is
the exception: as for OpenTelemetry's exporters, it can be tried again only where the server says when.
"""

from __future__ import annotations

from math import isfinite

from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    Forbidden,
    GrpcStatus,
    HeadersTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ModelLoadFailed,
    NotFound,
    OutOfMemory,
    PayloadTooLarge,
    QuotaExceeded,
    RequestCancelled,
    RequestTimeout,
    ResourceExpired,
    SequenceLost,
    TidegateError,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    Unsupported,
    UnsupportedMediaType,
)

GRACE = 1.0
"""Seconds that a server has beyond the deadline that it was told, so that its own word on it arrives."""

_HTTP: dict[int, type[TidegateError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    408: RequestTimeout,
    409: SequenceLost,
    410: ResourceExpired,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    422: Unprocessable,
    429: QuotaExceeded,
    431: HeadersTooLarge,
    499: RequestCancelled,
    500: ExecutionFailed,
    501: Unsupported,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
    507: OutOfMemory,
}

_GRPC: dict[int, type[TidegateError]] = {
    GrpcStatus.CANCELLED: RequestCancelled,
    GrpcStatus.INVALID_ARGUMENT: InvalidRequest,
    GrpcStatus.DEADLINE_EXCEEDED: DeadlineExceeded,
    GrpcStatus.NOT_FOUND: NotFound,
    GrpcStatus.RESOURCE_EXHAUSTED: OutOfMemory,
    GrpcStatus.FAILED_PRECONDITION: ModelLoadFailed,
    GrpcStatus.PERMISSION_DENIED: Forbidden,
    GrpcStatus.UNAUTHENTICATED: Unauthenticated,
    GrpcStatus.ABORTED: SequenceLost,
    GrpcStatus.OUT_OF_RANGE: InvalidRequest,
    GrpcStatus.UNIMPLEMENTED: Unsupported,
    GrpcStatus.INTERNAL: ExecutionFailed,
    GrpcStatus.UNAVAILABLE: Unavailable,
}


class ServerUnreachable(Unavailable):
    """The request did not arrive: nothing listens there, or the connection was not taken in time."""


class ConnectionLost(ServerUnreachable):
    """The connection broke before the answer was whole: the request may have been executed, or not."""


def from_http(status: int, message: str, retry_after: float | None = None) -> TidegateError:
    """The error of an HTTP status; ``retry_after`` in seconds. A status that v2 does not use goes by its hundred."""
    kind = _HTTP.get(status) or (InvalidRequest if 400 <= status < 500 else InternalError)
    error = kind(message)
    error.retry_after = retry_after
    return error


def from_grpc(status: int, message: str, retry_after: float | None = None) -> TidegateError:
    """The error of a gRPC status code; ``retry_after`` in seconds, infinite where the server forbids another try."""
    kind = _GRPC.get(status, InternalError)
    if kind is OutOfMemory and retry_after is not None and isfinite(retry_after):
        kind = QuotaExceeded
    error = kind(message)
    error.retry_after = retry_after
    return error
