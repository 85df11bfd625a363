"""What an operator can set on the resource API. Frozen values, read in one place."""

from __future__ import annotations

import msgspec

MIB = 1 << 20


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the API.

    Raises:
        ValueError: one of them leaves nothing.
    """

    max_body_bytes: int = 3 * MIB
    """Bytes of a request's body, as it arrives and inflated; Kubernetes' own bound. A resource that is kept has a
    smaller one (``StoreSettings.max_document``)."""
    max_watches: int = 1000
    """Watches at a time. Each holds a connection and a queue of changes."""
    max_attempts: int = 10
    """How often a patch without a resourceVersion is made anew because the resource changed meanwhile."""
    min_compress_bytes: int = 32 * 1024
    """Smallest answer that is compressed where Accept-Encoding asks for it: a list, not a resource."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
