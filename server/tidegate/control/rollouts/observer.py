"""The port to whoever sees the requests of revisions."""

from __future__ import annotations

from typing import Protocol

from tidegate.analysis.observation import Look


class Observer(Protocol):
    """It is cheap to ask, and asked each second while a rollout goes on."""

    def look(self, namespace: str, service: str, stable: int, canary: int) -> Look:
        """Both revisions now, since the traffic had them under ``observed``; with a shadow the copies' outputs, too.

        While the canary is the traffic's shadow its arm counts the copies.
        """
        ...
