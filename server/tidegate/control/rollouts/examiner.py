"""The port to whoever tries a revision out: by requests with known answers, and by a user's own checks."""

from __future__ import annotations

from typing import Protocol

from tidegate.analysis.verdict import Verdict
from tidegate.resources.actuator import RevisionId
from tidegate.resources.rollout import Check, Golden


class Examiner(Protocol):
    """What cannot be found out is a verdict, too: no-data, with the reason."""

    async def golden(self, revision: RevisionId, golden: Golden) -> Verdict:
        """Send the stored requests to a revision that answers nobody yet, and hold its answers against the stored ones.

        The revision is ready. A request that differs or fails is a failure; a place that cannot be read is no data.
        """
        ...

    async def ask(self, check: Check, stable: RevisionId, canary: RevisionId, phase: str) -> Verdict:
        """Ask a user's own check once. Without an answer in time that can be understood it is no data."""
        ...
