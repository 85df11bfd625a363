"""How long before a replica is free its next batch is sent, so that it arrives just as it is needed. Learned.

What a batch needs to reach a worker and to come back, beside the model's own time, shows in every execution that found
its worker idle. Sent that much earlier, the next batch is there in time; sent any earlier, it would be closed before
all of its requests have come.
"""

from __future__ import annotations

_FIRST = 0.002
"""Seconds, before anything is known: more than a small batch needs."""
_WEIGHT = 0.1
"""Of the newest observation, so that about the last twenty count."""
_MOST = 0.05
"""Seconds. A gateway that is held up for longer must not close its batches that early from then on."""


class Handover:
    """One replica's. ``seconds`` is the present estimate."""

    __slots__ = ("_known", "seconds")

    def __init__(self) -> None:
        self.seconds = _FIRST
        self._known = False

    def observe(self, elapsed: float, infer_seconds: float) -> None:
        """A batch took ``elapsed`` seconds from being sent to being answered, ``infer_seconds`` of them the model's."""
        overhead = min(max(elapsed - infer_seconds, 0.0), _MOST)
        if not self._known:
            self._known = True
            self.seconds = overhead
        else:
            self.seconds += _WEIGHT * (overhead - self.seconds)
