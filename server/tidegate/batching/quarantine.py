"""Contents that ended replicas all by themselves, and are refused for a while.

A content is accused when a replica ends while executing it without company, and convicted when that has happened often
enough. It is the content that is accused, not the request, for a caller that gives up sends the same again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

V = TypeVar("V")


class Quarantine:
    """Fingerprints of requests, bounded in number and time."""

    def __init__(self, max_deaths: int, bound: int, seconds: float) -> None:
        self._max_deaths = max_deaths
        self._bound = bound
        self._seconds = seconds
        self._accused: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._convicted: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        """How many contents are refused."""
        return len(self._convicted)

    def accuse(self, fingerprint: bytes, deaths: int, now: float) -> bool:
        """``deaths`` more replicas ended under this content, the last one without company; whether that is enough."""
        before, until = self._accused.pop(fingerprint, (0, now))
        deaths += before if until > now else 0
        if deaths >= self._max_deaths:
            _remember(self._convicted, fingerprint, now + self._seconds, self._bound)
            return True
        _remember(self._accused, fingerprint, (deaths, now + self._seconds), self._bound)
        return False

    def left(self, fingerprint: bytes, now: float) -> float:
        """Seconds for which this content is still refused; 0 where it is not."""
        while self._convicted and next(iter(self._convicted.values())) <= now:
            self._convicted.popitem(last=False)
        return max(0.0, self._convicted.get(fingerprint, now) - now)


def _remember(memory: OrderedDict[bytes, V], fingerprint: bytes, value: V, bound: int) -> None:
    memory[fingerprint] = value
    memory.move_to_end(fingerprint)
    if len(memory) > bound:
        memory.popitem(last=False)
