"""Asking the resolver: a task per track whose model is being found out, and what came of it until it is a revision."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping

import msgspec

from tidegate.control.downloads import Asked, Downloads
from tidegate.control.services.actions import Resolve
from tidegate.control.services.resolution import Resolution
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.turns import Name
from tidegate.protocol.errors import InternalError, TidegateError
from tidegate.resources.actuator import Resolver
from tidegate.resources.parts import at

log = logging.getLogger(__name__)

Unresolved = Callable[[Name, TidegateError], None]
"""Is told in the event loop what cannot be resolved, of failures in a row that say the same only the first."""


class Resolutions:
    """Everything is called in one event loop; ``changed(name)`` is called there when something was found out."""

    def __init__(
        self,
        resolver: Resolver,
        settings: ServiceSettings,
        changed: Callable[[Name], None],
        clock: Callable[[], float],
        downloads: Downloads,
        unresolved: Unresolved | None = None,
    ) -> None:
        self._downloads = downloads
        self._unresolved = unresolved
        self._resolver = resolver
        self._settings = settings
        self._changed = changed
        self._clock = clock
        self._told: dict[Name, dict[str, Resolution]] = {}
        self._failures: dict[tuple[Name, str], int] = {}
        self._tasks: dict[tuple[Name, str], asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._keeping = asyncio.Lock()

    def of(self, name: Name) -> Mapping[str, Resolution]:
        """What is known of the tracks of a service."""
        return dict(self._told.get(name, {}))

    def ask(self, name: Name, asked: Resolve, kind: str) -> None:
        """Find it out, for a service of that kind. What the same track was asked before, and something else, is of no
        concern any more."""
        told = self._told.setdefault(name, {})
        before = told.get(asked.track)
        place = (name, asked.track)
        if before is not None and before.request == asked.request and place in self._tasks:
            return
        self._drop_task(place)
        if before is not None and before.request == asked.request:
            told[asked.track] = msgspec.structs.replace(before, retry_at=math.inf)
        else:
            self._failures.pop(place, None)
            told[asked.track] = Resolution(asked.request)
        self._tasks[place] = asyncio.create_task(
            self._find(name, asked, kind), name=f"resolve {name} {asked.track}".rstrip()
        )

    def forget(self, name: Name, tracks: frozenset[str] = frozenset()) -> None:
        """Of this service nothing is asked any more but these tracks."""
        told = self._told.get(name, {})
        for track in [track for track in told if track not in tracks]:
            del told[track]
            self._failures.pop((name, track), None)
            self._drop_task((name, track))
        if not told:
            self._told.pop(name, None)

    async def keep(self, digests: Callable[[], frozenset[str]]) -> bool:
        """Have the resolver keep the content of these and let go of all others. While something is being found out it
        is not done, and False: what was found and is no revision yet must not be let go of."""
        async with self._keeping:
            if self._tasks:
                return False
            found = (each.resolved for tracks in self._told.values() for each in tracks.values())
            await self._resolver.keep(digests() | {each.digest for each in found if each is not None})
            return True

    async def stop(self) -> None:
        """End what is going on."""
        for place in list(self._tasks):
            self._drop_task(place)
        if self._ending:
            await asyncio.wait(self._ending)

    def _drop_task(self, place: tuple[Name, str]) -> None:
        if (task := self._tasks.pop(place, None)) is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _find(self, name: Name, asked: Resolve, kind: str) -> None:
        place = (name, asked.track)
        uri = str(at(asked.template, "predictor", "model", "storageUri") or "")
        try:
            async with self._downloads.turn(Asked(kind, *name, asked.request, uri)) as progress:
                async with self._keeping:  # what is being let go of is not found at the same time
                    pass
                resolved = await self._resolver.resolve(name.namespace, asked.template, progress)
        except Exception as error:
            if not isinstance(error, TidegateError):
                log.error("unexpected error while the model of %s was resolved", name, exc_info=error)
            self._told[name][asked.track] = self._failed(place, asked, error)
        else:
            self._told[name][asked.track] = Resolution(asked.request, resolved)
            self._failures.pop(place, None)
        del self._tasks[place]
        self._changed(name)

    def _failed(self, place: tuple[Name, str], asked: Resolve, error: Exception) -> Resolution:
        known = error if isinstance(error, TidegateError) else InternalError()
        failures = self._failures[place] = self._failures.get(place, 0) + 1
        before = self._told[place[0]][asked.track].failure
        if self._unresolved is not None and before != known.message:
            self._unresolved(place[0], known)
        now = self._clock()
        return Resolution(
            asked.request,
            failure=known.message,
            kind=type(known).__name__,
            at=now,
            retry_at=now + self._settings.pause(failures),
        )
