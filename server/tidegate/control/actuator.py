"""The Actuator of one machine: a revision is a model whose replicas are child processes of this one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from tidegate.control.lease import Lease
from tidegate.control.running import Make, Observer, RunningRevision
from tidegate.protocol.errors import ShuttingDown
from tidegate.replicas.log import Follower, Log, LogLine, LogSettings
from tidegate.resources.actuator import RevisionId, Standing, Workload

log = logging.getLogger(__name__)


class LocalActuatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How revisions are run."""

    ready_timeout: float = 600.0
    """Seconds until a revision that is not ready counts as failed; as long as a load may take. It is tried on."""
    log: LogSettings = LogSettings()
    """What is kept of what the replicas write."""


class LocalActuator:
    """Implements the Actuator, in one event loop."""

    def __init__(self, make: Make, settings: LocalActuatorSettings, observer: Observer | None = None) -> None:
        self._make = make
        self._settings = settings
        self._observer = observer
        self._running: dict[RevisionId, RunningRevision] = {}
        self._tasks: dict[RevisionId, asyncio.Task[None]] = {}
        self._subscribers: list[Callable[[str, str], None]] = []
        self._closing = False

    def __repr__(self) -> str:
        return f"<LocalActuator {len(self._running)} revisions>"

    async def run(self, workload: Workload) -> None:
        """See Actuator."""
        if self._closing:
            raise ShuttingDown
        if not workload.replicas and not workload.sleeps:
            await self.end(workload.id)
        elif (running := self._running.get(workload.id)) is not None:
            running.wish(workload)
        else:
            self._begin(workload)

    async def end(self, revision: RevisionId) -> None:
        """See Actuator."""
        if (running := self._running.get(revision)) is not None:
            running.wish_away()

    async def observe(self, namespace: str, service: str) -> Mapping[int, Standing]:
        """See Actuator."""
        return {
            revision.number: running.standing
            for revision, running in self._running.items()
            if (revision.namespace, revision.service) == (namespace, service)
        }

    def subscribe(self, changed: Callable[[str, str], None]) -> None:
        """See Actuator."""
        self._subscribers.append(changed)

    def backend(self, revision: RevisionId) -> Lease | None:
        """What answers for a revision, ready or not; None where there is nothing to ask. It may be another one whenever
        the subscribers were told of a change."""
        running = self._running.get(revision)
        return None if running is None else running.lease

    def workload(self, revision: RevisionId) -> Workload | None:
        """What a revision was asked to run as; None where it does not run."""
        running = self._running.get(revision)
        return None if running is None else running.workload

    def revisions(self, namespace: str, service: str) -> list[RevisionId]:
        """Those of a service that run, or end, by number."""
        return sorted(revision for revision in self._running if revision[:2] == (namespace, service))

    def logs(self, revision: RevisionId) -> tuple[LogLine, ...]:
        """The last lines that the replicas of a revision wrote, by time; none where it does not run."""
        running = self._running.get(revision)
        return () if running is None else running.log.lines()

    def follow(self, revision: RevisionId) -> Follower | None:
        """The lines from now on, until the revision is gone; None where it does not run. To be closed."""
        running = self._running.get(revision)
        return None if running is None else running.log.follow()

    async def stop(self) -> None:
        """End all revisions, and return once nothing is left. Cancelling this leaves the end to go on by itself.

        What is being executed is finished within the replicas' own patience; nobody waits for the requests in front.
        """
        self._closing = True
        for running in list(self._running.values()):
            running.hurry()
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def kill(self) -> None:
        """End all revisions with all that they have; ``stop`` is still to be awaited."""
        self._closing = True
        for running in list(self._running.values()):
            running.kill()

    def _begin(self, workload: Workload) -> None:
        revision = workload.id
        running = RunningRevision(
            workload,
            self._make,
            self._settings.ready_timeout,
            Log(self._settings.log),
            lambda: self._tell(revision),
            self._observer,
        )
        self._running[revision] = running
        task = self._tasks[revision] = asyncio.create_task(running.run(), name=str(revision))
        task.add_done_callback(lambda task: self._ended(revision, task))
        self._tell(revision)

    def _ended(self, revision: RevisionId, task: asyncio.Task[None]) -> None:
        del self._tasks[revision]
        running = self._running.pop(revision)
        running.log.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error while %s ran", revision, exc_info=error)
        if running.wanted and not self._closing:  # in the very moment of its end
            self._begin(running.workload)
            return
        self._tell(revision)

    def _tell(self, revision: RevisionId) -> None:
        for changed in self._subscribers:
            try:
                changed(revision.namespace, revision.service)
            except Exception:  # a replica's keeper is on the stack, and must go on
                log.exception("unexpected error of who is told how %s stands", revision)
