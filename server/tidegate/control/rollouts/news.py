"""What people are told of a rollout: each transition is an occurrence, with its numbers and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tidegate.control.rollouts.rollout import Rollout, Transition
from tidegate.control.rollouts.state import State
from tidegate.resources.document import Document, key_of
from tidegate.resources.store import Occurrence, Severity

_TYPES = {
    State.PENDING: ("rollout.started", "RolloutStarted"),
    State.WARMING: ("rollout.warming", "RolloutWarming"),
    State.GOLDEN: ("rollout.golden", "RolloutGolden"),
    State.SHADOW: ("rollout.shadow", "RolloutShadow"),
    State.STEP: ("rollout.step", "RolloutStep"),
    State.PROMOTING: ("rollout.promoting", "RolloutPromoting"),
    State.PAUSED: ("rollout.paused", "RolloutPaused"),
    State.ABORTING: ("rollout.aborting", "RolloutAborting"),
    State.SUCCEEDED: ("rollout.succeeded", "RolloutSucceeded"),
    State.ROLLED_BACK: ("rollout.rolledBack", "RolloutRolledBack"),
    State.FAILED: ("rollout.failed", "RolloutFailed"),
    State.SUPERSEDED: ("rollout.superseded", "RolloutSuperseded"),
}
_BAD = (State.PAUSED, State.ABORTING, State.ROLLED_BACK, State.FAILED)


def untold(service: Document, rollout: Rollout) -> Iterator[tuple[int, Occurrence]]:
    """What people have not been told of, the earliest first, each with the number of its transition."""
    for transition in rollout.transitions:
        if transition.number > rollout.told:
            yield transition.number, occurrence_of(service, rollout, transition)


def occurrence_of(service: Document, rollout: Rollout, transition: Transition) -> Occurrence:
    """One transition. Its id says which, so that it is told once however often this is asked for."""
    uid = service["metadata"]["uid"]
    type, reason = _TYPES[transition.target]
    return Occurrence(
        id=f"{uid}/rollout/{rollout.number}/{transition.number}",
        type=type,
        about=key_of(service),
        uid=uid,
        severity=Severity.WARNING if transition.target in _BAD else Severity.NORMAL,
        reason=reason,
        message=sentence_of(rollout, transition),
        time=transition.time,
        data={
            "rollout": rollout.number,
            "revision": rollout.revision,
            "stable": rollout.stable,
            "strategy": rollout.strategy,
            "from": str(transition.source or ""),
            "to": str(transition.target),
            "step": transition.step,
            "verdicts": [msgspec.to_builtins(verdict) for verdict in transition.verdicts],
        },
    )


def sentence_of(rollout: Rollout, transition: Transition) -> str:
    """What happened, and why."""
    revision, stable = f"revision {rollout.revision}", f"revision {rollout.stable}"
    told = {
        State.PENDING: f"rollout {rollout.number} begins ({rollout.strategy})",
        State.WARMING: f"{revision} is started",
        State.GOLDEN: f"{revision} is sent its golden requests",
        State.SHADOW: f"{revision} gets copies of requests",
        State.STEP: f"{revision} takes step {transition.step}",
        State.PROMOTING: f"{revision} is promoted",
        State.PAUSED: f"the rollout of {revision} is paused",
        State.ABORTING: f"{revision} is taken back",
        State.SUCCEEDED: f"{revision} has taken over from {stable}",
        State.ROLLED_BACK: f"{revision} was rolled back, {stable} answers",
        State.FAILED: f"{revision} could not be started, {stable} answers",
        State.SUPERSEDED: f"the rollout of {revision} is superseded",
    }[transition.target]
    return f"{told}: {transition.message}"
