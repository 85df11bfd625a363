"""Rows per second that the replicas together get done while there is work, and so how long a queue takes."""

from __future__ import annotations

_HALF_LIFE = 32
"""Batches after which an observation counts half, so that a few seconds decide, not the morning."""
_DECAY = 0.5 ** (1 / _HALF_LIFE)


class ServiceRate:
    """Learned from the time between completions, which holds for any number of replicas."""

    __slots__ = ("_last", "_rows", "_seconds")

    def __init__(self) -> None:
        self._rows = 0.0
        self._seconds = 0.0
        self._last = 0.0

    def begin(self, now: float) -> None:
        """The first batch after a time without work: the clock starts here."""
        self._last = now

    def finished(self, rows: int, now: float) -> None:
        """A batch of ``rows`` rows is done."""
        self._rows = self._rows * _DECAY + rows
        self._seconds = self._seconds * _DECAY + max(0.0, now - self._last)
        self._last = now

    @property
    def rows_per_second(self) -> float:
        """0 where nothing is known."""
        return self._rows / self._seconds if self._seconds > 0.0 else 0.0

    def retry_after(self, rows: int, longest: float) -> float:
        """Seconds until ``rows`` rows are done, at least 1 (HTTP knows whole seconds) and at most ``longest``."""
        rate = self.rows_per_second
        return min(max(1.0, rows / rate), longest) if rate else min(1.0, longest)
