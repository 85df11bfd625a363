"""ServingRollout (tidegate.dev/v1): how one revision of a service takes over from another, or does not.

The server writes it. Its status is what ``tidegate rollout status`` shows; times are RFC 3339, and what does not apply
is not there::

    phase: Step               # Pending, Warming, Golden, Shadow, Step, Promoting, Aborting, Paused; at the end
                              # Succeeded, RolledBack, Failed, Superseded
    message: errors 0.2 % vs 0.2 %, n = 431: pass        # one sentence: why it is in this phase, or what it waits for
    step: 2                   # from 1, in Step
    steps: 3
    weight: 10                # per cent of the traffic that the new revision has
    pausedPhase: Step         # what goes on after a pause
    since: …                  # when the phase began
    passAfter: …              # it cannot pass before
    passBy: …                 # it passes then although harm is not excluded, if nothing speaks against it
    timeoutAt: …              # without a verdict it is paused, or rolled back, then
    startedAt: …
    endedAt: …
    verdicts: [{check: errors, outcome: pass, sentence: …, numbers: {…}}]
    transitions: [{number: 1, time: …, from: Pending, to: Warming, message: …}]
"""

from __future__ import annotations

from typing import Literal

from tidegate.resources.metadata import Resource
from tidegate.resources.scalars import Count, Positive
from tidegate.resources.section import Section
from tidegate.resources.serving_revision import ServiceReference


class ServingRolloutSpec(Section):
    """What it is about."""

    service: ServiceReference
    """Whose rollout it is."""
    number: Positive
    """Which of that service; numbers are never used again."""
    revision: Positive
    """The revision that is to take over."""
    stable: Count
    """The revision that had the traffic when it began."""
    strategy: Literal["immediate", "blueGreen", "canary", "shadow"]
    """How, as the service said when it began."""


class ServingRollout(Resource):
    """A change of a service from one revision to another."""

    api_version: Literal["tidegate.dev/v1"]
    """Group and version of the kind: tidegate.dev/v1."""
    kind: Literal["ServingRollout"]
    """The kind: ServingRollout."""
    spec: ServingRolloutSpec
    """What it is about."""
