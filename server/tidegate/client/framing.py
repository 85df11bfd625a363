"""How an answer that comes bit by bit is cut into what each bit of it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from tidegate.client.events import EventReader
from tidegate.client.http_calls import is_events
from tidegate.client.lines import LineReader


class Reader(Protocol):
    """Reads one answer."""

    def feed(self, part: bytes) -> Iterator[bytes]:
        """What has ended in this part of the answer."""
        ...


@dataclass(frozen=True)
class Framing:
    """One way to cut."""

    applies: Callable[[Mapping[str, str]], bool]
    """Whether a successful answer with these headers is to be cut; any other is read whole."""
    reader: Callable[[int], Reader]
    """A reader whose bits have at most so many bytes."""


EVENTS = Framing(is_events, EventReader)
LINES = Framing(lambda _: True, LineReader)
"""The resource API declares its watches as JSON, as Kubernetes does: who asked for a stream gets lines."""
