"""What a client is told once: each field with its meaning, its unit and its reason."""

from __future__ import annotations

from collections.abc import Mapping
from ssl import SSLContext

import msgspec

from tidegate.client.answers import GRACE
from tidegate.client.retry import DEFAULT_RETRIES, RetryPolicy
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits

LONGEST = 1_000_000_000
"""Seconds, about 30 years: as good as for ever, and less than any timer of the system can count."""


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a client asks.

    Raises:
        ValueError: a time is none.
    """

    binary: bool = True
    """Over HTTP, send tensors and ask for them as bytes (v2's binary tensor extension), which is exact and many times
    cheaper than JSON. False for servers without the extension, MLServer and OpenVINO's among them."""
    timeout: float = 60.0
    """Seconds for one call, its retries included, where the call itself does not say; tidegate's own default."""
    retries: RetryPolicy = DEFAULT_RETRIES
    headers: Mapping[str, str] = {}
    """HTTP headers, or gRPC metadata, of every call: {"authorization": "Bearer …"}."""
    tenant_header: str = "x-tenant-id"
    """The header that ``tenant`` goes by; the default of tidegate's servers."""
    ssl_context: SSLContext | None = None
    """For https:// and grpcs://; None trusts the certificate authorities of certifi."""
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
        if self.max_connections < 1:
            raise ValueError(f"max_connections is {self.max_connections}, expected 1 or more")


DEFAULT_SETTINGS = ClientSettings()
