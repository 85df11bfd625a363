"""What came of asking the resolver for one track. It is held in memory: what matters of it becomes a revision."""

from __future__ import annotations

import msgspec

from tidegate.resources.actuator import Resolved


class Resolution(msgspec.Struct, frozen=True):
    """Without ``resolved`` and ``failure`` it is being found out."""

    request: str
    resolved: Resolved | None = None
    failure: str = ""
    """One sentence."""
    kind: str = ""
    """The error's name, of a failure."""
    at: float = 0.0
    """When it failed, in seconds since 1970."""
    retry_at: float = 0.0
    """When it is tried again; infinite while it is being tried. What failed before is told until then."""
