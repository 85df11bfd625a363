"""A run: connections that send until the load is over, and one sample per request.

Open loop: each free connection takes the next arrival and waits for its time. If all are busy when an arrival is due,
it is sent late, and its latency counts from when it was meant to start: coordinated omission, where a stalled server
is asked less and so looks good, cannot happen. Closed loop: each connection sends as soon as it has its answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from tidegate.loadtests.connections import Connection

UNSENT = "unsent"
"""Status of an arrival that was due, but for which no connection was free before the run ended."""
UNANSWERED = "unanswered"
"""Status of a request that was under way when the run ended."""

PAUSE = 0.05
"""Seconds that a connection rests after a failure in a closed loop, so that a dead server is not asked in a spin."""


class Sample(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One request. Seconds since the start of the run."""

    intended: float
    """When it was meant to be sent; in a closed loop, when it was."""
    sent: float
    ended: float
    status: str
    lag: float = 0.0
    """By how much the client itself was late: a free connection was there, but not its turn of the event loop."""


class Load:
    """``arrivals`` None is a closed loop of ``requests`` (None: no bound) that begins no request after ``duration``.

    An open loop's arrivals must end. ``timeout`` bounds one request and, after ``duration``, all that is left.
    """

    def __init__(
        self,
        connections: Sequence[Connection],
        arrivals: Iterator[float] | None,
        duration: float | None,
        requests: int | None,
        timeout: float = 60.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.samples: list[Sample] = []
        self.interrupted = False
        self._connections = connections
        self._arrivals = arrivals
        self._duration = duration
        self._requests = requests
        self._timeout = timeout
        self._clock = clock
        self._start = 0.0
        self._left = requests
        self._sending: dict[Connection, tuple[float, float, float]] = {}

    async def run(self, start: float | None = None) -> float:
        """Send everything, and return how long it took in seconds. Cancelled, it ends with the samples so far.

        ``start`` is the clock's reading from which all is counted, not long ahead; None is now.
        """
        self._start = self._clock() if start is None else start
        send = self._closed if self._arrivals is None else self._open
        bound = None if self._duration is None else self._duration + self._timeout
        try:
            await self._reach(0.0)
            async with asyncio.timeout(bound), asyncio.TaskGroup() as group:
                for connection in self._connections:
                    group.create_task(send(connection))
        except TimeoutError:
            pass  # what is left is told apart by its status
        except asyncio.CancelledError:
            self.interrupted = True
        finally:
            for connection in self._connections:
                connection.close()
        took = self._now()
        self._give_up(took)
        return took

    async def _closed(self, connection: Connection) -> None:
        while (self._duration is None or self._now() < self._duration) and self._left != 0:
            if self._left is not None:
                self._left -= 1
            now = self._now()
            if not await self._send(connection, now, now, 0.0):
                await asyncio.sleep(PAUSE)

    async def _open(self, connection: Connection) -> None:
        assert self._arrivals is not None
        for intended in self._arrivals:
            free = self._now()
            self._sending[connection] = (intended, -1.0, 0.0)
            now = await self._reach(intended)
            await self._send(connection, intended, now, now - max(intended, free))

    async def _send(self, connection: Connection, intended: float, sent: float, lag: float) -> bool:
        """Whether an answer came, of whatever status."""
        self._sending[connection] = (intended, sent, lag)
        answered = True
        try:
            async with asyncio.timeout(self._timeout):
                status = await connection.ask()
        except TimeoutError:
            status, answered = "timeout", False
        except OSError as error:
            status, answered = type(error).__name__, False
        del self._sending[connection]
        self.samples.append(Sample(intended, sent, self._now(), status, lag))
        return answered

    def _give_up(self, now: float) -> None:
        """Count what was due and is not answered, with the latency that it has reached."""
        for intended, sent, lag in self._sending.values():
            if sent >= 0.0:
                self.samples.append(Sample(intended, sent, now, UNANSWERED, lag))
            elif intended <= now:
                self.samples.append(Sample(intended, now, now, UNSENT))
        for intended in self._arrivals or ():
            if intended > now:
                break
            self.samples.append(Sample(intended, now, now, UNSENT))

    async def _reach(self, at: float) -> float:
        """Wait until ``at``, not a moment less, and return what time it is then."""
        now = self._now()
        while now < at:
            await asyncio.sleep(at - now)
            now = self._now()
        return now

    def _now(self) -> float:
        return self._clock() - self._start
