"""The waiting requests of one revision, and who among them is next.

The order, each rule within the one before:

1. **Class.** The lowest priority class that waits, unless the oldest request of a higher one has waited longer than
   the oldest of the lowest by ``ageing`` for each class between them. Then that oldest request is next, by itself.
2. **Tenant.** The one with the lowest tag (``fairness``).
3. **Bucket.** One that was not served for ``max_bucket_wait``, the longest such first; otherwise the one whose head has
   the earliest deadline.
4. **Deadline**, the first to arrive among equals.

Requests that must run again in smaller parts (``again``) have waited their turn before and go first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Set
from heapq import heapify, heappop, heapreplace
from operator import attrgetter
from typing import Generic

from tidegate.batching.batch import Part
from tidegate.batching.bucket import Bucket
from tidegate.batching.fairness import Fairness, Share
from tidegate.batching.item import Item, T
from tidegate.batching.lane import Lane
from tidegate.batching.settings import BatchSettings

_by_head = attrgetter("heap")  # a heap compares by its first entry, whose deadline and number no other has


class Queue(Generic[T]):
    """``rows``, ``requests`` and ``nbytes`` count what waits; a request's bytes count until its last row is taken."""

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings
        self._fairness = Fairness()
        # In the order in which they were last served, so that the first of some has waited longest.
        self._lanes: OrderedDict[tuple[int, Share, Bucket], Lane[T]] = OrderedDict()
        self._classes: dict[int, int] = {}  # rows in the lanes of each priority class
        self.again: deque[list[Part[T]]] = deque()
        self.rows = 0
        self.requests = 0
        self.nbytes = 0

    def __repr__(self) -> str:
        return f"<Queue {self.requests} requests, {self.rows} rows, {len(self._lanes)} lanes>"

    def full_for(self, item: Item[T]) -> bool:
        """Whether the bounds forbid one more like this."""
        settings = self._settings
        return self.requests > 0 and (
            self.rows + item.rows > settings.max_queue or self.nbytes + item.nbytes > settings.max_queue_bytes
        )

    def add(self, item: Item[T], now: float) -> None:
        """Let an item wait in its lane: a new one, or one of which nothing was executed."""
        item.cut = 0
        self._count(item, item.rows)
        self._line_up(item, now)

    def repeat(self, parts: list[Part[T]], *, first: bool = False) -> None:
        """Let parts wait that are executed by themselves; ``first`` puts them before others like them."""
        for part in parts:
            self._count(part.item, part.stop - part.start)
        if first:
            self.again.appendleft(parts)
        else:
            self.again.append(parts)

    def repeated(self) -> list[Part[T]]:
        """Take the next parts that are executed by themselves; empty where there are none."""
        while self.again:
            parts = [part for part in self.again.popleft() if not part.item.answered]
            for part in parts:
                self._count(part.item, part.start - part.stop)
            if parts:
                return parts
        return []

    def drop(self, item: Item[T]) -> None:
        """Forget an item that has been answered. Its parts in ``again`` are passed over when their turn comes."""
        if item.lane is not None:
            self._step_out(item, item.lane)
        if item.waiting:
            self._count(item, -item.waiting)

    def put_aside(self, item: Item[T]) -> None:
        """Take an item out of the order, still counted as waiting; ``put_back`` is the way back."""
        assert item.lane is not None
        self._step_out(item, item.lane)

    def put_back(self, item: Item[T], now: float) -> None:
        self._line_up(item, now)

    def cut(self, item: Item[T], rows: int, now: float) -> int:
        """Take the next ``rows`` rows of an item; returns the number of the first. Its tenant is charged."""
        lane = item.lane
        assert lane is not None
        start = item.cut
        item.cut = start + rows
        self._count(item, -rows)
        self._fairness.charge(lane.share, rows)
        if lane.since != now:
            lane.since = now
            self._lanes.move_to_end((lane.priority, lane.share, lane.bucket))
        lane.bucket.rows -= rows
        lane.rows -= rows
        self._classes[lane.priority] -= rows
        if item.cut == item.rows:
            self._step_out(item, lane)
        return start

    def ahead(self, item: Item[T], bucket: Bucket, most: float) -> int:
        """Rows that go before a new item; counting ends above ``most``.

        They are those that are executed again, those of more urgent classes, and of its own tenant and bucket those
        with an earlier deadline. Of other tenants and buckets some go before it, too; how many is not said.
        """
        priority = item.caller.priority
        rows = self.rows - sum(self._classes.values())
        rows += sum([waiting for urgency, waiting in self._classes.items() if urgency < priority])
        share = self._fairness.find(item.caller)
        lane = None if share is None else self._lanes.get((priority, share, bucket))
        return rows if lane is None else rows + lane.earlier(item.deadline, most - rows)

    def head(self, now: float, ready: Set[Bucket] | None = None) -> Item[T] | None:
        """Who is next, among ``ready`` buckets (None: all); None where nobody waits there."""
        lanes: Collection[Lane[T]] = self._lanes.values()
        if ready is not None:
            lanes = [lane for lane in lanes if lane.bucket in ready]
        if not lanes:
            return None
        if len(self._classes) > 1:
            lowest = min(lane.priority for lane in lanes)
            first = min(lanes, key=self._rank)
            if first.priority > lowest:
                self._fairness.serve(first.share)
                return first.oldest()
            lanes = [lane for lane in lanes if lane.priority == lowest]
        share = next(iter(lanes)).share
        if self._fairness.active > 1:
            share = min(lanes, key=_tag).share
            lanes = [lane for lane in lanes if lane.share is share]
        self._fairness.serve(share)
        longest = next(iter(lanes))
        if now - longest.since >= self._settings.max_bucket_wait:
            return longest.head()
        return min(lanes, key=_by_head).head()

    def followers(self, bucket: Bucket) -> Iterator[Item[T]]:
        """The items of a bucket in their order. Each must be cut completely before the next is asked for."""
        lanes: list[Lane[T]] = list(bucket.lanes)
        if len(lanes) == 1:
            yield from _in_lane(lanes[0])
            return
        for priority in sorted({lane.priority for lane in lanes}):
            yield from _by_share([lane for lane in lanes if lane.priority == priority])

    def waiting(self) -> list[Item[T]]:
        """Every item with rows that wait, in order of arrival."""
        found = {item.number: item for lane in self._lanes.values() for item in lane.arrivals.values()}
        for parts in self.again:
            found.update((part.item.number, part.item) for part in parts if not part.item.answered)
        return [found[number] for number in sorted(found)]

    def buckets(self) -> set[Bucket]:
        """The buckets of which something waits, ``again`` not included."""
        return {lane.bucket for lane in self._lanes.values()}

    def _rank(self, lane: Lane[T]) -> tuple[float, int, int]:
        """When the oldest item of a lane is the equal of one of class 0 that has just arrived."""
        oldest = lane.oldest()
        return (oldest.arrived + lane.priority * self._settings.ageing, lane.priority, oldest.number)

    def _line_up(self, item: Item[T], now: float) -> None:
        bucket = item.bucket
        share = self._fairness.join(item.caller)
        key = (item.caller.priority, share, bucket)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(item.caller.priority, share, bucket, now)
            bucket.lanes[lane] = None
        lane.add(item)
        item.lane = lane
        rows = item.rows - item.cut
        bucket.rows += rows
        self._classes[lane.priority] = self._classes.get(lane.priority, 0) + rows

    def _step_out(self, item: Item[T], lane: Lane[T]) -> None:
        lane.remove(item)
        item.lane = None
        rows = item.rows - item.cut
        lane.bucket.rows -= rows
        self._classes[lane.priority] -= rows
        if not lane.arrivals:
            del self._lanes[lane.priority, lane.share, lane.bucket]
            del lane.bucket.lanes[lane]
            if not self._classes[lane.priority]:
                del self._classes[lane.priority]
        self._fairness.leave(lane.share)

    def _count(self, item: Item[T], rows: int) -> None:
        """``rows`` rows of an item begin to wait, or, if negative, cease to."""
        before = item.waiting
        item.waiting = before + rows
        self.rows += rows
        if not before:
            self.requests += 1
            self.nbytes += item.nbytes
        elif not item.waiting:
            self.requests -= 1
            self.nbytes -= item.nbytes


def _tag(lane: Lane[T]) -> tuple[float, int]:
    return (lane.share.tag, lane.share.order)


def _in_lane(lane: Lane[T]) -> Iterator[Item[T]]:
    while lane.arrivals:
        yield lane.head()


def _by_share(lanes: list[Lane[T]]) -> Iterator[Item[T]]:
    """The items of lanes of one class and bucket: whichever tenant has the lowest tag after each."""
    order = [(lane.share.tag, lane.share.order, lane) for lane in lanes]
    heapify(order)
    while order:
        lane = order[0][2]
        yield lane.head()
        if lane.arrivals:
            heapreplace(order, (lane.share.tag, lane.share.order, lane))
        else:
            heappop(order)
