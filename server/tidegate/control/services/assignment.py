"""Which revision each track of a service means: one that is kept, or one that is to be resolved and made. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite

import msgspec

from tidegate.control.services import revision as revisions
from tidegate.control.services.actions import CreateRevision, Resolve
from tidegate.control.services.book import Book, TrackBook
from tidegate.control.services.resolution import Resolution
from tidegate.control.services.revision import Revision
from tidegate.control.services.wish import Track, Wish
from tidegate.resources.document import Document
from tidegate.resources.parts import at
from tidegate.resources.revision import STABLE, hash_of, without_digest


class Assignment(msgspec.Struct):
    """What each track means, as far as that is known by now."""

    revisions: dict[int, Revision]
    """All that are kept, with those that are to be made."""
    tracks: dict[str, TrackBook]
    """Of those that are in the spec. One that is not known yet is as it was before."""
    newest: dict[str, int]
    """The revision of each track; 0 while that is not known."""
    last: int
    """The highest number that is given."""
    actions: list[Resolve | CreateRevision]
    failures: dict[str, Resolution]
    """Of tracks that could not be resolved."""
    wake_at: float | None = None


def assign(
    service: Document,
    wish: Wish,
    book: Book,
    kept: Mapping[int, Revision],
    taken: Iterable[int],
    resolutions: Mapping[str, Resolution],
    now: float,
) -> Assignment:
    """Find the revision of each track. ``taken`` are numbers that cannot be given, beside those of ``kept``."""
    last = max((book.last, *kept, *taken))
    assignment = Assignment(dict(kept), {}, {}, last, [], {})
    for track in wish.tracks:
        _assign(assignment, service, wish, track, book, resolutions.get(track.name), now)
    return assignment


def _assign(
    assignment: Assignment,
    service: Document,
    wish: Wish,
    track: Track,
    book: Book,
    resolution: Resolution | None,
    now: float,
) -> None:
    number = _known(track, wish, book, assignment.revisions)
    if not number and resolution is not None and resolution.request == track.request and resolution.resolved:
        number = _made(assignment, service, track, resolution)
    before = book.tracks.get(track.name)
    if number:
        assignment.newest[track.name] = number
        ready = before.ready if before else 0
        assignment.tracks[track.name] = TrackBook(track.request, number, ready)
        return
    assignment.newest[track.name] = 0
    if before is not None:
        assignment.tracks[track.name] = before
    if resolution is not None and resolution.request == track.request:
        if not resolution.failure:
            return  # it is being found out
        assignment.failures[track.name] = resolution
        if now < resolution.retry_at:
            if isfinite(resolution.retry_at):
                assignment.wake_at = min(assignment.wake_at or resolution.retry_at, resolution.retry_at)
            return
    assignment.actions.append(Resolve(track.name, track.request, track.template))


def _known(track: Track, wish: Wish, book: Book, kept: Mapping[int, Revision]) -> int:
    """The revision that a track means without asking anybody; 0 where somebody has to be asked."""
    content = without_digest(track.template)
    held = kept.get(wish.pinned or 0) if track.name == STABLE else None
    if held is not None and without_digest(held.template) == content:
        return held.number
    if digest := at(track.template, "predictor", "model", "digest"):
        for number in sorted(kept, reverse=True):
            if kept[number].resolved.digest == digest and without_digest(kept[number].template) == content:
                return number
    # What a track means is asked once for each change of it; a canary that becomes the service is what it was.
    for told in (book.tracks.get(track.name), *book.tracks.values()):
        if told is not None and told.request == track.request and told.created in kept:
            return told.created
    # Made at a look that did not come to its end: there was nothing after it.
    return max((n for n, each in kept.items() if n > book.last and each.request == track.request), default=0)


def _made(assignment: Assignment, service: Document, track: Track, resolution: Resolution) -> int:
    """The revision of what was resolved: the same content is the same revision."""
    assert resolution.resolved is not None
    content = hash_of(track.template, resolution.resolved)
    same = [number for number, each in assignment.revisions.items() if each.hash == content]
    if same:
        return max(same)
    assignment.last += 1
    document = revisions.write(service, track, assignment.last, resolution.resolved)
    assignment.revisions[assignment.last] = revisions.read(document)
    assignment.actions.append(CreateRevision(document))
    return assignment.last
