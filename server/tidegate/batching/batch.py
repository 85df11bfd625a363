"""What one execution consists of: which rows of which requests, and how they are put together again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from tidegate.batching.item import Item, T

if TYPE_CHECKING:
    from tidegate.batching.bucket import Bucket

P = TypeVar("P")


class Reason(StrEnum):
    """Why a batch was closed when it was, and not later with more rows."""

    IDLE = "idle_replica"
    """A replica had nothing to do."""
    FULL = "full"
    """Nothing more fits: the largest size, the memory limit, or the next request needs more room than is left."""
    SLACK = "slack"
    """One row more, or waiting longer, and the first request would miss its deadline."""
    MAX_LATENCY = "max_latency"
    """It was held back for as long as the manifest allows."""
    PREFETCH = "prefetch"
    """A replica is about to finish, and has its next batch ready when it does."""
    RETRY = "retry"
    """It failed before, and is executed in smaller parts."""


class Part(msgspec.Struct, Generic[T], frozen=True, gc=False, eq=False):
    """Rows ``start`` to ``stop`` of a request, which are the rows from ``offset`` on in their batch."""

    item: Item[T]
    start: int
    stop: int
    offset: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    @property
    def whole(self) -> bool:
        """Whether this is all of its request."""
        return self.stop - self.start == self.item.rows


class Batch(Generic[T]):
    """``rows`` rows in ``parts``, padded to ``size`` by whoever writes it.

    ``expected`` is its service time in seconds, as often longer as shorter; with the margin, ``at_most``, it is rarely
    longer. None where they are not known. By the first one knows when a replica will be free.
    ``contended`` tells that others still waited when it was taken.
    """

    __slots__ = ("at_most", "bucket", "contended", "expected", "formed", "parts", "reason", "rows", "size")

    def __init__(
        self, bucket: Bucket, parts: list[Part[T]], rows: int, size: int, reason: Reason, formed: float
    ) -> None:
        self.bucket = bucket
        self.parts = parts
        self.rows = rows
        self.size = size
        self.reason = reason
        self.formed = formed
        self.contended = False
        self.at_most = bucket.curve.predict(size, formed)
        self.expected = None if self.at_most is None else self.at_most / bucket.curve.margin

    def __repr__(self) -> str:
        return f"<Batch of {self.rows} rows in {len(self.parts)} parts, {self.reason.value}>"


class Join(Generic[P]):
    """The results of a request that was split, in whatever order they come."""

    __slots__ = ("_pieces", "_rows")

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._pieces: dict[int, tuple[int, P]] = {}

    def add(self, start: int, stop: int, piece: P) -> list[P] | None:
        """Rows ``start`` to ``stop`` are there. All pieces in the order of their rows once none is missing.

        Raises:
            RuntimeError: these rows were there already; a fault of ours.
        """
        if start in self._pieces:
            raise RuntimeError(f"rows {start} to {stop} of a split request came twice")
        self._pieces[start] = (stop - start, piece)
        if sum(rows for rows, _ in self._pieces.values()) < self._rows:
            return None
        return [self._pieces[start][1] for start in sorted(self._pieces)]
