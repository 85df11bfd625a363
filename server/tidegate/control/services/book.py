"""What a service remembers of itself between two looks at it: kept in its status, so that a restart forgets nothing.

KServe's fields of the status are written from it; it is read back as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.control.rollouts.rollout import Rollout
from tidegate.resources.document import Document
from tidegate.resources.parts import part
from tidegate.resources.traffic import Share

FIELD = "bookkeeping"


class TrackBook(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one track. 0 is no revision."""

    request: str
    """What the resolver was asked last."""
    created: int = 0
    """The revision that this came to."""
    ready: int = 0
    """The last of those revisions that was ready once."""


class Book(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one service. Revisions are numbers, and 0 is none."""

    last: int = 0
    """The highest number that was ever given."""
    tracks: Mapping[str, TrackBook] = {}
    rolledout: int = 0
    """The revision that has or had all of the traffic but for what is split off: the stable one."""
    previous: int = 0
    """The one that was that before."""
    kept_until: float | None = None
    """Until when the previous one keeps its replicas, in seconds since 1970; None while it has traffic."""
    percent: int | None = None
    """``canaryTrafficPercent`` when it was last looked at: only setting it is what goes back."""
    shares: tuple[Share, ...] = ()
    """Who has the traffic."""
    salt: str = ""
    """See ``Traffic.salt``."""
    rollout: Rollout | None = None
    """The last one, over or not; None before the first."""

    @property
    def with_traffic(self) -> frozenset[int]:
        return frozenset(share.revision for share in self.shares if share.percent)


def read(document: Document) -> Book:
    """What the status of a service remembers; nothing where it is not as it was written.

    A rollout that cannot be read, of another version of tidegate perhaps, is none: who has the traffic must not be
    forgotten for it.
    """
    kept = part(document, "status", FIELD)
    for told in (kept, {name: value for name, value in kept.items() if name != "rollout"}):
        try:
            return msgspec.convert(told, Book)
        except msgspec.ValidationError:
            continue
    return Book()


def write(book: Book) -> Document:
    """As it stands in the status."""
    document: Document = msgspec.json.decode(msgspec.json.encode(book))
    return document
