"""What is to be done for one service, from what there is: a function from values to actions. Pure.

The order of the actions is what makes it right to be cut off between any two of them: a revision is kept before
anything is done with it; what is to run is run before it is routed to; a route is published before what it left ends;
what was decided is written down before what would be missing without it is ended or forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tidegate.control.rollouts import situation as rollouts
from tidegate.control.rollouts.news import untold
from tidegate.control.rollouts.record import job_of, record_of
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.state import State
from tidegate.control.rollouts.timing import next_look, observes
from tidegate.control.services import book as books
from tidegate.control.services import revision as revisions
from tidegate.control.services.actions import (
    Action,
    DeleteRevision,
    End,
    Plan,
    Publish,
    Run,
    Tell,
    Withdraw,
    WriteJob,
    WriteRecord,
    WriteStatus,
)
from tidegate.control.services.assignment import Assignment, assign
from tidegate.control.services.book import Book
from tidegate.control.services.events import told
from tidegate.control.services.picture import Picture, why_unready
from tidegate.control.services.resolution import Resolution
from tidegate.control.services.revision import Revision
from tidegate.control.services.rolling import (
    Reports,
    examinations,
    examine_at,
    keys_of,
    rejected,
    rolled,
    shown,
    situation_of,
    takes_over,
)
from tidegate.control.services.running import for_all, forgotten, runs, sleepers
from tidegate.control.services.scaling import desired_of, recorded, scales_of
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
    reports: Reports = Reports()
    """What was found out for its rollout."""
    desired: Mapping[int, int] = {}
    """Replicas that revisions are to have, as scaling decided last and may not have written down yet."""
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
    own = _own(seen.revisions, uid)
    kept = {each.number: each for each in map(revisions.read, own)}
    taken = {*seen.standings, *(revisions.service_of(each["metadata"]["name"])[1] for each in seen.revisions)}
    assignment = assign(service, wish, before, kept, taken, seen.resolutions, now)
    desired = desired_of(own, seen.desired)
    needed_for_all = for_all(wish, before, desired, settings.most_replicas)
    situation = situation_of(service, wish, before, assignment, seen.standings, seen.reports, needed_for_all)
    rollout = rolled(before.rollout, situation, seen.reports, now)
    book = _decided(before, wish, assignment, rollout, situation, settings, now)
    turned_down = rejected(rollout, situation)
    newest = {**assignment.newest, STABLE: 0} if turned_down else assignment.newest
    sizes = runs(wish, book, newest, seen.standings, now, desired, settings.most_replicas)
    replicas = {number: size.replicas for number, size in sizes.items()}
    stored = books.read(service)
    reported = shown(rollout, stored.rollout, now, settings.report_every)
    picture = Picture(
        service=service,
        wish=wish,
        book=msgspec.structs.replace(book, rollout=reported),
        rejected=turned_down,
        newest=assignment.newest,
        revisions=assignment.revisions,
        standings=seen.standings,
        replicas=replicas,
        failures=assignment.failures,
        now=now,
        scaled={number: recorded(own, number) for number, size in sizes.items() if size.scaling},
    )
    status = status_of(picture, settings)
    actions: list[Action] = [
        *assignment.actions,
        *_started(seen, assignment.revisions, replicas, sleepers(wish, book, newest, replicas), before.rolledout),
        Publish(_traffic(seen, picture, uid)),
        *told(service, status, stored, book, now, first=seen.book is None),
        *_written(service, status),
        *_reported(service, reported, wish),
        *examinations(rollout, wish, seen.reports, settings, (seen.namespace, seen.name), now),
        *_ends(seen, replicas),
    ]
    needed = {*replicas, book.rolledout, book.previous, *assignment.newest.values(), *seen.standings}
    needed |= {number for track in book.tracks.values() for number in (track.created, track.ready)}
    limit = wish.history or settings.history
    actions += [DeleteRevision(seen.namespace, name_of(seen.name, number)) for number in forgotten(kept, needed, limit)]
    unresolved = frozenset(track for track, number in assignment.newest.items() if not number)
    due = (
        next_look(rollout, wish.course, now, settings.look_every),
        examine_at(rollout, wish, seen.reports, settings),
        assignment.wake_at,
        book.kept_until,
    )
    wake_at = min((at for at in due if at is not None and at > now), default=None)
    scales = scales_of(sizes, own, seen.standings)
    return Plan(tuple(actions), wake_at, keys_of(rollout, wish), unresolved, book, scales)


def _own(documents: Iterable[Document], uid: str) -> list[Document]:
    return [document for document in documents if revisions.is_owned_by(document, uid)]


def _decided(
    before: Book,
    wish: Wish,
    assignment: Assignment,
    rollout: Rollout | None,
    rolling: rollouts.Situation,
    settings: ServiceSettings,
    now: float,
) -> Book:
    situation = Situation(
        newest=assignment.newest[STABLE],
        percent=wish.percent,
        canaries=tuple(CanaryShare(track.name, track.percent) for track in wish.canaries),
        kept=frozenset(assignment.revisions),
        running=rolling.running,
        ready=rolling.ready,
        stopped=wish.stopped,
        takes_over=takes_over(rollout, rolling),
        weight=rollout.weight if rollout is not None and not rollout.ended else 0,
        salt="" if rollout is None or rollout.ended else f"{rollout.stable}.{rollout.number}",
    )
    book = decide(before, assignment.tracks, situation, now, settings.keep_previous)
    return msgspec.structs.replace(book, last=assignment.last, rollout=rollout)


def _reported(service: Document, rollout: Rollout | None, wish: Wish) -> Iterator[Action]:
    """What people see of the rollout, and what they are told: after it was written down, for it is final then."""
    if rollout is None or (rollout.ended and rollout.told == rollout.count):
        return
    yield WriteRecord(record_of(service, rollout, wish.course))
    yield WriteJob(job_of(service, rollout, wish.course))
    yield from (Tell(occurrence, number) for number, occurrence in untold(service, rollout))


def _started(
    seen: Seen, kept: Mapping[int, Revision], replicas: Mapping[int, int], sleepers: frozenset[int], answered: int
) -> list[Run]:
    """What does not run as it should. A revision that was forgotten cannot be run; it may still answer. ``answered`` is
    the one that was rolled out when this was looked at last: after a restart it is known that it can be loaded.
    """
    wished = {number: (replicas[number], number in sleepers) for number in replicas if number in kept}
    runs = {number: (standing.wanted, standing.sleeps) for number, standing in seen.standings.items()}
    return [
        Run(kept[number].workload(seen.namespace, seen.name, wanted, sleeps=sleeps, known=number == answered))
        for number, (wanted, sleeps) in wished.items()
        if runs.get(number) != (wanted, sleeps)
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
    latest = book.rolledout if picture.rejected else candidate(book)
    rollout, course = book.rollout, picture.wish.course
    shadow = rollout.revision if rollout is not None and not rollout.ended and rollout.at is State.SHADOW else 0
    watched = rollout is not None and observes(rollout, course)
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
        shadow=shadow if shadow in running else 0,
        tolerance=course.tolerance if shadow and course is not None else (0.0, 0.0),
        observed=(rollout.stable, rollout.revision) if watched and rollout is not None else (),
        reason="" if book.shares else why_unready(picture),
    )


def _written(service: Document, status: Document) -> list[WriteStatus]:
    if same(service.get("status"), status):
        return []
    return [WriteStatus({**service, "status": status})]
