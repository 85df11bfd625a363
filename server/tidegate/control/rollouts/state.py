"""The states of a rollout."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where it stands. ``machine.TABLE`` says how it goes from one to another."""

    PENDING = "Pending"
    """It is about to begin."""
    WARMING = "Warming"
    """Replicas of the new revision are started and warmed up. It answers nobody."""
    GOLDEN = "Golden"
    """It is sent requests whose answers are known. It answers nobody."""
    SHADOW = "Shadow"
    """It gets copies of requests. It answers nobody."""
    STEP = "Step"
    """It has the share of a step."""
    PROMOTING = "Promoting"
    """It is to have all of the traffic, and gets it once all its replicas are ready."""
    PAUSED = "Paused"
    """It stays as it is until somebody says more."""
    ABORTING = "Aborting"
    """The stable revision gets its traffic back."""
    SUCCEEDED = "Succeeded"
    """The new revision is the stable one."""
    ROLLED_BACK = "RolledBack"
    """The new revision was rejected, and the stable one is what it was."""
    FAILED = "Failed"
    """The new revision could not be started, and never answered anybody."""
    SUPERSEDED = "Superseded"
    """The spec means another revision by now."""


ENDED = (State.SUCCEEDED, State.ROLLED_BACK, State.FAILED, State.SUPERSEDED)
ACTIVE = tuple(state for state in State if state not in ENDED)
REJECTED = (State.ROLLED_BACK, State.FAILED)
"""The traffic stays where it was, though the spec says otherwise."""
