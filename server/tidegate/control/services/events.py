"""What people are told when the state of a service changes: the difference of two looks, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.control.services.actions import Record
from tidegate.control.services.book import Book
from tidegate.control.services.conditions import TRUE
from tidegate.resources.document import Document
from tidegate.resources.parts import at, part
from tidegate.resources.revision import STABLE
from tidegate.resources.store import Severity


def told(service: Document, status: Document, before: Book, book: Book, *, first: bool) -> list[Record]:
    """The events of a change from the service's stored status, and what it remembers there, to these. At the first look
    of a process nothing is ready yet, which is no event."""
    return list(_told(part(service, "status"), status, before, book, first))


def _told(was: Document, status: Document, before: Book, book: Book, first: bool) -> Iterator[Record]:
    newest, newest_before = (each.tracks[STABLE].created if STABLE in each.tracks else 0 for each in (book, before))
    if newest != newest_before:
        yield Record(Severity.NORMAL, "RevisionChosen", f"the spec is revision {newest}")
    failure = at(status, "modelStatus", "lastFailureInfo")
    if failure and failure != at(was, "modelStatus", "lastFailureInfo"):
        yield Record(Severity.WARNING, failure["reason"], failure["message"])
    if book.rolledout and book.rolledout != before.rolledout:
        after = f", after revision {book.previous}" if book.previous else ""
        yield Record(Severity.NORMAL, "RolledOut", f"revision {book.rolledout} is rolled out{after}")
    if book.shares != before.shares and max(len(book.shares), len(before.shares)) > 1:
        shares = ", ".join(f"revision {share.revision} {share.percent} %" for share in book.shares) or "nobody"
        yield Record(Severity.NORMAL, "TrafficSplit", f"the traffic goes to {shares}")
    ready, was_ready = _condition(status, "Ready"), _condition(was, "Ready")
    if was_ready.get("status") == TRUE and ready.get("status") != TRUE and not first:
        yield Record(Severity.WARNING, "NotReady", ready.get("message", ""))


def _condition(status: Document, name: str) -> Document:
    found: Document
    for found in status.get("conditions") or ():
        if found.get("type") == name:
            return found
    return {}
