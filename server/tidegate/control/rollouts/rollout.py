"""One rollout, as a value: all that the machine remembers of it between two looks, and a restart must keep."""

from __future__ import annotations

import msgspec

from tidegate.analysis.evidence import Evidence
from tidegate.analysis.verdict import Verdict
from tidegate.control.rollouts.state import ENDED, REJECTED, State

REMEMBERED = 64
"""Transitions; a rollout that goes on for ever, paused and resumed, forgets its oldest."""


class Transition(msgspec.Struct, frozen=True):
    """From one state to another. ``number`` counts those of the rollout from 1."""

    number: int
    time: float
    """Seconds since 1970."""
    source: State | None
    """None of the first."""
    target: State
    message: str
    """One sentence: why."""
    step: int = 0
    """The step that the rollout is in after it, from 1; 0 for none."""
    verdicts: tuple[Verdict, ...] = ()
    """What it was decided by, where it was decided by numbers."""


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """From one revision of a service to another. Revisions are numbers; times are seconds since 1970."""

    number: int
    """Which of its service, from 1."""
    revision: int
    """The one that is to take over."""
    stable: int
    """The one that it is to take over from."""
    strategy: str
    state: State = State.PENDING
    step: int = 0
    """The index of its step, from 0; what it was before while it is paused."""
    weight: int = 0
    """Per cent of the traffic that the new revision is to have."""
    paused: State | None = None
    """Where it goes on after a pause."""
    began: float
    since: float
    """When it came into its state."""
    renewed: float = 0.0
    """When its evidence began anew."""
    evidence: Evidence = Evidence()
    """Of the step or the phase that it is in."""
    verdicts: tuple[Verdict, ...] = ()
    """At the last look."""
    reported: float = 0.0
    """When evidence and verdicts were written down last: they change with every look, and are written less often."""
    command: str = ""
    """What was asked last and was carried out, or passed over."""
    left: bool = False
    """Whether the spec has meant another revision since it ended, or another one became the stable one: if the spec
    means this one again, that is a new rollout."""
    stood_still: bool = False
    """Whether its service was stopped at the last look: no time passes for it."""
    count: int = 0
    """Transitions so far."""
    transitions: tuple[Transition, ...] = ()
    """The last of them."""
    told: int = 0
    """Transitions that people have been told of."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def rejected(self) -> bool:
        """Whether its revision is not to have traffic, though the spec means it."""
        return self.state in REJECTED

    @property
    def at(self) -> State:
        """Its state, and while it is paused the one that it was in before."""
        return self.paused or self.state if self.state is State.PAUSED else self.state

    @property
    def message(self) -> str:
        """Why it is in its state."""
        return self.transitions[-1].message if self.transitions else ""
