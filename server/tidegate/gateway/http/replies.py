"""HTTP replies as values, and the one form that every error has: ``{"error": "…"}`` with ``application/json``."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil

import msgspec

from tidegate.protocol.documents import encode_error
from tidegate.protocol.errors import TidegateError, Unauthenticated

Headers = tuple[tuple[bytes, bytes], ...]

JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")


class Reply(msgspec.Struct, frozen=True):
    """A complete response. ``headers`` lack content-length, which the body tells."""

    status: int
    headers: Headers
    body: bytes

    def all_headers(self, close: bool) -> list[tuple[bytes, bytes]]:
        length = (b"content-length", b"%d" % len(self.body))
        return [*self.headers, length, CLOSE] if close else [*self.headers, length]


def json_reply(body: bytes, status: int = 200, *more: tuple[bytes, bytes]) -> Reply:
    return Reply(status, (JSON, *more), body)


def error_reply(error: TidegateError, *more: tuple[bytes, bytes]) -> Reply:
    """An error in v2's form, with Retry-After (whole seconds, rounded up) where a retry can help.

    Who is not recognised is told how to be (RFC 9110, section 11.6.1).
    """
    if isinstance(error, Unauthenticated):
        more = (*more, (b"www-authenticate", b"Bearer"))
    if error.retry_after is not None:
        more = (*more, (b"retry-after", b"%d" % ceil(error.retry_after)))
    return json_reply(encode_error(error), error.http_status, *more)


def raw_error(error: TidegateError) -> bytes:
    """An error as it goes over a connection on which no request could be read; the connection ends with it."""
    reply = error_reply(error)
    head = [b"HTTP/1.1 %d %s" % (reply.status, HTTPStatus(reply.status).phrase.encode())]
    head += [name + b": " + value for name, value in reply.all_headers(close=True)]
    return b"\r\n".join((*head, b"", reply.body))
