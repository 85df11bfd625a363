"""What answers for a revision that scales, without requests: a queue as a liquid, in the event loop's time.

Requests flow in at a rate that the test sets, and out as fast as the replicas that are ready take them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import ceil

import msgspec

from tidegate.batching.batch import Reason
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.statistics import RevisionStatistics
from tidegate.testing.clock import VirtualLoop


class FakeSource:
    """Implements the Scaler's Source. ``ready`` tells the replicas that take requests, each one in ``seconds``."""

    def __init__(self, ready: Callable[[], int], *, seconds: float = 0.1) -> None:
        self.error: Exception | None = None
        """What looking at it raises."""
        self.loaded = True
        """Whether there are figures."""
        self.max_batch: int | None = 1
        self.replicas: Mapping[str, int] = {}
        """By state, where others than those that are ready are to be told."""
        self.looks = 0
        """How often it was looked at."""
        self._ready = ready
        self._seconds = seconds
        self._rate = 0.0
        self._arrived = self._completed = 0.0
        self._at = _time()
        self._call: Callable[[], None] | None = None

    # The port.

    @property
    def requests(self) -> int:
        self._flow()
        return round(self._arrived - self._completed + min(self._rate, 1.0))

    def statistics(self) -> RevisionStatistics:
        self.looks += 1
        if self.error is not None:
            raise self.error
        self._flow()
        arrived, completed = int(self._arrived), int(self._completed)
        counts = msgspec.structs.replace(
            IDLE.counts,
            arrived=arrived,
            arrived_rows=arrived,
            completed=completed,
            executed_rows=completed,
            busy_seconds=completed * self._seconds,
            batches={Reason.IDLE: completed},
        )
        executing = min(self._ready(), ceil(self._rate * self._seconds))
        depth = msgspec.structs.replace(
            IDLE.depth, requests=arrived - completed, rows=arrived - completed, inflight_rows=executing
        )
        batcher = msgspec.structs.replace(IDLE, counts=counts, depth=depth)
        replicas = self.replicas or {"ready": self._ready()}
        return RevisionStatistics(
            batcher=batcher if self.loaded else None, replicas=replicas, executed={}, last_inference=0.0
        )

    def at_next(self, call: Callable[[], None] | None) -> None:
        self._call = call

    # What the test says.

    @property
    def asleep(self) -> bool:
        """Whether somebody waits for its next request."""
        return self._call is not None

    def load(self, rate: float) -> None:
        """So many requests come each second from now on; the first comes now, if any does."""
        self._flow()
        self._rate = rate
        if rate:
            self.arrive(1)

    def arrive(self, requests: int) -> None:
        """So many come now."""
        self._flow()
        self._arrived += requests
        if self._call is not None:
            call, self._call = self._call, None
            call()

    def reset(self) -> None:
        """Its figures begin anew, as those of a process that was started again."""
        self._flow()
        self._arrived = self._completed = 0.0

    def pass_over(self, seconds: float) -> None:
        """The loop's clock is set by so many seconds, in which nothing comes and nothing is done."""
        self._flow()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.advance(seconds)
        self._at = _time()

    def _flow(self) -> None:
        now = _time()
        passed, self._at = now - self._at, now
        self._arrived += self._rate * passed
        self._completed = min(self._arrived, self._completed + passed * self._ready() / self._seconds)


def _time() -> float:
    return asyncio.get_running_loop().time()
