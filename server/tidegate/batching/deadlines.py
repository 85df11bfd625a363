"""When the next accepted request expires, wherever it is."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic

from tidegate.batching.item import Item, T

_SLACK = 64
"""Entries of answered requests that are tolerated besides as many as there are unanswered ones."""


class Deadlines(Generic[T]):
    """A heap. An answered request stays in it until it comes to the top or is cleared away with others like it."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item[T]]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, item: Item[T], live: int) -> None:
        """Watch a request; ``live`` is how many there are that are not answered."""
        heap = self._heap
        heappush(heap, (item.deadline, item.number, item))
        if len(heap) > 2 * live + _SLACK:
            heap[:] = [entry for entry in heap if not entry[2].answered]
            heapify(heap)

    def next(self) -> float:
        """The earliest deadline; infinity where there is none."""
        heap = self._heap
        while heap:
            if not heap[0][2].answered:
                return heap[0][0]
            heappop(heap)
        return inf

    def expired(self, now: float) -> list[Item[T]]:
        """Take out the requests whose deadline has come."""
        heap = self._heap
        items: list[Item[T]] = []
        while heap and (heap[0][0] <= now or heap[0][2].answered):
            item = heappop(heap)[2]
            if not item.answered:
                items.append(item)
        return items
