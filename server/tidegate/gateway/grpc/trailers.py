"""The headers that an answer begins with, and the trailers that it ends with."""

from __future__ import annotations

from math import ceil
from urllib.parse import quote

from hpack import NeverIndexedHeaderTuple

from tidegate.gateway.grpc.head import ENCODINGS
from tidegate.protocol.errors import MethodNotAllowed, TidegateError, Unsupported, UnsupportedMediaType

Header = tuple[bytes, bytes]

HEADERS: list[Header] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK: list[Header] = [(b"grpc-status", b"0")]

_ACCEPT = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_MESSAGE = 2048
"""Bytes of an error's message that are sent: percent-encoded at most three times as many, and gRPC's clients drop
trailers of more than 8 KiB, with the status in them."""


def failure(error: TidegateError) -> list[Header]:
    """The trailers of an error. The message is percent-encoded, as gRPC has it.

    A retryable error that knows when to come back says so in ``grpc-retry-pushback-ms``, which gRPC's retries obey
    (https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback).
    """
    trailers: list[Header] = [
        (b"grpc-status", b"%d" % error.grpc_status),
        # Each is another: kept for reference, they would push out what is the same in every answer, and fill a table
        # whose size the client sets.
        NeverIndexedHeaderTuple(b"grpc-message", _encoded(error.message)),
    ]
    if error.retryable and error.retry_after is not None:
        trailers.append((b"grpc-retry-pushback-ms", b"%d" % ceil(error.retry_after * 1000)))
    if isinstance(error, Unsupported):
        trailers.append(_ACCEPT)
    return trailers


def _encoded(message: str) -> bytes:
    whole = message.encode("utf-8", "backslashreplace")
    text = whole if len(whole) <= _MESSAGE else whole[:_MESSAGE].decode(errors="ignore") + "…"
    return quote(text, safe=_PLAIN).encode()


def head_of_failure(error: TidegateError) -> list[Header]:
    """The headers of an answer that is an error from its start: what is no gRPC call gets its HTTP status as well."""
    if isinstance(error, (UnsupportedMediaType, MethodNotAllowed)):
        return [(b":status", b"%d" % error.http_status), HEADERS[1]]
    return HEADERS
