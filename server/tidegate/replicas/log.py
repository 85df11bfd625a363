"""What the replicas of a revision write: the last lines of each, kept in memory, and whoever follows them.

Nothing here blocks, and nothing grows: a replica has so many lines and bytes, a follower so many lines that it has not
read; what is more pushes out what is older. ::

    log = Log()
    log.replica().write(b"loading\\n", at=time.time())
    [line] = log.lines()
"""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import merge

import msgspec

KIB = 1 << 10


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of what each replica writes.

    Raises:
        ValueError: a bound is below 1.
    """

    lines: int = 1000
    """The newest of each replica; a start that fails with a traceback has dozens."""
    nbytes: int = 256 * KIB
    """Of UTF-8 as it was read, of each replica."""
    line_bytes: int = 16 * KIB
    """What is longer is broken into several lines, as container runtimes do at this length."""
    followed: int = 1000
    """Lines that wait for one follower; one that is slower misses the oldest of them."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")


DEFAULT = LogSettings()


class LogLine(msgspec.Struct, frozen=True):
    """A line of a replica's standard error; what it writes to its standard output comes there, too."""

    at: float
    """When it was read, in seconds since 1970."""
    replica: int
    """Which replica of its revision, from 1; a number is not used again."""
    text: str


class ReplicaLog:
    """The lines of one replica, over all of its workers' lives."""

    def __init__(self, log: Log, number: int) -> None:
        self.number = number
        self._log = log
        self._settings = log.settings
        self._lines: deque[tuple[LogLine, int]] = deque()
        self._nbytes = 0
        self._begun = b""

    @property
    def lines(self) -> list[LogLine]:
        return [line for line, _ in self._lines]

    def write(self, data: bytes, at: float) -> None:
        """Some bytes have come at ``at``; the last line of them may go on."""
        *whole, rest = (self._begun + data).split(b"\n")
        for line in whole:
            for start in range(0, max(len(line), 1), self._settings.line_bytes):
                self._keep(line[start : start + self._settings.line_bytes], at)
        while len(rest) >= self._settings.line_bytes:
            self._keep(rest[: self._settings.line_bytes], at)
            rest = rest[self._settings.line_bytes :]
        self._begun = rest

    def finish(self, at: float) -> None:
        """Its worker has ended: a line that was begun ends with it."""
        if self._begun:
            self._keep(self._begun, at)
            self._begun = b""

    def _keep(self, line: bytes, at: float) -> None:
        kept = LogLine(at, self.number, line.rstrip(b"\r").decode(errors="replace"))
        self._lines.append((kept, len(line)))
        self._nbytes += len(line)
        while len(self._lines) > self._settings.lines or (
            self._nbytes > self._settings.nbytes and len(self._lines) > 1
        ):
            self._nbytes -= self._lines.popleft()[1]
        self._log.told(kept)


class Follower:
    """The lines from its beginning on: ``async for line in follower``. Whoever has it closes it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: deque[LogLine] = deque(maxlen=log.settings.followed)
        self._come = asyncio.Event()
        self._closed = False
        self.missed = 0
        """Lines that were pushed out before they were read."""

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> LogLine:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._come.clear()
            await self._come.wait()
        return self._waiting.popleft()

    def close(self) -> None:
        """No more lines come; those that have come can still be read."""
        self._closed = True
        self._log.left(self)
        self._come.set()

    def put(self, line: LogLine) -> None:
        """A line has come."""
        self.missed += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(line)
        self._come.set()


class Log:
    """Of one revision. It outlives the workers, and those that take their places; used in one event loop."""

    def __init__(self, settings: LogSettings = DEFAULT) -> None:
        self.settings = settings
        self._replicas: dict[int, ReplicaLog] = {}
        self._followers: set[Follower] = set()
        self._numbers = 0

    def replica(self) -> ReplicaLog:
        """The log of a replica that has none yet."""
        self._numbers += 1
        made = self._replicas[self._numbers] = ReplicaLog(self, self._numbers)
        return made

    def drop(self, replica: ReplicaLog) -> None:
        """A replica is gone for good, and its lines with it."""
        self._replicas.pop(replica.number, None)

    def lines(self) -> tuple[LogLine, ...]:
        """Those that are kept, in the order in which they were read."""
        return tuple(merge(*(replica.lines for replica in self._replicas.values()), key=lambda line: line.at))

    def follow(self) -> Follower:
        """The lines from now on."""
        follower = Follower(self)
        self._followers.add(follower)
        return follower

    def close(self) -> None:
        """Nothing is written any more: whoever follows comes to an end."""
        for follower in tuple(self._followers):
            follower.close()

    def told(self, line: LogLine) -> None:
        """A replica has written a line."""
        for follower in self._followers:
            follower.put(line)

    def left(self, follower: Follower) -> None:
        """A follower is closed."""
        self._followers.discard(follower)
