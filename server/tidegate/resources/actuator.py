"""The Actuator port: who runs the replicas of revisions. Child processes on a laptop, Deployments in a cluster.

It is level-based: told again what it was told before, it does nothing. What it was asked for and what there is may
differ for a while, and it says when that changes. It decides nothing: which revisions run, and how many replicas each
has, is the reconciler's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from tidegate.resources.document import Document

Progress = Callable[[float], None]
"""Is told how much of some work is done, from 0 to 1; never less than before."""


class RevisionId(NamedTuple):
    """The address of a revision: a service, and the number that it has there."""

    namespace: str
    service: str
    number: int

    def __str__(self) -> str:
        return f"revision {self.number} of {self.namespace}/{self.service}"


class Resolved(msgspec.Struct, frozen=True):
    """What a template's reference to a model turned out to mean, so that it never means anything else again."""

    uri: str
    """As the template has it; "" where containers bring the model."""
    digest: str
    """``sha256:…`` of the model's content; "" where nothing here can tell it."""
    version: str = ""
    """The model version of the directory or registry; "" where it has none, and the revision's number is taken."""
    runtime: str = ""
    """Who reads it: the runtime's name, with its framework's version after a slash where that is known."""
    format: str = ""
    at: float = 0.0
    """When, in seconds since 1970."""


class Workload(msgspec.Struct, frozen=True):
    """A revision that is to run, and how. Only ``replicas`` and ``sleeps`` may change while it runs."""

    id: RevisionId
    template: Document
    """What forms a revision, of the service's spec (``resources.revision``)."""
    resolved: Resolved
    replicas: int = 1
    """How many it is to have. 0 of one that sleeps is for it to sleep as soon as nobody uses it; more after that, to be
    awake again."""
    sleeps: bool = False
    """Whether it may have no replica while nobody uses it. A request wakes it, whatever is asked for here."""
    known: bool = False
    """Whether it answered before: that it cannot be loaded is a fault that may pass, and one that sleeps need not be
    loaded at its start to know that it can."""


def version_of(workload: Workload) -> str:
    """The model version that callers see: the directory's or registry's, or else the revision's number."""
    return workload.resolved.version or str(workload.id.number)


class Phase(StrEnum):
    STARTING = "Starting"
    """No replica is ready yet, and it is being tried."""
    READY = "Ready"
    """At least one replica takes requests, or a request wakes one."""
    FAILED = "Failed"
    """No replica is ready, and trying goes on at most slowly: the reason says why."""
    ENDING = "Ending"
    """It is routed to no more, and finishes what it has."""


class Standing(msgspec.Struct, frozen=True):
    """How a revision stands."""

    phase: Phase
    ready: int = 0
    """Replicas that take requests."""
    wanted: int = 0
    """Replicas that it is to have; none of one that is ending."""
    reason: str = ""
    """One sentence, for people; "" where it is as it should be."""
    sleeps: bool = False
    """Whether it was asked to run as one that sleeps."""
    asleep: bool = False
    """Whether it has no replica because nobody uses it: a request waits until it has."""

    @property
    def answers(self) -> bool:
        """Whether it may be routed to."""
        return self.ready > 0 or self.asleep

    @property
    def full(self) -> bool:
        """Whether it has all the replicas that it is to have; one that sleeps needs none."""
        return self.phase is Phase.READY and (self.asleep or self.ready >= self.wanted)


class Actuator(Protocol):
    """Every call may raise ``StateUnavailable``, and ``ShuttingDown`` once it closes."""

    async def run(self, workload: Workload) -> None:
        """See to it that the revision runs so. Returns once it is noted, long before it is ready. One of no replicas is
        to end, unless it sleeps.

        A revision that is ending and is asked for again goes on running if it still can, and else starts anew.
        """
        ...

    async def end(self, revision: RevisionId) -> None:
        """See to it that the revision ends once its requests are answered. It is routed to no more by now."""
        ...

    async def observe(self, namespace: str, service: str) -> Mapping[int, Standing]:
        """How the revisions of a service stand, by number. One that is not there does not run."""
        ...

    def subscribe(self, changed: Callable[[str, str], None]) -> None:
        """Have ``changed(namespace, service)`` called, in the event loop, whenever what ``observe`` tells changed."""
        ...


class Resolver(Protocol):
    """Who finds out what a template's reference to a model means now."""

    async def resolve(self, namespace: str, template: Document, progress: Progress | None = None) -> Resolved:
        """Find the model, fetch it where it must be, and tell what it is. It is kept until ``keep`` lets go of it.

        A ``digest`` in the template is held against what is found; where that content is kept already, nothing is
        read from the reference. ``progress`` is called in the event loop, a hundred times at most and not after this
        has returned; who cannot tell how much there is to fetch does not call it.

        Raises:
            ModelLoadFailed: there is no such model, it is not what the digest says, or this machine cannot read it.
            UntrustedModel: its format can execute code, and nobody has vouched for it.
        """
        ...

    async def keep(self, digests: frozenset[str]) -> None:
        """Keep the content of these digests from now on, and of no others."""
        ...
