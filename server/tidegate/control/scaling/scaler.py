"""The loop of the autoscaler: it looks at each revision that scales, decides, and writes what is decided.

A revision in use is looked at each second. One that is not sleeps: it is looked at again when its policy says, or with
its next request, which the lease tells once. What is decided is written into the ServingRevision, which the reconciler
watches: it is he who has replicas run. ::

    scaler = Scaler(store, actuator.backend, turns_settings)
    scaler.follow("default", "iris", scales)      # with each look of the reconciler
    scaler.desired("default", "iris")             # {1: 3}
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec

from tidegate.control.scaling import record as records
from tidegate.control.scaling.deciding import Outcome, begun, decided, told
from tidegate.control.scaling.entry import Entry, Source, read_statistics
from tidegate.control.scaling.record import FIELD
from tidegate.control.scaling.scale import Scale
from tidegate.control.scaling.settings import ScalerSettings
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.shelf import REVISIONS
from tidegate.control.services.turns import Turns
from tidegate.protocol.errors import ResourceNotFound, ShuttingDown, TidegateError
from tidegate.resources.actuator import RevisionId
from tidegate.resources.document import Key, version_of
from tidegate.resources.revision import name_of
from tidegate.resources.store import MergePatch, Store

log = logging.getLogger(__name__)


class Scaler:
    """Everything is called in one event loop. ``source`` tells what answers for a revision, None for nothing;
    ``decided(revision, desired, terms)`` is told of each decision, and ``forgotten(revision)`` of each that is over."""

    def __init__(
        self,
        store: Store,
        source: Callable[[RevisionId], Source | None],
        settings: ScalerSettings | None = None,
        *,
        turns: ServiceSettings | None = None,
        clock: Callable[[], float] = time.time,
        decided: Callable[[RevisionId, int, Mapping[str, float]], None] = lambda revision, desired, terms: None,
        forgotten: Callable[[RevisionId], None] = lambda revision: None,
    ) -> None:
        self._store = store
        self._source = source
        self._settings = settings or ScalerSettings()
        self._clock = clock
        self._decided = decided
        self._forgotten = forgotten
        self._entries: dict[RevisionId, Entry] = {}
        self._pauses = turns or ServiceSettings()
        self._turns = Turns[RevisionId](self._look, self._pauses)

    def __repr__(self) -> str:
        return f"<Scaler of {len(self._entries)} revisions>"

    def desired(self, namespace: str, service: str) -> dict[int, int]:
        """Replicas that each revision of a service is to have, by number, as it was decided last."""
        return {
            revision.number: entry.known.record.desired
            for revision, entry in self._entries.items()
            if revision[:2] == (namespace, service)
        }

    def follow(self, namespace: str, service: str, scales: Iterable[Scale]) -> None:
        """Scale these revisions of a service, and no others of it, from now on."""
        told_of = {scale.revision: scale for scale in scales}
        for revision in [each for each in self._entries if each[:2] == (namespace, service) and each not in told_of]:
            self._forget(revision)
        for revision, scale in told_of.items():
            entry = self._entries.get(revision)
            if entry is not None and entry.known.scale.uid != scale.uid:
                self._forget(revision)
                entry = None
            self._begin(scale) if entry is None else self._tell(entry, scale)

    async def stop(self) -> None:
        """End every look and every timer."""
        for revision in list(self._entries):
            self._forget(revision)
        await self._turns.stop()

    def _begin(self, scale: Scale) -> None:
        known, now = begun(scale, self._clock())
        entry = self._entries[scale.revision] = Entry(known, now, _time())
        self._lead(scale.revision, entry)

    def _tell(self, entry: Entry, scale: Scale) -> None:
        """Note how it is to be scaled, and look at it where that makes a difference."""
        now, revision = entry.now(_time()), scale.revision
        before, source = entry.known, self._source(revision)
        entry.known = told(before, scale, now, read_statistics(revision, source))
        foreign = scale.version > entry.version and records.read(scale.stored) != entry.written
        if foreign:  # somebody else wrote there: what was decided goes on, and is written again
            entry.written, entry.version = None, scale.version
        if source is not entry.source:
            self._lead(revision, entry)
        elif foreign or (scale.scaling, scale.falls) != (before.scale.scaling, before.scale.falls):
            self._turns.ask(revision)

    def _lead(self, revision: RevisionId, entry: Entry) -> None:
        """What answers for it is another one, or nothing."""
        if entry.source is not None:
            entry.source.at_next(None)
        entry.source = self._source(revision)
        if entry.source is not None:
            entry.hold()
            self._turns.ask(revision)

    def _forget(self, revision: RevisionId) -> None:
        entry = self._entries.pop(revision)
        if entry.source is not None:
            entry.source.at_next(None)
        self._turns.ask_in(revision, None)
        self._forgotten(revision)

    async def _look(self, revision: RevisionId) -> None:
        entry = self._entries.get(revision)
        if entry is None:
            return
        source = entry.source
        statistics = read_statistics(revision, source)
        max_batch = None if source is None or statistics is None else source.max_batch
        now = entry.now(_time())
        outcome = decided(entry.known, now, self._clock(), statistics, max_batch)
        entry.known = outcome.known
        entry.learn(statistics)
        self._decided(revision, entry.known.record.desired, outcome.terms)
        if entry.due(_time()):
            await self._write(revision, entry)
        if self._entries.get(revision) is entry:
            self._sleep(revision, entry, outcome)

    async def _write(self, revision: RevisionId, entry: Entry) -> None:
        """Keep what is known. The number holds here even where it cannot be kept."""
        known = entry.known
        memory = records.pack(known.state)
        record = msgspec.structs.replace(known.record, clock=entry.now(_time()), memory=memory)
        entry.fresh = False
        key = Key(REVISIONS, revision.namespace, name_of(revision.service, revision.number))
        patch = {"metadata": {"uid": known.scale.uid}, "status": {FIELD: records.write(record)}}
        try:
            document = await self._store.patch(key, MergePatch(patch), status=True)
        except (ResourceNotFound, ShuttingDown):
            return  # it is gone, or we are: whoever follows says so next
        except TidegateError as error:
            entry.failures += 1
            entry.fresh, entry.keep_at = True, _time() + self._pauses.pause(entry.failures)
            log.warning("%s: its scaling cannot be kept: %s", revision, error.message)
            return
        entry.written, entry.version, entry.failures = record, int(version_of(document)), 0
        entry.told_of_failures = known.fleet.failures > 0
        entry.keep_at = _time() + self._settings.keep_every

    def _sleep(self, revision: RevisionId, entry: Entry, outcome: Outcome) -> None:
        """Look again with the next tick, or later where nothing is in use: then with the next request, too."""
        source = entry.source
        if source is None:
            entry.sleep(_time(), None)
            self._turns.ask_in(revision, None)  # what comes to answer for it is told
            return
        now, tick = _time(), self._settings.tick
        due = [] if outcome.next_at is None else [now + outcome.next_at - entry.now(now)]
        if entry.fresh or entry.failures:
            due.append(entry.keep_at)
        if source.requests:
            due.append(now + tick)
        seconds = max(min(due) - now, tick) if due else None
        entry.sleep(now, seconds)
        source.at_next(None if seconds is not None and seconds <= tick else partial(self._turns.ask, revision))
        self._turns.ask_in(revision, seconds)


def _time() -> float:
    return asyncio.get_running_loop().time()
