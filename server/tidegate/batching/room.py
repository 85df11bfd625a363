"""Room for requests that wait somewhere else than in the queue: bounded as that is, by rows and bytes."""

from __future__ import annotations


class Room:
    """A request that finds nobody waiting is always taken, as in the queue."""

    __slots__ = ("_max_bytes", "_max_rows", "nbytes", "requests", "rows")

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self.requests = 0
        self.rows = 0
        self.nbytes = 0

    def full_for(self, rows: int, nbytes: int) -> bool:
        """Whether the bounds forbid one more like this."""
        return self.requests > 0 and (self.rows + rows > self._max_rows or self.nbytes + nbytes > self._max_bytes)

    def enter(self, rows: int, nbytes: int) -> None:
        """One more, until ``leave``. Whether it may is asked before."""
        self.requests += 1
        self.rows += rows
        self.nbytes += nbytes

    def leave(self, rows: int, nbytes: int) -> None:
        """It waits no more."""
        self.requests -= 1
        self.rows -= rows
        self.nbytes -= nbytes
