"""Who sees requests and who tries revisions out, scripted by a test: the ports of ``control.rollouts``."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from tidegate.analysis.histogram import Histogram
from tidegate.analysis.observation import Comparison, Look, Observation
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.resources.actuator import RevisionId
from tidegate.resources.rollout import Check, Golden


class FakeObserver:
    """Implements the Observer: a test says what revisions of a service answered."""

    def __init__(self) -> None:
        self._requests: defaultdict[RevisionId, list[int]] = defaultdict(lambda: [0, 0])
        self._latency: defaultdict[RevisionId, Histogram] = defaultdict(Histogram)
        self.outputs = Comparison()
        """What copies of requests came to."""
        self.looks = 0

    def answered(self, revision: RevisionId, requests: int, failures: int = 0, seconds: float = 0.01) -> None:
        """So many more requests, of which so many failed by its fault; the others took so long each."""
        self._requests[revision][0] += requests
        self._requests[revision][1] += failures
        for _ in range(requests - failures):
            self._latency[revision].add(seconds)

    def look(self, namespace: str, service: str, stable: int, canary: int) -> Look:
        self.looks += 1
        arms = [self._seen(RevisionId(namespace, service, number)) for number in (stable, canary)]
        return Look(arms[0], arms[1], self.outputs)

    def _seen(self, revision: RevisionId) -> Observation:
        requests, failures = self._requests[revision]
        latency = self._latency[revision].counts()
        return Observation(requests, failures, latency, {1: latency})


class FakeExaminer:
    """Implements the Examiner: all is well, but for what a test says."""

    def __init__(self, takes: float = 0.1) -> None:
        self.takes = takes
        """Seconds of the loop for one examination."""
        self.verdicts: dict[str, Verdict | Exception] = {}
        """What is said of ``golden`` and of checks by their names."""
        self.asked: list[tuple[str, RevisionId, str]] = []
        """What was examined, of which revision, in which phase; golden in ``Golden``."""

    async def golden(self, revision: RevisionId, golden: Golden) -> Verdict:
        return await self._say("golden", "golden", revision, "Golden")

    async def ask(self, check: Check, stable: RevisionId, canary: RevisionId, phase: str) -> Verdict:
        return await self._say(check.name, f"check/{check.name}", canary, phase)

    async def _say(self, name: str, check: str, revision: RevisionId, phase: str) -> Verdict:
        self.asked.append((name, revision, phase))
        await asyncio.sleep(self.takes)
        said = self.verdicts.get(name, Verdict(check, Outcome.PASS, f"{check}: pass"))
        if isinstance(said, Exception):
            raise said
        return said
