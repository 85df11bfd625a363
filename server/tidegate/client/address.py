"""Where a server is, and by which of the four ways it is asked: ``http://``, ``https://``, ``grpc://``, ``grpcs://``."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from tidegate.protocol.errors import InvalidRequest, shown

_SCHEMES = ("http", "https", "grpc", "grpcs")
_FORMS = "expected http://HOST:PORT, https://HOST, grpc://HOST:PORT or grpcs://HOST:PORT"


class Address(msgspec.Struct, frozen=True):
    """A server's address. ``port`` is None where HTTP's own is meant; ``path`` is what stands before ``/v2``."""

    scheme: str
    host: str
    port: int | None
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = host if self.port is None else f"{host}:{self.port}"
        return place if self.grpc else f"{self.scheme}://{place}{self.path}"

    @property
    def grpc(self) -> bool:
        return self.scheme.startswith("grpc")

    @property
    def secure(self) -> bool:
        return self.scheme in ("https", "grpcs")

    @property
    def loopback(self) -> bool:
        """A proxy of the environment cannot reach this machine's own."""
        return self.host in ("127.0.0.1", "localhost", "::1")


def parse_address(url: str) -> Address:
    """The address in a URL.

    Raises:
        InvalidRequest: it is none of the four forms.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"'{shown(url)}' is not an address: {error}; {_FORMS}") from error
    if scheme not in _SCHEMES or not host or not host.isprintable() or " " in host:
        raise InvalidRequest(f"'{shown(url)}' is not an address; {_FORMS}")
    if parts.query or parts.fragment or parts.username is not None:
        raise InvalidRequest(f"'{shown(url)}' has more than an address; {_FORMS}, and credentials as headers")
    path = parts.path.rstrip("/")
    address = Address(scheme, host, port, path)
    if address.grpc and (port is None or path):
        raise InvalidRequest(f"'{shown(url)}' is not an address; {_FORMS}")
    return address
