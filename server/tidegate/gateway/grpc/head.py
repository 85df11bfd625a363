"""The metadata that begins a call: what it asks for, how long it may take, how its messages are compressed.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Requests"
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.protocol.errors import (
    HeadersTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    Unsupported,
    UnsupportedMediaType,
    shown,
)
from tidegate.protocol.limits import Limits

Headers = Sequence[tuple[bytes, bytes]]

ENCODINGS = ("identity", "deflate", "gzip")
"""What a message may be compressed with; the answer to any other names these."""

_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT_TYPES = (b"application/grpc", b"application/grpc+proto")


class Head(msgspec.Struct, frozen=True):
    """``timeout`` is the caller's, in seconds, None where it set none; ``encoding`` is that of compressed messages."""

    path: bytes
    timeout: float | None
    encoding: str


def read_head(headers: Headers, limits: Limits) -> Head:
    """The head of a call from its HTTP/2 headers.

    Raises:
        HeadersTooLarge, UnsupportedMediaType, MethodNotAllowed, InvalidRequest: it is none of a gRPC call.
        Unsupported: its messages are compressed in a way that we do not read.
    """
    size = sum(len(name) + len(value) + 32 for name, value in headers)  # as RFC 9113, section 6.5.2, counts it
    if size > limits.max_header_bytes:
        raise HeadersTooLarge(f"the metadata has {size} bytes, at most {limits.max_header_bytes} are allowed")
    found = dict(headers)
    path = found.get(b":path")
    if not path:
        raise InvalidRequest("the header ':path' is missing")
    method = found.get(b":method")
    if method != b"POST":
        raise MethodNotAllowed(f"method '{_text(method)}' is not allowed, gRPC calls are sent with POST")
    content_type = found.get(b"content-type", b"").partition(b";")[0].strip()
    if content_type not in _CONTENT_TYPES:
        raise UnsupportedMediaType(f"content-type is '{_text(content_type)}', expected application/grpc")
    timeout = found.get(b"grpc-timeout")
    encoding = _text(found.get(b"grpc-encoding", b"identity"))
    if encoding not in ENCODINGS:
        raise Unsupported(f"grpc-encoding '{encoding}' is not supported, expected one of {', '.join(ENCODINGS)}")
    return Head(path, None if timeout is None else _seconds(timeout), encoding)


def _seconds(timeout: bytes) -> float:
    number, unit = timeout[:-1], _SECONDS.get(timeout[-1:])
    if unit is None or not number.isdigit() or len(number) > 8:
        raise InvalidRequest(
            f"grpc-timeout is '{_text(timeout)}', expected at most eight digits and one of H, M, S, m, u, n"
        )
    return int(number) * unit


def _text(value: bytes | None) -> str:
    return shown((value or b"").decode("latin-1"))
