"""What a request says of its addressee beside a model's name and version: a service by Host or path, a revision, a key.

Both listeners make the same of their headers: HTTP's ``Host`` is gRPC's ``:authority``, and metadata are headers.
What is asked is no more than a wish. What answers is the Route that it is resolved to, and nothing after that looks at
a host or a path again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from tidegate.identity.identity import Identity

Headers = Sequence[tuple[bytes, bytes]]

REVISION = b"tidegate-revision"
"""The header that asks for one revision by its number."""
REQUEST_ID = b"x-request-id"
"""The header that keeps a request with one revision where its service knows no sticky header."""

HOST = b"host"
AUTHORITY = b":authority"
_READ = frozenset((REVISION, HOST, AUTHORITY))
LONGEST_HOST = 260
"""Bytes of a DNS name and a port: what is longer is nobody's, and not remembered."""


class ServiceName(NamedTuple):
    """A service that is named by more than its model's name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Of a header that is given more than once, the first counts."""

    headers: Headers = ()
    """With names in lower case: which of them keeps a caller with one revision, the service says."""
    service: ServiceName | None = None
    """That of the path."""
    host: str = ""
    """The first label of the host, in lower case."""
    revision: str | None = None
    """As it was sent; None for none in particular."""
    request_id: str = ""
    """That of the message, where it is known without decoding what it carries."""
    chance: float = 0.0
    """From 0 to below 1. It decides where nothing tells callers apart, and is drawn once for each request."""
    identity: Identity | None = None
    """Who asks; None where callers are not asked for that."""

    def key(self, sticky: bytes) -> bytes:
        """What the caller is told apart by, b"" for nothing; ``sticky`` is the service's header, b"" for none."""
        return first(self.headers, sticky) or first(self.headers, REQUEST_ID) or self.request_id.encode()


PLAIN = Asked()
"""A request that says nothing but a model's name and version."""


def first(headers: Headers, wanted: bytes) -> bytes | None:
    """The value of a header's first occurrence, None where there is none."""
    for name, value in headers:  # faster than any(), dict() or filter(), and on the way of every request
        if name == wanted:
            return value
    return None


def read_asked(
    headers: Headers,
    service: ServiceName | None,
    request_id: str,
    chance: float,
    identity: Identity | None = None,
) -> Asked:
    """What a request with these headers says."""
    host = authority = revision = None
    for name, value in headers:  # once over all of them: this is on the way of every request
        if name in _READ:
            if name == HOST:
                host = value if host is None else host
            elif name == REVISION:
                revision = value if revision is None else revision
            else:
                authority = value if authority is None else authority
    named = authority or host or b""
    return Asked(
        headers,
        service,
        _first_label(named) if len(named) > LONGEST_HOST else _known_label(named),
        None if revision is None else revision.decode("latin-1"),
        request_id,
        chance,
        identity,
    )


def _first_label(host: bytes) -> str:
    return host.partition(b":")[0].partition(b".")[0].decode("latin-1").lower()


_known_label = lru_cache(maxsize=1024)(_first_label)
"""Most requests come by a few hosts. It is bounded, also in what one of them may hold."""
