"""What the machine is told at one look: what the spec means, how revisions stand, what was counted, what was asked."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.analysis.evidence import Evidence
from tidegate.analysis.settings import AnalysisSettings
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.control.rollouts.course import Course, Hold
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.state import State
from tidegate.control.rollouts.timing import hold_of, timeout_of
from tidegate.resources.rollout_command import Command

Judge = Callable[[Evidence, AnalysisSettings, bool], tuple[Verdict, ...]]
"""Verdicts of what was counted; the last argument says whether the canary's requests were a shadow's copies."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Revisions are numbers, 0 is none."""

    newest: int
    """The revision that the spec means; 0 while that is not known."""
    stable: int
    """The revision that is rolled out."""
    course: Course | None
    """None: a new revision takes over once it is ready."""
    running: frozenset[int] = frozenset()
    """Revisions that run and are not ending."""
    ready: frozenset[int] = frozenset()
    """Revisions with a replica that takes requests."""
    full: bool = False
    """Whether the newest has as many ready replicas as it is to have."""
    broken: str = ""
    """Why the newest cannot be started, in a sentence; "" where it can."""
    undone: bool = False
    """Whether it is an undo that the newest came by: that is a switch, and no rollout."""
    stopped: bool = False
    command: Command | None = None
    """What was asked last."""
    counted: Evidence = Evidence()
    """Since the look before."""
    golden: Verdict | None = None
    """What came of the requests with known answers; None while that is not known."""
    checks: tuple[Verdict, ...] = ()
    """The last verdict of each of the user's own checks that has one."""


class Moment(msgspec.Struct, frozen=True):
    """A rollout in its situation: what events and guards look at. ``rollout`` is None before the first."""

    rollout: Rollout | None
    situation: Situation
    verdicts: tuple[Verdict, ...]
    now: float

    @property
    def going(self) -> Rollout:
        """The rollout, where there must be one."""
        assert self.rollout is not None, "there is no rollout"
        return self.rollout

    @property
    def course(self) -> Course:
        """The course, where there must be one: without it a rollout is superseded before anything else."""
        assert self.situation.course is not None, "there is no course"
        return self.situation.course

    @property
    def hold(self) -> Hold:
        """That of the phase that it is in."""
        return hold_of(self.going, self.course)

    @property
    def waited(self) -> float:
        """Seconds in this phase."""
        return self.now - self.going.since

    @property
    def samples(self) -> int:
        """Requests to the new revision in this phase; of a shadow they are the copies."""
        return self.going.evidence.canary_errors.of

    @property
    def timeout(self) -> float:
        """Seconds from the phase's beginning after which it is late."""
        return timeout_of(self.going, self.course)

    @property
    def harm(self) -> Verdict | None:
        """The first verdict that speaks against the new revision."""
        return next((each for each in self.verdicts if each.outcome is Outcome.FAIL), None)

    @property
    def command(self) -> Command | None:
        """What was asked and is not carried out yet."""
        asked = self.situation.command
        done = self.rollout.command if self.rollout else ""
        return None if asked is None or str(asked) == done else asked


def judged(rollout: Rollout, situation: Situation, judge: Judge) -> tuple[Verdict, ...]:
    """All verdicts of the phase that a rollout is in."""
    course = situation.course
    if course is None or rollout.at not in (State.GOLDEN, State.SHADOW, State.STEP, State.PROMOTING):
        return ()
    if rollout.at is State.GOLDEN:
        return () if situation.golden is None else (situation.golden,)
    if rollout.at is State.PROMOTING and not rollout.weight:
        return ()
    counted = () if course.analysis is None else judge(rollout.evidence, course.analysis, rollout.at is State.SHADOW)
    return (*counted, *situation.checks)
