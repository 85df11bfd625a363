"""The memory limit of a bucket: as many rows as may be executed at once, learned from executions without memory.

Nobody can say beforehand how much memory n rows take. So the limit is what it was found to be: a size that ran out is
refused for some time, and half of it is allowed at once. Each batch of the allowed size that goes well allows a
quarter more, up to the refused size, and beyond it once the time has passed; memory is shared, and may be free again.
One row is always allowed, for there is nothing smaller.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

UNLIMITED = 1 << 30
"""Rows; of a bucket that has not run out of memory."""


class Ceiling:
    """``rows`` may be executed at once. ``sizes`` are what batches are padded to: padding takes memory, too."""

    __slots__ = ("_refused", "_seconds", "_sizes", "_until", "rows")

    def __init__(self, seconds: float, sizes: Sequence[int] = ()) -> None:
        self._seconds = seconds
        self._sizes = sizes
        self._refused = UNLIMITED
        self._until = 0.0
        self.rows = UNLIMITED

    def __repr__(self) -> str:
        return f"<Ceiling of {self.rows} rows, {self._refused} refused until {self._until:g}>"

    @property
    def limited(self) -> bool:
        return self.rows < UNLIMITED

    def refuse(self, size: int, now: float) -> None:
        """A batch of ``size`` rows, padding included, ran out of memory."""
        self._refused = min(size, self._refused) if now < self._until else size
        self._until = now + self._seconds
        self.rows = min(self.rows, self._within(size // 2))

    def fits(self, size: int, now: float) -> None:
        """A batch of ``size`` rows, padding included, went well."""
        if size < self.rows:
            return
        following = self._after(size)
        if now < self._until:
            if size >= self._refused:
                return  # it was formed before the refusal, and another replica may have more memory
            following = self._within(min(following, self._refused - 1))
        self.rows = following

    def _after(self, size: int) -> int:
        if not self._sizes:
            return size + max(1, size // 4)
        return self._sizes[min(bisect_right(self._sizes, size), len(self._sizes) - 1)]

    def _within(self, rows: int) -> int:
        """The most rows that are not padded to more than ``rows``, at least one."""
        if not self._sizes:
            return max(1, rows)
        index = bisect_right(self._sizes, rows)
        return self._sizes[index - 1] if index else 1
