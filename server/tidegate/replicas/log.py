"""What the replicas of a revision write: the last lines of each, kept in memory, and whoever follows them.

Nothing here blocks, and nothing grows: a replica has so many lines and bytes, a follower so many lines that it has not
read; what is more pushes out what is older.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import merge
from operator import attrgetter

import asyncio
import time

import msgspec

KIB = 1 << 10


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of what each replica writes."""

    lines: int = 1000
    """The newest of each replica; a start with a traceback has dozens."""
    nbytes: int = 256 * KIB
    """Of text, of each replica. A line that is longer than all of them together is kept alone."""
    line_bytes: int = 16 * KIB
    """What is longer is broken into several lines, as container runtimes do at this length."""
    followed: int = 1000
    """Lines that wait for one follower; one that is slower misses the oldest of them."""


class LogLine(msgspec.Struct, frozen=True):
    """A line of a replica's standard error; what it writes to its standard output comes there, too."""

    at: float
    """When it was read, in seconds since 1970."""
    replica: int
    """Which replica of its revision; numbers are not used again."""
    text: str


class Log:
    """Of one revision, for as long as somebody owns it: it outlives the workers, and what replaces them."""
