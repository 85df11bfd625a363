"""Watching a service and its rollouts until what is waited for has come: the shell around ``rollouts``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol

from tidegate.cli.failure import Failure
from tidegate.cli.found import label, space
from tidegate.cli.history import SERVICE_LABEL, of_service
from tidegate.cli.kinds import find_type, known_types
from tidegate.cli.rollouts import Judgement, judged, under_way
from tidegate.cli.target import Session
from tidegate.cli.waiting import Deadline, late
from tidegate.client.resource_calls import Document, Listing, Selection
from tidegate.client.resource_type import ResourceType
from tidegate.protocol.errors import TidegateError, shown

TICK = 1.0
"""Seconds between two looks at the clock and at the events, which cannot be watched."""


class Sight(NamedTuple):
    """A service as it is, and its rollouts, the oldest first."""

    service: Document
    rollouts: list[Document]


class Screen(Protocol):
    """Who shows what is followed."""

    def show(self, sight: Sight, judgement: Judgement, events: Sequence[Document]) -> None:
        """What is seen now, and what was told of the service if there is a rollout."""
        ...


def rollouts_of(session: Session, service: Document) -> list[Document]:
    """The rollouts of a service, the oldest first."""
    kind, selection = _selected(session, service["metadata"]["name"])
    return of_service(session.resources.list(kind, selection).items, service)


def sights(session: Session, kind: ResourceType, name: str) -> Generator[Sight, None, None]:
    """A service and its rollouts now, after each change, and every ``TICK`` seconds.

    Raises:
        Failure: the service is not there, or not any more.
    """
    mine = Selection(space(session, kind), fields=f"metadata.name={name}")
    other, theirs = _selected(session, name)
    services, rollouts = session.resources.list(kind, mine), session.resources.list(other, theirs)
    service = next(iter(services.items), None)
    held = {each["metadata"]["name"]: each for each in rollouts.items}
    watched: list[tuple[ResourceType, Selection, Listing]] = [(kind, mine, services), (other, theirs, rollouts)]
    with closing(session.resources.together(watched, tick=TICK)) as coming:
        while service is not None:
            yield Sight(service, of_service(list(held.values()), service))
            for of, change in next(coming):
                gone = change.type == "DELETED"
                if of == kind:
                    service = None if gone else change.document
                elif gone:
                    held.pop(change.document["metadata"]["name"], None)
                else:
                    held[change.document["metadata"]["name"]] = change.document
    raise Failure(f"{label(kind, name)} was deleted")


def follow(
    session: Session, kind: ResourceType, name: str, deadline: Deadline, screen: Screen, *, patient: bool
) -> Judgement:
    """Wait until the newest change of a service is done. With ``patient`` a rollout that goes on may take as long as it
    does: the deadline is for all else.

    Raises:
        Failure: it cannot be done, or is paused, or is not done in time (NOT_READY).
    """
    followed = ""
    with closing(sights(session, kind, name)) as seen:
        for sight in seen:
            judgement = judged(*sight, followed)
            rollout = judgement.rollout
            followed = rollout["metadata"]["name"] if rollout is not None else ""
            screen.show(sight, judgement, _events(session, kind, name) if followed else ())
            if judgement.failure is not None:
                raise judgement.failure
            if judgement.verdict.met:
                return judgement
            endless = patient and rollout is not None and under_way(rollout)
            if not deadline.remaining and not endless:
                raise late(kind, name, deadline, judgement.verdict.told)
    raise AssertionError("a sight has no end")


def look(session: Session, kind: ResourceType, name: str) -> tuple[Sight, Judgement, Sequence[Document]]:
    """How it stands now, without waiting, and what was told about it.

    Raises:
        Failure: it cannot be done.
    """
    with closing(sights(session, kind, name)) as seen:
        sight = next(seen)
    return sight, judged(*sight), _events(session, kind, name)


def until(session: Session, kind: ResourceType, name: str, met: Callable[[Sight], str], deadline: Deadline) -> str:
    """Wait until ``met`` says something of what is seen, and return that.

    Raises:
        Failure: it says nothing in time (NOT_READY), or raises.
    """
    with closing(sights(session, kind, name)) as seen:
        for sight in seen:
            if told := met(sight):
                return told
            if not deadline.remaining:
                raise late(kind, name, deadline, "the server has not done it yet")
    raise AssertionError("a sight has no end")


def told_of(kind: ResourceType, name: str) -> Callable[[str], None]:
    """Prints on stderr what is waited for, as it changes."""
    last = ""

    def tell(told: str) -> None:
        nonlocal last
        if told != last:
            print(f"{kind.kind.lower()}/{shown(name)}: {told}", file=sys.stderr, flush=True)
        last = told

    return tell


def _selected(session: Session, service: str) -> tuple[ResourceType, Selection]:
    return find_type("ServingRollout", known_types()), Selection(session.namespace, f"{SERVICE_LABEL}={service}")


def _events(session: Session, kind: ResourceType, name: str) -> Sequence[Document]:
    try:
        return session.resources.events(space(session, kind), kind=kind.kind, name=name)
    except TidegateError:  # who may not see events sees the rest
        return []
