"""Who asks, as far as the order of the queue is concerned: from a request's priority and tenant to a Caller. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isfinite

import msgspec

from tidegate.batching.checks import check_whole
from tidegate.batching.item import Caller
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.parameters import PRIORITY
from tidegate.protocol.tensors import Parameter

# A header's name over HTTP and a metadata key over gRPC alike, so without ":" and most of HTTP's other signs.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_TAKEN = frozenset(
    (
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "inference-header-content-length", "te", "tidegate-revision", "trailer", "transfer-encoding", "upgrade",
        "x-request-timeout-ms",
    )
)  # fmt: skip


class CallerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How callers are told apart.

    Raises:
        ValueError: the default is none of the levels, no header can have this name, or a weight is not above 0.
    """

    priority_levels: int = 9
    """Priority classes. 1 is served first, this one last; 1 makes all requests equal."""
    default_priority: int = 5
    """The class of a request that names none, or 0. The middle, so that there is room to be less urgent, too."""
    tenant_header: str = "x-tenant-id"
    """HTTP header or gRPC metadata key that names the tenant, in any case; "" for no tenants. It is believed, so
    whatever authenticates callers must set it."""
    tenant_weights: Mapping[str, float] = {}
    """Share of a tenant relative to the others while they compete, in rows; 1 for every tenant that is not listed."""

    def __post_init__(self) -> None:
        check_whole(self, 1, "priority_levels")
        if not 1 <= self.default_priority <= self.priority_levels:
            raise ValueError(f"default_priority is {self.default_priority}, expected 1 to {self.priority_levels}")
        if self.tenant_header:
            _check_header(self.tenant_header)
        for tenant, weight in self.tenant_weights.items():
            if not (isfinite(weight) and weight > 0):
                raise ValueError(f"tenant_weights of '{shown(tenant)}' is {weight:g}, expected a finite number above 0")


class TenantHeader(msgspec.Struct, frozen=True):
    """The header that names the tenant: ``name`` in lower case, b"" for none; ``limit`` bounds its value in bytes."""

    name: bytes
    limit: int

    @classmethod
    def of(cls, settings: CallerSettings, limits: Limits) -> TenantHeader:
        return cls(settings.tenant_header.lower().encode(), limits.max_name_bytes)

    def among(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The tenant that headers with lower-case names tell, "" for none.

        Raises:
            InvalidRequest: it is given more than once, too long, or no printable text.
        """
        if not self.name:
            return ""
        values = [value for name, value in headers if name == self.name]
        if len(values) > 1:
            raise self.twice()
        return self.text(values[0]) if values else ""

    def twice(self) -> InvalidRequest:
        """The error of a request that names two tenants."""
        return InvalidRequest(f"header '{self.name.decode()}' is given more than once")

    def text(self, value: bytes) -> str:
        """The header's value; one that is empty names nobody.

        Raises:
            InvalidRequest: it is too long, or no printable text.
        """
        name = self.name.decode()
        if len(value) > self.limit:
            raise InvalidRequest(f"header '{name}' has {len(value)} bytes, at most {self.limit} are allowed")
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\0"
        if not text.isprintable():
            told = shown(value.decode(errors="backslashreplace"))
            raise InvalidRequest(f"header '{name}' is '{told}', expected printable text in UTF-8")
        return text


NO_TENANTS = TenantHeader(b"", DEFAULT_LIMITS.max_name_bytes)


def caller_of(priority: Parameter | None, tenant: str, settings: CallerSettings) -> Caller:
    """The caller of a request with this parameter ``priority`` (None: it has none) and this tenant ("": none).

    Raises:
        InvalidRequest: the priority is none of the levels, and not 0, which stands for the default.
    """
    level = settings.default_priority if priority is None else _level(priority, settings)
    return Caller(tenant, settings.tenant_weights.get(tenant, 1.0), level)


def as_sent(value: Parameter) -> str:
    """A parameter as the caller wrote it: ``true``, not ``True``."""
    return shown(msgspec.json.encode(value).decode())


def _level(priority: Parameter, settings: CallerSettings) -> int:
    # Not isinstance: True would be the highest priority.
    if type(priority) is not int or not 0 <= priority <= settings.priority_levels:
        raise InvalidRequest(
            f"parameters: '{PRIORITY}' is {as_sent(priority)}, "
            f"expected a whole number from 0 (the default) or 1 (the most urgent) to {settings.priority_levels}"
        )
    return priority or settings.default_priority


def _check_header(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"tenant_header is '{shown(name)}', expected a name of letters, digits, '-', '_' and '.'")
    lower = name.lower()
    if lower in _TAKEN or lower.startswith("grpc-") or lower.endswith("-bin"):
        raise ValueError(f"tenant_header is '{shown(name)}', expected a header that has no other meaning")
