"""Watching a worker while it has work. An idle one is left alone, and costs no timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidegate.replicas.connection import Connection
from tidegate.replicas.lifecycle import verdict
from tidegate.replicas.settings import ReplicaSettings

_LOOKS = 4
"""Looks per time-out: a hang is noticed after at most a quarter more than the time-out."""


class Vigil:
    """``on_verdict`` is called once, with the reason, when the worker has to be replaced."""

    def __init__(self, connection: Connection, settings: ReplicaSettings, on_verdict: Callable[[str], None]) -> None:
        self._connection = connection
        self._settings = settings
        self._on_verdict = on_verdict
        self._interval = min(settings.hang_timeout, settings.execution_timeout) / _LOOKS
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """The worker got something to do, or has to end."""
        if self._timer is None:
            self._arm()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._look)

    def _look(self) -> None:
        connection = self._connection
        now = asyncio.get_running_loop().time()
        found = verdict(
            self._settings, now, connection.executing_since, connection.unanswered_since, connection.leaving_since
        )
        if found is not None:
            self._on_verdict(found)
        elif connection.inflight or connection.unanswered_since is not None or connection.draining:
            connection.ping()
            self._arm()
        else:
            self._timer = None
