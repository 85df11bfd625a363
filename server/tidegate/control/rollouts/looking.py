"""From counts that only grow to what was counted since the last look, by rollout and phase."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.increments import Baseline, advance
from tidegate.control.rollouts.course import Course
from tidegate.control.rollouts.observer import Observer
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.timing import observes

NOTHING = Evidence()


class Looking:
    """What was consumed by now, for each service whose rollout is looked at. A restart begins at what it sees then."""

    def __init__(self, observer: Observer, settle: float) -> None:
        """``settle`` is for how many seconds of a phase durations are not counted."""
        self._observer = observer
        self._settle = settle
        self._baselines: dict[Hashable, tuple[tuple[int, float], Baseline]] = {}

    def counted(
        self, name: Hashable, namespace: str, service: str, rollout: Rollout | None, course: Course | None, now: float
    ) -> Evidence:
        """What came since the last look at this phase; nothing at its first. ``now`` is in seconds since 1970.

        The first requests to what has just begun meet cold caches: that is no harm, and would be taken for it.
        """
        if rollout is None or course is None or course.analysis is None or not observes(rollout, course):
            self._baselines.pop(name, None)
            return NOTHING
        phase = (rollout.number, rollout.renewed)
        before = self._baselines.get(name)
        baseline = before[1] if before is not None and before[0] == phase else None
        look = self._observer.look(namespace, service, rollout.stable, rollout.revision)
        evidence, baseline = advance(baseline, look, course.analysis)
        if now < rollout.renewed + self._settle:
            evidence = msgspec.structs.replace(evidence, slow=Share(), slow_executions=Share())
            baseline = Baseline(taken=look)
        self._baselines[name] = (phase, baseline)
        return evidence

    def forget(self, name: Hashable) -> None:
        """There is no such service any more."""
        self._baselines.pop(name, None)
