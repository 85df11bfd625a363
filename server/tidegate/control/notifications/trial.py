"""Trying the channels of a service: a message to each now, past the outbox, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import msgspec

from tidegate.control.notifications.courier import Courier
from tidegate.control.notifications.outcome import Fate
from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.channel import sort_of, words_of
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.kinds import OURS
from tidegate.resources.parts import at
from tidegate.resources.store import Occurrence, Severity, Store

TYPE = "notify.test"
AT_A_TIME = 8


class Tried(msgspec.Struct, frozen=True):
    """What came of one channel: ``channel`` is its position in ``spec.notify``, ``outcome`` delivered or failed."""

    channel: int
    name: str
    outcome: str
    message: str


class Trial:
    """``clock`` gives seconds since 1970."""

    def __init__(self, store: Store, courier: Courier, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._courier = courier
        self._clock = clock

    async def try_channels(self, namespace: str, service: str, channel: int | None = None) -> list[Tried]:
        """Send to all channels of a ModelService, whatever their filters, or to one of them.

        Raises:
            ResourceNotFound: there is no such service.
            InvalidRequest: it has no such channel.
        """
        key = Key(GroupKind(OURS, "ModelService"), namespace, service)
        document = await self._store.get(key)
        found: list[Mapping[str, Any]] = at(document, "spec", "notify") or []
        chosen = [(index, each) for index, each in enumerate(found) if channel in (None, index)]
        if not chosen:
            told = f"has {len(found)} channels" if found else "has no channels"
            asked = "" if channel is None else f", there is no {channel}: the first is 0"
            raise InvalidRequest(f"{key} {told} in spec.notify{asked}")
        occurrence = occurrence_of(key, document, self._clock())
        room = asyncio.Semaphore(AT_A_TIME)
        return await asyncio.gather(*(self._one(room, index, each, occurrence) for index, each in chosen))

    async def _one(
        self, room: asyncio.Semaphore, index: int, channel: Mapping[str, Any], occurrence: Occurrence
    ) -> Tried:
        async with room:
            target = {sort: channel[sort] for sort in (sort_of(channel),) if sort}
            outcome = await self._courier.deliver(target, occurrence, self._clock())
        told = "delivered" if outcome.fate is Fate.DELIVERED else "failed"
        return Tried(index, words_of(channel), told, outcome.why)


def occurrence_of(key: Key, service: Document, now: float) -> Occurrence:
    """What a trial says: another id each time, for it is to arrive each time."""
    return Occurrence(
        id=f"{service['metadata']['uid']}/notify test {uuid4()}",
        type=TYPE,
        about=key,
        uid=service["metadata"]["uid"],
        severity=Severity.NORMAL,
        reason="NotificationTest",
        message="This is a test, and says only that notifications arrive here.",
        time=now,
    )
