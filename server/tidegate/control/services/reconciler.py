"""The shell around ``plan``: it watches, looks at each service that something changed for, and does what is planned.

Level-based: it acts on what there is, not on what happened, so that a lost notice or a restart costs a look and nothing
else. What goes wrong with one service is tried again for that one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from tidegate.control.downloads import Downloads
from tidegate.control.jobs import Jobs
from tidegate.control.notifications.subscriptions import deliveries_of
from tidegate.control.rollouts.course import Course
from tidegate.control.rollouts.examinations import Examinations, Examine
from tidegate.control.rollouts.examiner import Examiner
from tidegate.control.rollouts.looking import Looking
from tidegate.control.rollouts.observer import Observer
from tidegate.control.scaling.scaler import Scaler
from tidegate.control.services import book as books
from tidegate.control.services.actions import (
    Action,
    CreateRevision,
    DeleteRevision,
    End,
    Publish,
    Record,
    Resolve,
    Run,
    Tell,
    Withdraw,
    WriteJob,
    WriteRecord,
    WriteStatus,
)
from tidegate.control.services.book import Book
from tidegate.control.services.conditions import readable
from tidegate.control.services.plan import Seen, plan
from tidegate.control.services.records import Records
from tidegate.control.services.resolutions import Resolutions, Unresolved
from tidegate.control.services.rolling import Reports
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.shelf import KINDS, REVISIONS, Shelf
from tidegate.control.services.turns import Name, Turns
from tidegate.control.services.wish import wish_of
from tidegate.protocol.errors import (
    InvalidResource,
    PayloadTooLarge,
    ResourceConflict,
    ResourceNotFound,
    ShuttingDown,
    TidegateError,
)
from tidegate.resources.actuator import Actuator, Resolver, RevisionId
from tidegate.resources.document import Document, GroupKind, Key, key_of
from tidegate.resources.faults import InvalidManifest
from tidegate.resources.store import ChangeType, Occurrence, Store
from tidegate.resources.traffic import Traffic

log = logging.getLogger(__name__)
_FILES = Name("", "")
"""Looked at like a service: which content is kept. No service has this name."""


class Reconciler:
    """Everything is called in the event loop in which it was started."""

    def __init__(
        self,
        store: Store,
        actuator: Actuator,
        resolver: Resolver,
        observer: Observer,
        examiner: Examiner,
        *,
        publish: Callable[[Traffic], None],
        withdraw: Callable[[str, str], None],
        forgotten: Callable[[RevisionId], None] = lambda revision: None,
        transitioned: Callable[[str, str, str], None] = lambda namespace, service, to: None,
        settings: ServiceSettings | None = None,
        clock: Callable[[], float] = time.time,
        unresolved: Unresolved | None = None,
        scaler: Scaler | None = None,
    ) -> None:
        """``publish(traffic)``, ``withdraw(namespace, service)``, ``forgotten(revision)``, of one that is no longer
        kept and may still be ending, and ``transitioned(namespace, service, to)``, of a rollout's transition when it is
        told for the first time, are called in the event loop, as ``unresolved`` is, and do not wait. ``scaler`` is its
        owner's to stop; without one nothing scales, and what was decided before holds."""
        self._store = store
        self._actuator = actuator
        self._scaler = scaler
        self._publish = publish
        self._withdraw = withdraw
        self._forgotten = forgotten
        self._transitioned = transitioned
        self._settings = settings or ServiceSettings()
        self._clock = clock
        self._shelf = Shelf()
        self._turns = Turns(self._look, self._settings)
        self._jobs = Jobs(store, self._settings, clock)
        self._downloads = Downloads(self._jobs, self._settings, clock)
        self._resolutions = Resolutions(resolver, self._settings, self._found_out, clock, self._downloads, unresolved)
        self._looking = Looking(observer, self._settings.settle)
        self._examinations = Examinations(examiner, self._turns.ask, clock, self._settings.examine_timeout)
        self._records = Records(store, self._settings.history)
        self._told: dict[Name, tuple[str, tuple[int, int]]] = {}
        """The service's uid; of its rollout the number, and the last transition that people were told of."""
        self._published: dict[Name, Traffic] = {}
        self._books: dict[Name, tuple[str, Book]] = {}
        """What was decided when it was published last, for the service of a uid."""
        self._watches: list[asyncio.Task[None]] = []
        self._files_due = True

    async def start(self) -> None:
        """Begin to watch. Returns once every service that is stored has been looked at once.

        Raises:
            StateUnavailable, ShuttingDown: what is stored cannot be read.
        """
        versions: dict[GroupKind, str] = {}
        for kind in KINDS:  # nobody is looked at before all is known: what is missing would be made anew
            page = await self._store.list(kind)
            self._shelf.replace(kind, page.items, page.version)
            versions[kind] = page.version
        await self._jobs.start()
        self._actuator.subscribe(lambda namespace, service: self._turns.ask(Name(namespace, service)))
        for kind, version in versions.items():
            self._watches.append(asyncio.create_task(self._watch(kind, version), name=f"watch {kind.name}"))
        for name in (_FILES, *self._shelf.names()):
            self._turns.ask(name)
        await self._turns.idle()

    async def stop(self) -> None:
        """End every task of it. What runs goes on running: ending it is the actuator's."""
        for watch in self._watches:
            watch.cancel()
        if self._watches:
            await asyncio.wait(self._watches)
        await self._turns.stop()
        self._downloads.close()
        await self._resolutions.stop()
        await self._examinations.stop()
        await self._downloads.stop()
        await self._jobs.stop()

    async def _watch(self, kind: GroupKind, version: str) -> None:
        """Note every change of a kind, for ever: where the log is lost, by a list."""
        failures = 0
        while True:
            try:
                version = version or await self._list(kind)
                async with self._store.watch(kind, since=version) as changes:
                    async for change in changes:
                        version, failures = change.version, 0
                        gone = change.type is ChangeType.DELETED
                        self._changed(self._shelf.change(change), gone=gone)
                        if gone and kind == REVISIONS:
                            self._forgotten(revision_of(change.document))
            except ShuttingDown:
                return
            except Exception as error:
                expected = isinstance(error, TidegateError)
                log.warning("watch of %s: %s", kind.name, error, exc_info=None if expected else error)
                version = ""
            failures += 1
            await asyncio.sleep(self._settings.pause(failures))

    async def _list(self, kind: GroupKind) -> str:
        """Note all of a kind. Returns the version to watch from."""
        page = await self._store.list(kind)
        missing = self._shelf.missing(kind, page.items, page.version)
        for name in self._shelf.replace(kind, page.items, page.version):
            self._changed(name, gone=kind == REVISIONS)
        for document in missing if kind == REVISIONS else ():
            self._forgotten(revision_of(document))
        return page.version

    def _changed(self, name: Name | None, *, gone: bool) -> None:
        if name is None:
            return
        self._turns.ask(name)
        if gone:
            self._files_due = True
            self._turns.ask(_FILES)

    def _found_out(self, name: Name) -> None:
        self._turns.ask(name)
        if self._files_due:
            self._turns.ask(_FILES)

    async def _look(self, name: Name) -> None:
        if name == _FILES:
            if self._files_due:
                await self._keep_files()
            return
        standings = await self._actuator.observe(name.namespace, name.name)
        services = [readable(service) for service in self._shelf.services(name)]
        served = services[0] if services else None
        seen = Seen(
            namespace=name.namespace,
            name=name.name,
            service=served,
            rivals=tuple(services[1:]),
            revisions=tuple(self._shelf.revisions(name)),
            standings=standings,
            resolutions=self._resolutions.of(name),
            reports=self._reports(name, served),
            book=self._remembered(name, served),
            desired={} if self._scaler is None else self._scaler.desired(*name),
        )
        now = self._clock()
        planned = plan(seen, self._settings, now)
        try:
            for action in planned.actions:
                if isinstance(action, Publish | Withdraw):
                    self._remember(name, served, planned.book)
                await self._do(name, served, action)
        except (ResourceConflict, ResourceNotFound):
            return  # somebody was faster: the watch tells of it, and then it is looked at again
        if self._scaler is not None:
            self._scaler.follow(*name, planned.scales)
        self._resolutions.forget(name, planned.unresolved)
        self._examinations.forget(name, planned.examinations)
        self._turns.ask_in(name, None if planned.wake_at is None else planned.wake_at - now)

    def _reports(self, name: Name, service: Document | None) -> Reports:
        """What was found out for the rollout of a service."""
        if service is None:
            self._looking.forget(name)
            self._told.pop(name, None)
            return Reports()
        book = self._remembered(name, service) or books.read(service)
        going = book.rollout is not None and not book.rollout.ended
        course = course_or_none(service) if going else None
        counted = self._looking.counted(name, book.rollout, course, self._clock())
        uid, told = self._told.get(name, ("", (0, 0)))
        told = told if uid == service["metadata"]["uid"] else (0, 0)
        return Reports(counted, self._examinations.of(name), told)

    async def _keep_files(self) -> None:
        """Let go of the content that no revision has, but for what goes meanwhile: that is due for the next look."""
        self._files_due = done = False
        try:
            done = await self._resolutions.keep(self._shelf.digests)
        finally:
            self._files_due = self._files_due or not done

    def _remembered(self, name: Name, service: Document | None) -> Book | None:
        held = self._books.get(name)
        return held[1] if held is not None and service is not None and service["metadata"]["uid"] == held[0] else None

    def _remember(self, name: Name, service: Document | None, book: Book | None) -> None:
        if service is None:
            self._books.pop(name, None)
        elif book is not None:
            self._books[name] = (service["metadata"]["uid"], book)

    async def _do(self, name: Name, service: Document | None, action: Action) -> None:
        match action:
            case Resolve():
                assert service is not None
                self._resolutions.ask(name, action, service["kind"])
            case CreateRevision(document):
                self._shelf.take(await self._store.create(document))
            case Run(workload):
                await self._actuator.run(workload)
            case End(revision):
                await self._actuator.end(revision)
            case Publish(traffic):
                if self._published.get(name) != traffic:
                    self._published[name] = traffic
                    self._publish(traffic)
            case Withdraw():
                if self._published.pop(name, None) is not None:
                    self._withdraw(action.namespace, action.service)
            case WriteStatus(document):
                self._shelf.take(await self._store.replace_status(document))
            case WriteRecord(document):
                await self._records.write(document)
            case WriteJob(job):
                await self._jobs.write(job.namespace, job.name, job.spec, job.status)
            case Examine():
                self._examinations.ask(name, action)
            case Tell(occurrence, transition):
                await self._tell(name, service, occurrence, transition)
            case DeleteRevision(namespace, revision):
                await self._store.delete(Key(REVISIONS, namespace, revision))
            case Record(severity, reason, message):
                assert service is not None
                uid = service["metadata"]["uid"]
                await self._store.record(key_of(service), uid, severity, reason, message)

    async def _tell(self, name: Name, service: Document | None, occurrence: Occurrence, transition: int) -> None:
        notify = None if service is None else service["spec"].get("notify")
        try:
            new = await self._store.tell(occurrence, deliveries_of(notify, occurrence.type))
        except (InvalidResource, PayloadTooLarge) as error:
            log.error("%s: %s cannot be told: %s", name, occurrence.id, error.message)
            new = True  # it will never be: what comes after it does not wait for it
        if not transition:
            return
        self._told[name] = (occurrence.uid, (occurrence.data["rollout"], transition))
        self._turns.ask(name)  # that people were told is to be written down
        if new:
            self._transitioned(name.namespace, name.name, occurrence.data["to"])


def course_or_none(service: Document) -> Course | None:
    """How a service's new revisions take over; None where its manifest cannot be read, too."""
    try:
        return wish_of(service).course
    except InvalidManifest:
        return None


def revision_of(document: Document) -> RevisionId:
    """The address of the revision that a ServingRevision describes."""
    spec = document["spec"]
    return RevisionId(document["metadata"]["namespace"], spec["service"]["name"], spec["number"])
