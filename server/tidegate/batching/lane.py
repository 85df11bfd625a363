"""The waiting requests of one priority class, tenant and bucket, earliest deadline first."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Generic

from tidegate.batching.item import Item, T

if TYPE_CHECKING:
    from tidegate.batching.bucket import Bucket
    from tidegate.batching.fairness import Share

_SLACK = 32
"""Entries of removed items that are tolerated besides as many as there are items."""


class Lane(Generic[T]):
    """Never empty while it is in a queue. ``since`` is when it was last served, or became non-empty; ``rows`` wait."""

    __slots__ = ("_latest", "arrivals", "bucket", "heap", "priority", "rows", "share", "since")

    def __init__(self, priority: int, share: Share, bucket: Bucket, now: float) -> None:
        self.priority = priority
        self.share = share
        self.bucket = bucket
        self.since = now
        self.rows = 0
        self._latest = -inf
        self.arrivals: OrderedDict[int, Item[T]] = OrderedDict()
        self.heap: list[tuple[float, int, Item[T]]] = []

    def add(self, item: Item[T]) -> None:
        """Put an item where its deadline says; one that comes back goes among the arrivals where it was."""
        arrivals = self.arrivals
        returned = bool(arrivals) and item.number < next(reversed(arrivals))
        arrivals[item.number] = item
        if returned:
            self.arrivals = OrderedDict(sorted(arrivals.items()))
        heappush(self.heap, (item.deadline, item.number, item))
        self.rows += item.rows - item.cut
        if item.deadline > self._latest:
            self._latest = item.deadline

    def head(self) -> Item[T]:
        """The item with the earliest deadline; the first to arrive among equals."""
        return self.heap[0][2]

    def oldest(self) -> Item[T]:
        """The item that arrived first."""
        return next(iter(self.arrivals.values()))

    def earlier(self, deadline: float, most: float) -> int:
        """Rows of the items that go before a new one with this deadline; counting ends above ``most``.

        Most callers have the same patience, so that all of them do. Otherwise the heap is walked from its top, and no
        further than to items with a later deadline.
        """
        if self._latest <= deadline:
            return self.rows
        heap, arrivals = self.heap, self.arrivals
        rows, places = 0, [0]
        while places and rows <= most:
            place = places.pop()
            if place < len(heap) and heap[place][0] <= deadline:
                item = heap[place][2]
                if item.number in arrivals:
                    rows += item.rows - item.cut
                places += (2 * place + 1, 2 * place + 2)
        return rows

    def remove(self, item: Item[T]) -> None:
        """Take an item out. Its entry in the heap goes when it comes to the top, or when there are too many like it."""
        arrivals, heap = self.arrivals, self.heap
        del arrivals[item.number]
        self.rows -= item.rows - item.cut
        while heap and heap[0][1] not in arrivals:
            heappop(heap)
        if len(heap) > 2 * len(arrivals) + _SLACK:
            heap[:] = [entry for entry in heap if entry[1] in arrivals]
            heapify(heap)
