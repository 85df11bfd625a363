"""What people are told when the state of a service changes: the difference of two looks, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from tidegate.control.rollouts.state import State
from tidegate.control.services.actions import Record, Tell
from tidegate.control.services.book import Book
from tidegate.control.services.conditions import TRUE
from tidegate.control.services.model_status import LOAD_FAILED
from tidegate.resources.document import Document, key_of
from tidegate.resources.parts import at, part
from tidegate.resources.revision import STABLE
from tidegate.resources.store import Occurrence, Severity


def told(
    service: Document, status: Document, before: Book, book: Book, now: float, *, first: bool
) -> list[Record | Tell]:
    """The events of a change from the service's stored status, and what it remembers there, to these. At the first look
    of a process nothing is ready yet, which is no event. What a rollout comes to, ``rollouts.news`` tells."""
    return list(_told(service, status, before, book, now, first))


def _told(
    service: Document, status: Document, before: Book, book: Book, now: float, first: bool
) -> Iterator[Record | Tell]:
    was = part(service, "status")
    newest, newest_before = (each.tracks[STABLE].created if STABLE in each.tracks else 0 for each in (book, before))
    if newest != newest_before:
        yield Record(Severity.NORMAL, "RevisionChosen", f"the spec is revision {newest}")
    failure = at(status, "modelStatus", "lastFailureInfo")
    if failure and failure["reason"] == LOAD_FAILED and failure != at(was, "modelStatus", "lastFailureInfo"):
        yield _failed(service, failure, newest, now)
    if book.rolledout and book.rolledout != before.rolledout and not _by_rollout(book):
        yield _rolled_out(service, book, now)
    if book.shares != before.shares and max(len(book.shares), len(before.shares)) > 1:
        shares = ", ".join(f"revision {share.revision} {share.percent} %" for share in book.shares) or "nobody"
        yield Record(Severity.NORMAL, "TrafficSplit", f"the traffic goes to {shares}")
    ready, was_ready = _condition(status, "Ready"), _condition(was, "Ready")
    if was_ready.get("status") == TRUE and ready.get("status") != TRUE and not first:
        yield Record(Severity.WARNING, "NotReady", ready.get("message", ""))


def _by_rollout(book: Book) -> bool:
    """Whether its rollout has told already that the revision is rolled out."""
    rollout = book.rollout
    return rollout is not None and rollout.state is State.SUCCEEDED and rollout.revision == book.rolledout


def _rolled_out(service: Document, book: Book, now: float) -> Tell:
    metadata = service["metadata"]
    after = f", after revision {book.previous}" if book.previous else ""
    return Tell(
        Occurrence(
            id=f"{metadata['uid']}/rolled-out/{book.rolledout}/{metadata['generation']}",
            type="rollout.succeeded",
            about=key_of(service),
            uid=metadata["uid"],
            severity=Severity.NORMAL,
            reason="RolledOut",
            message=f"revision {book.rolledout} is rolled out{after}",
            time=now,
            data={"revision": book.rolledout, "stable": book.previous},
        )
    )


def _failed(service: Document, failure: Document, revision: int, now: float) -> Tell:
    metadata, message = service["metadata"], failure["message"]
    which = sha256(message.encode()).hexdigest()[:16]
    return Tell(
        Occurrence(
            id=f"{metadata['uid']}/model-failed/{revision}/{metadata['generation']}/{which}",
            type="model.failed",
            about=key_of(service),
            uid=metadata["uid"],
            severity=Severity.WARNING,
            reason=failure["reason"],
            message=message,
            time=now,
            data={"revision": revision},
        )
    )


def _condition(status: Document, name: str) -> Document:
    found: Document
    for found in status.get("conditions") or ():
        if found.get("type") == name:
            return found
    return {}
