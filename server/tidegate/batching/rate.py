"""How fast the replicas together get work done, and so how long a queue takes.

Two figures. Rows per second are counted whenever there is work; by them a caller is told when to come back. How many
executions overlap is counted of batches behind which others waited, for only then every replica has something to do.
"""

from __future__ import annotations

_HALF_LIFE = 32
"""Batches after which an observation counts half, so that a few seconds decide, not the morning."""
_DECAY = 0.5 ** (1 / _HALF_LIFE)
_ENOUGH = 8
"""Batches with others behind them before anything is said of how they overlap."""


class ServiceRate:
    """Learned from the time between completions, which holds for any number of replicas."""

    __slots__ = ("_contended", "_contended_seconds", "_executing", "_rows", "_seconds", "last")

    def __init__(self) -> None:
        self._rows = 0.0
        self._seconds = 0.0
        self._contended = 0
        self._contended_seconds = 0.0
        self._executing = 0.0
        self.last = 0.0
        """When a batch was done last, or work began after there was none."""

    def begin(self, now: float) -> None:
        """The first batch after a time without work: the clock starts here."""
        self.last = now

    def finished(self, rows: int, seconds: float, now: float, *, contended: bool) -> None:
        """A batch of ``rows`` rows is done, after ``seconds`` at its replica.

        ``contended`` tells that others waited when it, or one beside it, was taken.
        """
        passed = max(0.0, now - self.last)
        self._rows = self._rows * _DECAY + rows
        self._seconds = self._seconds * _DECAY + passed
        self.last = now
        if contended:
            self._contended += 1
            self._contended_seconds = self._contended_seconds * _DECAY + passed
            self._executing = self._executing * _DECAY + seconds

    @property
    def overlap(self) -> float:
        """Executions under way at a time while others wait: about the number of replicas; 0 where it is not known."""
        known = self._contended >= _ENOUGH and self._contended_seconds > 0.0
        return self._executing / self._contended_seconds if known else 0.0

    @property
    def rows_per_second(self) -> float:
        """0 where nothing is known."""
        return self._rows / self._seconds if self._seconds > 0.0 else 0.0

    def retry_after(self, rows: int, longest: float) -> float:
        """Seconds until ``rows`` rows are done, at least 1 (HTTP knows whole seconds) and at most ``longest``."""
        rate = self.rows_per_second
        return min(max(1.0, rows / rate), longest) if rate else min(1.0, longest)
