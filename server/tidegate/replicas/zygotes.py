"""The zygotes of a server: at most one for each kind of worker, started when it is worth it, replaced when it ends.

A kind is a runtime and a number of threads, because libraries read the latter when they are imported. Whoever starts a
worker asks for the zygote of its kind, and spawns it where there is none. A zygote takes memory, so the first one of a
kind is started only when workers of that kind have been seen to come again; and never while a worker of it starts,
since both would want the same cores.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

import msgspec

from tidegate.replicas.environment import worker_environment
from tidegate.replicas.settings import StartMethod
from tidegate.replicas.zygote import Zygote

log = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0
"""Seconds before a zygote that has ended is replaced; each further one in a row that has forked nothing doubles it."""
_FAILURES = 5
"""In a row, then workers of this kind are spawned for good."""


class Kind(msgspec.Struct, frozen=True):
    """``threads`` is 0 for the framework's own choice."""

    runtime: str
    threads: int


class Place:
    """What is known of one kind."""

    def __init__(self) -> None:
        self.zygote: Zygote | None = None
        self.retry: asyncio.TimerHandle | None = None
        self.seen = False
        """Whether a worker of this kind has been ready."""
        self.wanted = False
        """Whether one was wanted after that."""
        self.refused = False
        self.failures = 0

    def close(self) -> None:
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None
        if self.zygote is not None:
            self.zygote.close()
            self.zygote = None


class Zygotes:
    """``most`` run at once; one more ends the one that has not been asked for longest. ``timeout`` is in seconds, see
    ``ReplicaSettings.zygote_timeout``. Nothing runs before a worker has.
    """

    def __init__(self, most: int = 4, timeout: float = 10.0) -> None:
        self._most = most
        self._timeout = timeout
        self._places: dict[Kind, Place] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<Zygotes of {', '.join(sorted(kind.runtime for kind in self.running)) or 'nothing'}>"

    @property
    def running(self) -> Mapping[Kind, Zygote]:
        """Those that are there, ready or not, the one that was asked last at the end."""
        return {kind: place.zygote for kind, place in self._places.items() if place.zygote is not None}

    def take(self, kind: Kind, method: StartMethod) -> Zygote | None:
        """A worker is to be started: the zygote to fork it from, None to spawn it."""
        if method == "spawn":
            return None
        place = self._places.pop(kind) if kind in self._places else Place()
        self._places[kind] = place  # at the end: it was asked last
        place.wanted = place.wanted or place.seen
        return place.zygote if place.zygote is not None and place.zygote.ready else None

    def worker_ready(self, kind: Kind, method: StartMethod) -> None:
        """A worker of this kind has started: the time for a zygote, if there is to be one. Called in the loop."""
        if method == "spawn":
            return
        place = self._places.setdefault(kind, Place())
        place.seen = True
        if (method == "zygote" or place.wanted) and place.zygote is None and place.retry is None:
            self._start(kind)

    def close(self) -> None:
        """End them all, for good. Their workers go on."""
        self._closed = True
        for place in self._places.values():
            place.close()

    def _start(self, kind: Kind) -> None:
        place = self._places[kind]
        place.retry = None
        if self._closed or place.refused:
            return
        running = list(self.running)
        for other in running[: len(running) - self._most + 1]:
            self._places.pop(other).close()
        environment = worker_environment(os.environ, kind.threads)
        zygote = Zygote(
            kind.runtime, environment, self._timeout, lambda zygote, refusal: self._heard(kind, zygote, refusal)
        )
        try:
            zygote.start()
        except OSError as error:
            log.warning("no zygote of runtime %s can be started: %s", kind.runtime, error)
            self._again(kind)
            return
        place.zygote = zygote

    def _heard(self, kind: Kind, zygote: Zygote, refusal: str) -> None:
        place = self._places.get(kind)
        if place is None or place.zygote is not zygote:
            return
        if zygote.ready:
            log.info("workers of runtime %s are forked from process %s from now on", kind.runtime, zygote.pid)
            return
        place.zygote = None
        if refusal:
            place.refused = True
            log.info("workers of runtime %s are spawned, not forked: %s", kind.runtime, refusal)
            return
        if zygote.forked:
            place.failures = 0
        log.warning("the zygote of runtime %s has ended", kind.runtime)
        self._again(kind)

    def _again(self, kind: Kind) -> None:
        place = self._places[kind]
        place.failures += 1
        if place.failures >= _FAILURES:
            place.refused = True
            log.error("workers of runtime %s are spawned: %d zygotes came to nothing", kind.runtime, place.failures)
            return
        pause = _FIRST_PAUSE * 2.0 ** (place.failures - 1)
        place.retry = asyncio.get_running_loop().call_later(pause, self._start, kind)
