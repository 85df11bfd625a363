"""What a client is told once: each field with its meaning, its unit and its reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from ssl import SSLContext, create_default_context

import certifi
import msgspec

from tidegate.client.answers import GRACE
from tidegate.client.retry import DEFAULT_RETRIES, RetryPolicy
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits

LONGEST = 1_000_000_000
"""Seconds, about 30 years: as good as for ever, and less than any timer of the system can count."""


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a client asks.

    Raises:
        ValueError: a time is none, a token is no printable ASCII, or TLS is said in two ways.
    """

    binary: bool = True
    """Over HTTP, send tensors and ask for them as bytes (v2's binary tensor extension), which is exact and many times
    cheaper than JSON. False for servers without the extension, MLServer and OpenVINO's among them."""
    timeout: float = 60.0
    """Seconds for one call, its retries included, where the call itself does not say; tidegate's own default."""
    retries: RetryPolicy = DEFAULT_RETRIES
    token: str = ""
    """An API key or a JSON Web Token, sent with every call as ``authorization: Bearer …``; "" for none."""
    headers: Mapping[str, str] = {}
    """HTTP headers, or gRPC metadata, of every call."""
    tenant_header: str = "x-tenant-id"
    """The header that ``tenant`` goes by; the default of tidegate's servers."""
    ca: Path | None = None
    """For https:// and grpcs://: certificate authorities to trust, in PEM; None for those of certifi."""
    certificate: Path | None = None
    """The client's own certificate, in PEM, for servers that ask for one."""
    certificate_key: Path | None = None
    """Its private key, in PEM; None if it lies in the same file."""
    ssl_context: SSLContext | None = None
    """Instead of the three above, whatever else there is to say of TLS."""
    max_connections: int = 100
    """HTTP connections at a time; a call waits for one within its time. gRPC has one connection for all calls."""
    grace: float = GRACE
    """Seconds after the deadline in which the server's own word on it is waited for."""
    limits: Limits = DEFAULT_LIMITS
    """What an answer may hold: it comes from a server that may be broken."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= LONGEST:
            raise ValueError(f"timeout is {self.timeout:g}, expected seconds above 0, at most {LONGEST}")
        if not 0 <= self.grace <= LONGEST:
            raise ValueError(f"grace is {self.grace:g}, expected seconds, at most {LONGEST}")
        if not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ValueError("token has other characters than printable ASCII, expected an API key or a JSON Web Token")
        if self.ssl_context is not None and (self.ca or self.certificate or self.certificate_key):
            raise ValueError("ssl_context is given with ca, certificate or certificate_key, expected one or the other")
        if self.certificate_key is not None and self.certificate is None:
            raise ValueError("certificate_key is given without certificate, expected both")
        if self.max_connections < 1:
            raise ValueError(f"max_connections is {self.max_connections}, expected 1 or more")

    def __repr__(self) -> str:
        """Without the values, of which some are secret."""
        return f"<ClientSettings, {'with' if self.token else 'without'} a token>"

    @property
    def all_headers(self) -> dict[str, str]:
        """Those of every call, the token's among them."""
        return {"authorization": f"Bearer {self.token}", **self.headers} if self.token else dict(self.headers)

    def tls(self) -> SSLContext | None:
        """What ``ssl_context`` says, or is to say by the files; None for the usual.

        Raises:
            InvalidRequest: a file cannot be read, or is not what it is to be.
        """
        if self.ca is None and self.certificate is None:
            return self.ssl_context
        try:
            context = create_default_context(cafile=self.ca or certifi.where())
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.certificate_key)
        except OSError as error:  # SSLError is one
            files = ", ".join(str(file) for file in (self.ca, self.certificate, self.certificate_key) if file)
            raise InvalidRequest(f"TLS files {files} cannot be used: {error}") from error
        return context


DEFAULT_SETTINGS = ClientSettings()
