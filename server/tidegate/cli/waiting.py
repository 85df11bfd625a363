"""Waiting until a resource is what it is to be: the shell around ``goals``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.found import space
from tidegate.cli.goals import Goal, Verdict, judge
from tidegate.cli.target import Session
from tidegate.client.resource_calls import Document
from tidegate.client.resource_type import ResourceType
from tidegate.protocol.errors import DeadlineExceeded, shown

Judge = Callable[[Document | None], Verdict]


class Deadline:
    """A time that several waits share."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._end - time.monotonic())


def parse_deadline(text: str) -> Deadline:
    """A deadline from ``30s``, ``1m30s``, or a number of seconds; 0 is to look once.

    Raises:
        Failure: it is neither.
    """
    from tidegate.resources.scalars import Span

    try:
        seconds = Span("s").read(int(text) if text.isdecimal() and len(text) < 10 else text).seconds
    except ValueError as error:
        raise Failure(f"'{shown(text)}' is no time", f"expected {error}", Exit.USAGE) from error
    return Deadline(seconds)


def wait_for(
    session: Session, kind: ResourceType, name: str, goal: Goal, deadline: Deadline, *, uid: str = ""
) -> Document | None:
    """Wait for a goal. Each piece of news is told on stderr.

    Raises:
        Failure: it was not reached in time; NOT_READY.
    """
    return wait_until(session, kind, name, lambda document: judge(goal, document, uid), deadline)


def wait_until(session: Session, kind: ResourceType, name: str, decide: Judge, deadline: Deadline) -> Document | None:
    """The same with any decision.

    Raises:
        Failure: as above.
    """
    told = ""

    def met(document: Document | None) -> bool:
        nonlocal told
        verdict = decide(document)
        if not verdict.met and verdict.told != told:
            print(f"{kind.kind.lower()}/{shown(name)}: {verdict.told}", file=sys.stderr, flush=True)
        told = verdict.told
        return verdict.met

    try:
        return session.resources.wait(kind, name, space(session, kind), met, timeout=deadline.remaining)
    except DeadlineExceeded as error:
        raise late(kind, name, deadline, told) from error


def late(kind: ResourceType, name: str, deadline: Deadline, told: str) -> Failure:
    """What is said where something is not in time; ``told`` is how it is instead."""
    named = f"{kind.kind.lower()}/{shown(name)}"
    cause = f"{named} was not as wanted within {deadline.seconds:g} s: {told}"
    return Failure(cause, f"`tidegate describe {named}` tells more", Exit.NOT_READY)
