"""Whether a model answers. It stands here, below the gateway, because replicas say it and the gateway repeats it."""

from __future__ import annotations

import msgspec


class Readiness(msgspec.Struct, frozen=True):
    """Whether a model answers, and if not, why, in words that a caller may read."""

    ready: bool
    reason: str = ""
    """Of one that sleeps what it does: it answers, too, but not at once."""
    asleep: bool = False
    """Nothing of it is loaded, because nobody needs it: what is wrong with it is nothing wrong with the server."""

    @property
    def holds_up(self) -> bool:
        """Whether the server as a whole is not ready because of it."""
        return not (self.ready or self.asleep)
