"""The waiting requests of one priority class, tenant and bucket, earliest deadline first."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Generic

from tidegate.batching.item import Item, T

if TYPE_CHECKING:
    from tidegate.batching.bucket import Bucket
    from tidegate.batching.fairness import Share

_SLACK = 32
"""Entries of removed items that are tolerated besides as many as there are items."""


class Lane(Generic[T]):
    """Never empty while it is in a queue. ``since`` is when it was last served, or became non-empty."""

    __slots__ = ("arrivals", "bucket", "heap", "priority", "share", "since")

    def __init__(self, priority: int, share: Share, bucket: Bucket, now: float) -> None:
        self.priority = priority
        self.share = share
        self.bucket = bucket
        self.since = now
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

    def head(self) -> Item[T]:
        """The item with the earliest deadline; the first to arrive among equals."""
        return self.heap[0][2]

    def oldest(self) -> Item[T]:
        """The item that arrived first."""
        return next(iter(self.arrivals.values()))

    def remove(self, item: Item[T]) -> None:
        """Take an item out. Its entry in the heap goes when it comes to the top, or when there are too many like it."""
        arrivals, heap = self.arrivals, self.heap
        del arrivals[item.number]
        while heap and heap[0][1] not in arrivals:
            heappop(heap)
        if len(heap) > 2 * len(arrivals) + _SLACK:
            heap[:] = [entry for entry in heap if entry[1] in arrivals]
            heapify(heap)
