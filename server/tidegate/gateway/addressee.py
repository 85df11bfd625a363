"""What a request says of its addressee beside a model's name and version: a service by Host or path, a revision, a key.

Both listeners make the same of their headers: HTTP's ``Host`` is gRPC's ``:authority``, and metadata are headers.
What is asked is no more than a wish. What answers is the Route that it is resolved to, and nothing after that looks at
a host or a path again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tidegate.identity.identity import Identity
from tidegate.protocol.errors import InvalidRequest

Headers = Sequence[tuple[bytes, bytes]]

REVISION = b"tidegate-revision"
"""The header that asks for one revision by its number."""
REQUEST_ID = b"x-request-id"
"""The header that keeps a request with one revision where its service knows no sticky header."""

_HOSTS = (b"host", b":authority")


class ServiceName(NamedTuple):
    """A service that is named by more than its model's name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Asked(msgspec.Struct, frozen=True, gc=False):
    """``service`` is that of the path's prefix. ``host`` is the first label of the host, in lower case."""

    headers: Headers = ()
    """With names in lower case: which of them keeps a caller with one revision, the service says."""
    service: ServiceName | None = None
    host: str = ""
    revision: str | None = None
    """As it was sent; None for none in particular."""
    request_id: str = ""
    """That of the message, where it is known without decoding what it carries."""
    identity: Identity | None = None
    """Who asks; None where nobody is asked who he is."""
    chance: float = 0.0
    """From 0 to below 1. It decides where nothing else tells callers apart, and is drawn once for each request."""

    def key(self, sticky: bytes) -> bytes:
        """What the caller is told apart by, b"" for nothing; ``sticky`` is the service's header, b"" for none.

        Of a header that is given more than once, the first counts.
        """
        return (sticky and first(self.headers, sticky)) or first(self.headers, REQUEST_ID) or self.request_id.encode()


PLAIN = Asked()
"""A request that says nothing but a model's name and version."""


def first(headers: Headers, wanted: bytes) -> bytes:
    """The value of a header's first occurrence, b"" where there is none."""
    for name, value in headers:
        if name == wanted:
            return value
    return b""


def read_revision(headers: Headers) -> str | None:
    """The revision that headers ask for, as it was sent, None for none.

    Raises:
        InvalidRequest: they ask more than once.
    """
    found = [value for name, value in headers if name == REVISION]
    if len(found) > 1:
        raise InvalidRequest(f"header '{REVISION.decode()}' is given more than once")
    return found[0].decode("latin-1") if found else None


def read_host(headers: Headers) -> str:
    """The first label of the host that headers name, in lower case, "" for none.

    Raises:
        InvalidRequest: they name two.
    """
    found = {value for name, value in headers if name in _HOSTS}
    if len(found) > 1:
        raise InvalidRequest("header 'host' is given more than once")
    if not found:
        return ""
    return found.pop().partition(b".")[0].partition(b":")[0].decode("latin-1").lower()
