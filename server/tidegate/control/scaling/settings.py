"""How revisions are scaled. Frozen values, read in one place."""

from __future__ import annotations

import msgspec


class ScalerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times of the loop.

    Raises:
        ValueError: one of them leaves nothing.
    """

    tick: float = 1.0
    """Seconds between two looks at a revision that is in use. The policies are made for it."""
    keep_every: float = 30.0
    """Seconds between two writes of what a policy knows, while the number stays; a restart loses no more."""

    def __post_init__(self) -> None:
        for name in ("tick", "keep_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name):g}, expected a number above 0")
