"""What copies of requests for a shadow may take. Frozen values, read in one place."""

from __future__ import annotations

import msgspec

from tidegate.batching.checks import check_seconds, check_whole

MIB = 1 << 20


class ShadowSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What copies may take.

    Raises:
        ValueError: a bound is below what it can be.
    """

    max_queue: int = 64
    """Copies that wait, of each shadow. One beyond is dropped: a shadow sees as many requests as it can answer."""
    max_inflight: int = 4
    """Copies at a shadow at a time. More than its replicas execute at once would only compete for the processor."""
    max_copy_bytes: int = 8 * MIB
    """Inputs and outputs of one copy, and outputs of the shadow. One beyond is dropped. Copying as much takes the
    gateway up to 4 ms, in which nobody else is answered."""
    max_bytes: int = 128 * MIB
    """All copies of the server together, waiting or at a shadow."""
    timeout: float = 10.0
    """Seconds from the caller's answer to the shadow's; a copy that takes longer is dropped."""

    def __post_init__(self) -> None:
        check_whole(self, 1, "max_queue", "max_inflight", "max_copy_bytes", "max_bytes")
        check_seconds(self, "timeout")
