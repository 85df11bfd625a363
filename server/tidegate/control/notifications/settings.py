"""What an operator can set on notifications. Frozen values, read in one place."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tidegate.outgoing.settings import OutgoingSettings


class NotificationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How they are sent; how many wait, and for how long, is the store's (``StoreSettings``).

    Raises:
        ValueError: a bound leaves nothing.
    """

    secrets: Path | None = None
    """The directory with NAMESPACE/NAME for each secret; without it there are none."""
    outgoing: OutgoingSettings = OutgoingSettings()
    """Where they may go."""
    concurrent: int = 8
    """Channels that are sent to at a time; to each one message after the other."""
    first_pause: float = 1.0
    """Seconds after the first attempt in vain; twice as long after each further one."""
    longest_pause: float = 300.0
    """Seconds at most between two attempts, unless the channel asks for more."""
    longest_wish: float = 3600.0
    """Seconds at most that a channel's Retry-After is obeyed for."""
    stop_grace: float = 5.0
    """Seconds that what is being sent has to end when the server stops; broken off, it is sent again."""

    def __post_init__(self) -> None:
        for name in ("concurrent", "first_pause", "longest_pause", "longest_wish"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
