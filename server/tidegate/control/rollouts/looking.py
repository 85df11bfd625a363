"""From counts that only grow to what was counted since the last look, by rollout and phase."""

from __future__ import annotations

import msgspec

from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.histogram import Counts, difference, fell
from tidegate.analysis.increments import Baseline, advance
from tidegate.analysis.observation import Look
from tidegate.control.rollouts.course import Course
from tidegate.control.rollouts.observer import Observer
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.timing import observes

Service = tuple[str, str]
"""Its namespace and its name."""
Durations = tuple[Counts, Counts]
"""Of requests to the stable revision and to the new one, since the phase began: for people, they decide nothing."""


class Counted(msgspec.Struct, frozen=True):
    """What was seen at one look."""

    evidence: Evidence = Evidence()
    """Since the look before."""
    durations: Durations | None = None
    """None before there are some."""


NOTHING = Counted()


class _Phase(msgspec.Struct):
    """Up to where a phase has been counted."""

    rollout: int
    renewed: float
    begin: Look
    baseline: Baseline


class Looking:
    """What was consumed by now, for each service whose rollout is looked at. A restart begins at what it sees then."""

    def __init__(self, observer: Observer, settle: float) -> None:
        """``settle`` is for how many seconds of a phase durations are not counted."""
        self._observer = observer
        self._settle = settle
        self._phases: dict[Service, _Phase] = {}

    def counted(self, service: Service, rollout: Rollout | None, course: Course | None, now: float) -> Counted:
        """What came since the last look at this phase; nothing at its first. ``now`` is in seconds since 1970.

        The first requests to what has just begun meet cold caches: that is no harm, and would be taken for it.
        """
        if rollout is None or course is None or course.analysis is None or not observes(rollout, course):
            self._phases.pop(service, None)
            return NOTHING
        look = self._observer.look(*service, rollout.stable, rollout.revision)
        phase = self._phases.get(service)
        if phase is None or (phase.rollout, phase.renewed) != (rollout.number, rollout.renewed):
            self._phases[service] = _Phase(rollout.number, rollout.renewed, look, Baseline(taken=look))
            return NOTHING
        evidence, phase.baseline = advance(phase.baseline, look, course.analysis)
        if now < rollout.renewed + self._settle:
            evidence = msgspec.structs.replace(evidence, slow=Share(), slow_executions=Share())
            phase.baseline = Baseline(taken=look)
            phase.begin = look
        return Counted(evidence, _between(phase.begin, look))

    def forget(self, service: Service) -> None:
        """There is no such service any more."""
        self._phases.pop(service, None)


def _between(begin: Look, now: Look) -> Durations | None:
    """None where one of them has none, or began to count anew."""
    pairs = ((begin.stable.latency, now.stable.latency), (begin.canary.latency, now.canary.latency))
    if any(fell(after, before) for before, after in pairs):
        return None
    stable, canary = (difference(after, before) for before, after in pairs)
    return (stable, canary) if any(stable) and any(canary) else None
