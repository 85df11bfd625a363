"""What is to be done for one service, from what there is: a function from values to actions. Pure.

The order of the actions is what makes it right to be cut off between any two of them: a revision is kept before
anything is done with it; what is to run is run before it is routed to; a route is published before what it left ends;
what was decided is written down before what would be missing without it is ended or forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tidegate.control.services import book as books
from tidegate.control.services import revision as revisions
from tidegate.control.services.actions import (
    Action,
    DeleteRevision,
    End,
    Plan,
    Publish,
    Run,
    Withdraw,
    WriteStatus,
)
from tidegate.control.services.assignment import Assignment, assign
from tidegate.control.services.book import Book
from tidegate.control.services.events import told
from tidegate.control.services.picture import Picture, why_unready
from tidegate.control.services.resolution import Resolution
from tidegate.control.services.revision import Revision
from tidegate.control.services.running import forgotten, runs
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.status import refused, status_of
from tidegate.control.services.traffic import CanaryShare, Situation, candidate, decide
from tidegate.control.services.wish import Wish, wish_of
from tidegate.resources.actuator import Phase, RevisionId, Standing
from tidegate.resources.document import Document, same
from tidegate.resources.faults import InvalidManifest
from tidegate.resources.revision import STABLE, name_of
from tidegate.resources.traffic import Traffic


class Seen(msgspec.Struct, frozen=True):
    """One look at a name in a namespace."""

    namespace: str
    name: str
    service: Document | None
    """The service of this name that is served; None when there is none."""
    rivals: tuple[Document, ...] = ()
    """Services of the other kind that have the name, too."""
    revisions: tuple[Document, ...] = ()
    """ServingRevisions whose names are such a service's, whoever owns them."""
    standings: Mapping[int, Standing] = {}
    resolutions: Mapping[str, Resolution] = {}
    """By track."""
    book: Book | None = None
    """What was decided when a route was published last, which may not have been written down; None where nobody
    remembers, and what is written down counts."""


def plan(seen: Seen, settings: ServiceSettings, now: float) -> Plan:
    """What is to be done. ``now`` is in seconds since 1970."""
    if seen.service is None:
        return Plan((Withdraw(seen.namespace, seen.name), *_ends(seen, ())))
    refusals = tuple(_refusal(seen.service, rival, now) for rival in seen.rivals)
    told = [action for action in refusals if action is not None]
    try:
        wish = wish_of(seen.service)
    except InvalidManifest as error:
        status = refused(seen.service, "InvalidSpec", error.message, now)
        return Plan((*told, *_written(seen.service, status)))
    served = _served(seen, seen.service, wish, settings, now)
    return msgspec.structs.replace(served, actions=(*told, *served.actions))


def _refusal(service: Document, rival: Document, now: float) -> WriteStatus | None:
    message = f"the {service['kind']} of this name is served, and a name is one service's"
    return next(iter(_written(rival, refused(rival, "NameTaken", message, now))), None)


def _served(seen: Seen, service: Document, wish: Wish, settings: ServiceSettings, now: float) -> Plan:
    before = seen.book or books.read(service)
    uid = service["metadata"]["uid"]
    kept = {each.number: each for each in map(revisions.read, _own(seen.revisions, uid))}
    taken = {*seen.standings, *(revisions.service_of(each["metadata"]["name"])[1] for each in seen.revisions)}
    assignment = assign(service, wish, before, kept, taken, seen.resolutions, now)
    book = _decided(before, wish, assignment, seen.standings, settings, now)
    replicas = runs(wish, book, assignment.newest, seen.standings, now)
    picture = Picture(
        service=service,
        wish=wish,
        book=book,
        newest=assignment.newest,
        revisions=assignment.revisions,
        standings=seen.standings,
        replicas=replicas,
        failures=assignment.failures,
        now=now,
    )
    status = status_of(picture, settings)
    actions: list[Action] = [
        *assignment.actions,
        *_started(seen, assignment.revisions, replicas),
        Publish(_traffic(seen, picture, uid)),
        *told(service, status, books.read(service), book, first=seen.book is None),
        *_written(service, status),
        *_ends(seen, replicas),
    ]
    needed = {*replicas, book.rolledout, book.previous, *assignment.newest.values(), *seen.standings}
    needed |= {number for track in book.tracks.values() for number in (track.created, track.ready)}
    limit = wish.history or settings.history
    actions += [DeleteRevision(seen.namespace, name_of(seen.name, number)) for number in forgotten(kept, needed, limit)]
    unresolved = frozenset(track for track, number in assignment.newest.items() if not number)
    return Plan(tuple(actions), _wake(assignment, book, now), unresolved, book)


def _own(documents: Iterable[Document], uid: str) -> list[Document]:
    return [document for document in documents if revisions.is_owned_by(document, uid)]


def _decided(
    before: Book,
    wish: Wish,
    assignment: Assignment,
    standings: Mapping[int, Standing],
    settings: ServiceSettings,
    now: float,
) -> Book:
    running = frozenset(number for number, standing in standings.items() if standing.phase is not Phase.ENDING)
    situation = Situation(
        newest=assignment.newest[STABLE],
        percent=wish.percent,
        canaries=tuple(CanaryShare(track.name, track.percent) for track in wish.canaries),
        kept=frozenset(assignment.revisions),
        running=running,
        ready=frozenset(number for number in running if standings[number].ready),
        stopped=wish.stopped,
    )
    book = decide(before, assignment.tracks, situation, now, settings.keep_previous)
    return msgspec.structs.replace(book, last=assignment.last)


def _started(seen: Seen, kept: Mapping[int, Revision], replicas: Mapping[int, int]) -> list[Run]:
    """What does not run as it should. A revision that was forgotten cannot be run; it may still answer."""
    return [
        Run(kept[number].workload(seen.namespace, seen.name, wanted))
        for number, wanted in replicas.items()
        if number in kept and (number not in seen.standings or seen.standings[number].wanted != wanted)
    ]


def _ends(seen: Seen, wanted: Iterable[int]) -> list[End]:
    """What runs and is not to run."""
    wanted = set(wanted)
    return [
        End(RevisionId(seen.namespace, seen.name, number))
        for number, standing in seen.standings.items()
        if number not in wanted and standing.phase is not Phase.ENDING
    ]


def _traffic(seen: Seen, picture: Picture, uid: str) -> Traffic:
    """The route: what is to end is in it no more."""
    book = picture.book
    running = tuple(
        sorted(n for n in picture.replicas if n in seen.standings and seen.standings[n].phase is not Phase.ENDING)
    )
    latest = candidate(book)
    tags = {"latest": latest, "prev": book.rolledout if latest != book.rolledout else book.previous}
    versions = {n: picture.revisions[n].resolved.version for n in running if n in picture.revisions}
    return Traffic(
        namespace=seen.namespace,
        service=seen.name,
        shares=book.shares,
        running=running,
        versions={number: versions.get(number) or str(number) for number in running},
        tags={tag: number for tag, number in tags.items() if number in running},
        salt=f"{uid}/{book.salt}" if book.salt else "",
        sticky=picture.wish.sticky,
        reason="" if book.shares else why_unready(picture),
    )


def _written(service: Document, status: Document) -> list[WriteStatus]:
    if same(service.get("status"), status):
        return []
    return [WriteStatus({**service, "status": status})]


def _wake(assignment: Assignment, book: Book, now: float) -> float | None:
    due = [at for at in (assignment.wake_at, book.kept_until) if at is not None and at > now]
    return min(due, default=None)
