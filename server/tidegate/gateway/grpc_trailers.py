"""The headers that an answer begins with, and the trailers that it ends with."""

from __future__ import annotations

from math import ceil
from urllib.parse import quote

from tidegate.gateway.grpc_head import ENCODINGS
from tidegate.protocol.errors import MethodNotAllowed, TidegateError, Unsupported, UnsupportedMediaType

Header = tuple[bytes, bytes]

HEADERS: list[Header] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK: list[Header] = [(b"grpc-status", b"0")]

_ACCEPT = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def failure(error: TidegateError) -> list[Header]:
    """The trailers of an error. The message is percent-encoded, as gRPC has it.

    A retryable error that knows when to come back says so in ``grpc-retry-pushback-ms``, which gRPC's retries obey
    (https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback).
    """
    trailers = [
        (b"grpc-status", b"%d" % error.grpc_status),
        (b"grpc-message", quote(error.message, safe=_PLAIN).encode()),
    ]
    if error.retryable and error.retry_after is not None:
        trailers.append((b"grpc-retry-pushback-ms", b"%d" % ceil(error.retry_after * 1000)))
    if isinstance(error, Unsupported):
        trailers.append(_ACCEPT)
    return trailers


def head_of_failure(error: TidegateError) -> list[Header]:
    """The headers of an answer that is an error from its start: what is no gRPC call gets its HTTP status as well."""
    if isinstance(error, (UnsupportedMediaType, MethodNotAllowed)):
        return [(b":status", b"%d" % error.http_status), HEADERS[1]]
    return HEADERS
