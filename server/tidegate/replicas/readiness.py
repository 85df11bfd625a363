"""Whether a model answers. It stands here, below the gateway, because replicas say it and the gateway repeats it."""

from __future__ import annotations

import msgspec


class Readiness(msgspec.Struct, frozen=True):
    """Whether a model answers now, and if not, why, in words that a caller may read."""

    ready: bool
    reason: str = ""
