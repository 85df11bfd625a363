"""The ServingJobs in the store: each as it is now, and of those that have ended as many as are worth looking at.

Nobody but this process writes them, so what was written last is known here, and nothing is written twice. A job goes
with what it is about; for what is not there any more there is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from tidegate.control.job import JOB, State, ended_at, has_ended, job, says_nothing_new, spoilt, subject_key
from tidegate.control.services.settings import ServiceSettings
from tidegate.protocol.errors import ResourceNotFound, ShuttingDown, TidegateError
from tidegate.resources.document import Document, Key, key_of
from tidegate.resources.parts import at
from tidegate.resources.revision import timestamp
from tidegate.resources.store import Store

log = logging.getLogger(__name__)
LEFT = "the server ended before it did"


class Jobs:
    """Everything is called in one event loop. ``clock`` tells seconds since 1970."""

    def __init__(self, store: Store, settings: ServiceSettings, clock: Callable[[], float]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._held: dict[Key, Document] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Take note of what is stored. Downloads of a process that is gone are marked as cancelled; whoever still
        needs one begins it anew. Rollouts go on, and whoever carries them on writes what becomes of them.

        Raises:
            StateUnavailable, ShuttingDown: what is stored cannot be read or written.
        """
        self._held = {key_of(each): each for each in (await self._store.list(JOB)).items}
        for key, each in list(self._held.items()):
            status = each.get("status") or {}
            if at(each, "spec", "type") == "download" and not has_ended(status):
                told = {name: value for name, value in status.items() if name != "place"}
                ended = {"state": State.CANCELLED.value, "message": LEFT, "endedAt": timestamp(self._clock())}
                await self.write(key.namespace, key.name, each["spec"], told | ended)
        await self._sweep()

    async def stop(self) -> None:
        """Nothing is deleted any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})

    def is_there(self, namespace: str, name: str) -> bool:
        """Whether there is a job of that name, as far as is known here."""
        return Key(JOB, namespace, name) in self._held

    async def write(self, namespace: str, name: str, spec: Document, status: Document) -> None:
        """Have a job as it is now: made if there is none, and nothing is written where that changes nothing.

        ``spec`` and ``status`` are those of a ServingJob (``resources.serving_job``). One that had ended and goes on is
        made anew, so that its age is that of the work. Where the subject is not there any more, nothing is written.

        Raises:
            StateUnavailable, ShuttingDown: it cannot be written.
        """
        key = Key(JOB, namespace, name)
        held = self._held.get(key)
        before = (held or {}).get("status") or {}
        if held is not None and (before == status or await self._told_already(key, before, status)):
            return
        if held is not None and has_ended(before) and not has_ended(status):
            await self._delete(key)
            held = None
        if held is None or not await self._replaced(held, status):
            await self._create(key, spec, status)
        if has_ended(status):
            await self._sweep()

    async def _told_already(self, key: Key, before: Document, status: Document) -> bool:
        if not says_nothing_new(before, status):
            return False
        try:
            await self._store.get(key)  # it may have gone with its service since
        except ResourceNotFound:
            self._held.pop(key, None)
            return False
        return True

    async def _replaced(self, held: Document, status: Document) -> bool:
        try:
            self._held[key_of(held)] = await self._store.replace_status(_bare(held) | {"status": status})
        except ResourceNotFound:
            self._held.pop(key_of(held), None)
            return False
        return True

    async def _create(self, key: Key, spec: Document, status: Document) -> None:
        try:
            subject = await self._store.get(subject_key(key.namespace, spec))
            made = await self._store.create(job(key.namespace, key.name, spec, subject))
            self._held[key] = await self._store.replace_status(_bare(made) | {"status": status})
        except ResourceNotFound:  # its subject went, and perhaps the job with it
            self._held.pop(key, None)

    async def _sweep(self) -> None:
        """Delete what has been kept long enough, and come again when the next one has."""
        now, settings = self._clock(), self._settings
        for key in spoilt(self._held.values(), now, settings.jobs_kept, settings.jobs_kept_for):
            await self._delete(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ended = [ended_at(each) for each in self._held.values() if has_ended(each.get("status") or {})]
        if ended and not self._closed:
            seconds = max(min(ended) + settings.jobs_kept_for - now, 0.0) + 1.0  # times are told in whole seconds
            self._timer = asyncio.get_running_loop().call_later(seconds, self._sweep_now)

    def _sweep_now(self) -> None:
        self._sweeping = asyncio.create_task(self._swept(), name="sweep jobs")

    async def _swept(self) -> None:
        try:
            await self._sweep()
        except ShuttingDown:
            return
        except TidegateError as error:  # the next job that ends sweeps again
            log.warning("old jobs cannot be deleted: %s", error.message)

    async def _delete(self, key: Key) -> None:
        with suppress(ResourceNotFound):  # it went with its service
            await self._store.delete(key)
        self._held.pop(key, None)


def _bare(document: Document) -> Document:
    """A document as a status is written by it: its address alone, so that no version is a precondition."""
    metadata = {name: document["metadata"][name] for name in ("name", "namespace")}
    return {name: document[name] for name in ("apiVersion", "kind")} | {"metadata": metadata}
