"""Trying a revision out and asking others about it: a task for each examination that goes on, and what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from math import isfinite
from typing import Generic, TypeVar

import msgspec

from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.control.rollouts.examiner import Examiner
from tidegate.resources.actuator import RevisionId
from tidegate.resources.rollout import Check, Golden

N = TypeVar("N", bound=Hashable)
"""Whatever a service is known by."""

log = logging.getLogger(__name__)


class Examine(msgspec.Struct, frozen=True):
    """Have a revision examined, and look at its service again when that is known."""

    key: str
    """Which examination this is, in its service: asked for again while it goes on, it does nothing."""
    subject: Golden | Check
    stable: RevisionId
    canary: RevisionId
    phase: str


class Examined(msgspec.Struct, frozen=True):
    """What came of one, and when, in seconds since 1970."""

    verdict: Verdict
    at: float


class Examinations(Generic[N]):
    """Everything is called in one event loop; ``changed(name)`` is called there when something was found out."""

    def __init__(
        self, examiner: Examiner, changed: Callable[[N], None], clock: Callable[[], float], longest: float
    ) -> None:
        """``longest`` is how many seconds a check of a user's own may take."""
        self._examiner = examiner
        self._changed = changed
        self._clock = clock
        self._longest = longest
        self._found: dict[N, dict[str, Examined]] = {}
        self._tasks: dict[tuple[N, str], asyncio.Task[None]] = {}

    def of(self, name: N) -> Mapping[str, Examined]:
        """What is known by now, by key."""
        return dict(self._found.get(name, {}))

    def ask(self, name: N, examine: Examine) -> None:
        """Find it out."""
        place = (name, examine.key)
        if place not in self._tasks:
            self._tasks[place] = asyncio.create_task(self._find(name, examine), name=f"examine {name} {examine.key}")

    def forget(self, name: N, keys: frozenset[str] = frozenset()) -> None:
        """Of this service nothing is of concern any more but these."""
        found = self._found.get(name, {})
        for key in [key for key in found if key not in keys]:
            del found[key]
        if not found:
            self._found.pop(name, None)
        for place, task in list(self._tasks.items()):
            if place[0] == name and place[1] not in keys:
                task.cancel()

    async def stop(self) -> None:
        """End what is going on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _find(self, name: N, examine: Examine) -> None:
        try:
            verdict = finite(await self._verdict(examine))
            self._found.setdefault(name, {})[examine.key] = Examined(verdict, self._clock())
        finally:
            del self._tasks[name, examine.key]
        self._changed(name)

    async def _verdict(self, examine: Examine) -> Verdict:
        check = examine.subject
        name = "golden" if isinstance(check, Golden) else f"check/{check.name}"
        try:
            if isinstance(check, Golden):  # each of its requests has a time of its own, and there may be many
                return await self._examiner.golden(examine.canary, check)
            async with asyncio.timeout(self._longest):
                return await self._examiner.ask(check, examine.stable, examine.canary, examine.phase)
        except TimeoutError:
            return Verdict(name, Outcome.NO_DATA, f"{name}: no answer within {self._longest:g} s")
        except Exception:
            log.exception("unexpected error in an examination of %s", examine.canary)
            return Verdict(name, Outcome.NO_DATA, f"{name}: it could not be carried out; the log says why")


def finite(verdict: Verdict) -> Verdict:
    """Without numbers that JSON cannot have (a metric without samples is NaN): verdicts are written down."""
    numbers = {name: number for name, number in verdict.numbers.items() if isfinite(number)}
    return msgspec.structs.replace(verdict, numbers=numbers)
