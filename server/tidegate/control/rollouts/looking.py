"""From counts that only grow to what was counted since the last look, by rollout and phase."""

from __future__ import annotations

from collections.abc import Hashable

from tidegate.analysis.evidence import Evidence
from tidegate.analysis.increments import Baseline, advance
from tidegate.control.rollouts.course import Course
from tidegate.control.rollouts.observer import Observer
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.timing import observes

NOTHING = Evidence()


class Looking:
    """What was consumed by now, for each service whose rollout is looked at. A restart begins at what it sees then."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._baselines: dict[Hashable, tuple[tuple[int, float], Baseline]] = {}

    def counted(
        self, name: Hashable, namespace: str, service: str, rollout: Rollout | None, course: Course | None
    ) -> Evidence:
        """What came since the last look at this phase; nothing at its first."""
        if rollout is None or course is None or course.analysis is None or not observes(rollout, course):
            self._baselines.pop(name, None)
            return NOTHING
        phase = (rollout.number, rollout.renewed)
        before = self._baselines.get(name)
        baseline = before[1] if before is not None and before[0] == phase else None
        look = self._observer.look(namespace, service, rollout.stable, rollout.revision)
        evidence, baseline = advance(baseline, look, course.analysis)
        self._baselines[name] = (phase, baseline)
        return evidence

    def forget(self, name: Hashable) -> None:
        """There is no such service any more."""
        self._baselines.pop(name, None)
