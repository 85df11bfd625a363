"""What the plan of a service can ask for, as values. The reconciler carries them out in their order."""

from __future__ import annotations

import msgspec

from tidegate.control.rollouts.examinations import Examine
from tidegate.control.rollouts.record import Job
from tidegate.control.scaling.scale import Scale
from tidegate.control.services.book import Book
from tidegate.resources.actuator import RevisionId, Workload
from tidegate.resources.document import Document
from tidegate.resources.store import Occurrence, Severity
from tidegate.resources.traffic import Traffic


class Resolve(msgspec.Struct, frozen=True):
    """Find out what a template's reference means, and look at the service again when that is known.

    Asking for the same ``request`` once more, while it is being found out, does nothing.
    """

    track: str
    request: str
    template: Document


class CreateRevision(msgspec.Struct, frozen=True):
    """Keep a new ServingRevision, before anything else is done with it."""

    document: Document


class Run(msgspec.Struct, frozen=True):
    """See to it that a revision runs."""

    workload: Workload


class End(msgspec.Struct, frozen=True):
    """See to it that a revision ends. It has no traffic any more."""

    revision: RevisionId


class Publish(msgspec.Struct, frozen=True):
    """Have the gateway route so."""

    traffic: Traffic


class Withdraw(msgspec.Struct, frozen=True):
    """Have the gateway forget the service."""

    namespace: str
    service: str


class WriteStatus(msgspec.Struct, frozen=True):
    """Put a status in the place of the stored one. It is for the version of the service that the plan saw."""

    document: Document


class DeleteRevision(msgspec.Struct, frozen=True):
    """Forget an old revision."""

    namespace: str
    name: str


class WriteRecord(msgspec.Struct, frozen=True):
    """Have a resource that is there to be read alone say this, status included."""

    document: Document


class WriteJob(msgspec.Struct, frozen=True):
    """Have a ServingJob say this."""

    job: Job


class Tell(msgspec.Struct, frozen=True):
    """Tell people of something that has happened, once: by an Event, by the log, by the channels of the service.

    ``transition`` is the number of the rollout's transition that it tells of; 0 where it tells of something else.
    """

    occurrence: Occurrence
    transition: int = 0


class Record(msgspec.Struct, frozen=True):
    """Tell people something about the service."""

    severity: Severity
    reason: str
    message: str


Action = (
    Resolve
    | CreateRevision
    | Run
    | End
    | Publish
    | Withdraw
    | WriteStatus
    | WriteRecord
    | WriteJob
    | DeleteRevision
    | Record
    | Tell
    | Examine
)


class Plan(msgspec.Struct, frozen=True):
    """All that is to be done now, and when to look again at the latest; None for when something changes."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Seconds since 1970."""
    examinations: frozenset[str] = frozenset()
    """Keys of those that are of concern."""
    unresolved: frozenset[str] = frozenset()
    """Tracks whose revision is not known. What was resolved for others has been made use of."""
    book: Book | None = None
    """What is decided, for the next look."""
    scales: tuple[Scale, ...] = ()
    """The revisions that are scaled from now on, and no others of the service."""
