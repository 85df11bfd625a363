"""Who is told: the channels of a manifest whose filters match the type of an occurrence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tidegate.resources.channel import sort_of
from tidegate.resources.rollout import Channel
from tidegate.resources.store import Delivery

DEFAULT: tuple[str, ...] = tuple(Channel().events)
"""The filters of a channel that names none."""


def deliveries_of(notify: Iterable[Mapping[str, Any]] | None, type: str) -> list[Delivery]:
    """The deliveries of an occurrence of a type, for a service whose ``spec.notify`` this is. Each channel once."""
    found: list[Delivery] = []
    for channel in notify or ():
        delivery = Delivery({sort: channel[sort] for sort in (sort_of(channel),) if sort})
        if delivery.channel and delivery not in found and wants(channel, type):
            found.append(delivery)
    return found


def wants(channel: Mapping[str, Any], type: str) -> bool:
    """Whether one of its filters matches; ``*`` stands for anything."""
    filters = channel.get("events")
    return any(fnmatchcase(type, pattern) for pattern in (DEFAULT if filters is None else filters))
