"""A replica as the dispatcher sees it: a link that takes batches, and the batches that it has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tidegate.batching import batch as batching
from tidegate.replicas.batch import Batch
from tidegate.replicas.handover import Handover
from tidegate.replicas.pending import Pending
from tidegate.replicas.streams import Progress


class Work:
    """A batch at a link. ``sent`` and ``began`` are times of the dispatcher's clock: it begins when it is first.

    ``streams`` is how far the stream is that answers it; None where it has one answer.
    """

    __slots__ = ("batch", "began", "idle", "sent", "streams", "taken", "written")

    def __init__(self, taken: batching.Batch[Pending], batch: Batch, streams: Progress | None = None) -> None:
        self.taken = taken
        self.batch = batch
        self.streams = streams
        self.written = 0.0
        self.sent = 0.0
        self.began = 0.0
        self.idle = False
        """Whether the link had nothing else when it was sent."""


class Link(Protocol):
    """A replica that is ready."""

    @property
    def free(self) -> int:
        """Credits: how many more batches it takes."""
        ...

    def execute(self, work: Work) -> bool:
        """Send a batch; False where the link cannot take it now, and will ask again when it can.

        Raises:
            TidegateError: the batch itself cannot be sent.
        """
        ...

    def cancel(self, work: Work) -> None:
        """Nobody waits for this batch any more. Its credit comes back when the replica says that it is done."""
        ...


class Lane:
    """What a link has, oldest first, and what is known of it. No two of a dispatcher have the same ``number``."""

    __slots__ = ("blocked", "closed", "handover", "link", "number", "works")

    def __init__(self, link: Link, number: int) -> None:
        self.link = link
        self.number = number
        self.works: list[Work] = []
        self.handover = Handover()
        self.blocked = False
        """It had no memory for a batch, and has got none back since."""
        self.closed = False
        """It is to get no more."""

    @property
    def open(self) -> bool:
        """Whether it takes a batch now."""
        return not self.blocked and not self.closed and self.link.free > 0

    @property
    def frees_at(self) -> float | None:
        """When it is expected to have nothing to do; None where that is not known."""
        end = self.works[0].began
        for work in self.works:
            if work.taken.expected is None:
                return None
            end += work.taken.expected
        return end


def choose(lanes: Collection[Lane], now: float, *, behind: bool = True) -> tuple[Lane | None, int]:
    """Who gets the next batch, None where nobody takes one, and how many have nothing to do.

    It is one that is idle, or else, if a batch may wait ``behind`` another, the one that is expected to be free first;
    one of which nothing is known is free now.
    """
    idle = [lane for lane in lanes if lane.open and not lane.works]
    if idle or not behind:
        return (idle[0] if idle else None), len(idle)
    busy = [lane for lane in lanes if lane.open]
    return min(busy, key=lambda lane: now if lane.frees_at is None else lane.frees_at, default=None), 0
