"""Who sees revisions and who tries them out, as a test says: for rollouts in virtual time.

Both implement the ports of ``tidegate.control.rollouts``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tidegate.analysis.observation import Look
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.resources.actuator import RevisionId
from tidegate.resources.rollout import Check, Golden


class FakeObserver:
    """Sees what was last ``shown`` of a canary; ``looks`` tells who has looked at what."""

    def __init__(self) -> None:
        self.looks: list[tuple[str, str, int, int]] = []
        self._shown: dict[tuple[str, str, int], Look] = {}

    def show(self, look: Look, canary: int, service: str = "iris", namespace: str = "default") -> None:
        """Let it be seen from now on."""
        self._shown[namespace, service, canary] = look

    def look(self, namespace: str, service: str, stable: int, canary: int) -> Look:
        """See Observer."""
        self.looks.append((namespace, service, stable, canary))
        return self._shown.get((namespace, service, canary), Look())


class FakeExaminer:
    """Comes to the verdicts that it was told, each once and the last for ever; without one it passes.

    ``gate``, while set, holds it until it is opened. ``tried`` and ``asked`` tell what it was to do.
    """

    def __init__(self) -> None:
        self.tried: list[tuple[RevisionId, Golden]] = []
        self.asked: list[tuple[str, RevisionId, RevisionId, str]] = []
        self.gate: asyncio.Event | None = None
        self._verdicts: dict[str, list[Verdict]] = {}

    def tell(self, check: str, outcomes: Iterable[Outcome], sentence: str = "it was told so") -> None:
        """Come to these outcomes of ``golden``, or of ``check/NAME``, one after the other."""
        self._verdicts[check] = [Verdict(check, outcome, f"{check}: {sentence}") for outcome in outcomes]

    async def golden(self, revision: RevisionId, golden: Golden) -> Verdict:
        """See Examiner."""
        self.tried.append((revision, golden))
        return await self._verdict("golden")

    async def ask(self, check: Check, stable: RevisionId, canary: RevisionId, phase: str) -> Verdict:
        """See Examiner."""
        self.asked.append((check.name, stable, canary, phase))
        return await self._verdict(f"check/{check.name}")

    async def _verdict(self, check: str) -> Verdict:
        if self.gate is not None:
            await self.gate.wait()
        told = self._verdicts.get(check)
        if not told:
            return Verdict(check, Outcome.PASS, f"{check}: it passes")
        return told.pop(0) if len(told) > 1 else told[0]
