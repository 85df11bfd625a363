"""What a person asks of a rollout that goes on: an annotation of the service, so that any client can ask.

The word is followed by an id, so that the same word can be asked for twice, and is carried out once: what was carried
out last is remembered. ::

    tidegate.dev/rollout-command: pause 6f9c2a10
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tidegate.resources.document import Document
from tidegate.resources.parts import annotations_of

COMMAND = "tidegate.dev/rollout-command"
"""The annotation."""


class Verb(StrEnum):
    """What can be asked."""

    PROMOTE = "promote"
    """Take the next step now, whatever the analysis says by now."""
    PROMOTE_FULL = "promote-full"
    """Take all of the traffic now."""
    PAUSE = "pause"
    """Stay as it is."""
    RESUME = "resume"
    """Go on."""
    ABORT = "abort"
    """Go back to the stable revision."""
    RETRY = "retry"
    """Begin again with a revision that was rejected."""


class Command(NamedTuple):
    """A verb, and which asking of it this is."""

    verb: Verb
    id: str

    def __str__(self) -> str:
        return f"{self.verb} {self.id}"


def command_of(service: Document) -> Command | None:
    """What a service's annotation asks; None for nothing, or nothing that is known."""
    verb, _, id = annotations_of(service).get(COMMAND, "").partition(" ")
    return Command(Verb(verb), id) if verb in set(Verb) and id else None
