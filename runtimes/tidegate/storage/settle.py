"""When a change on disk is over. Whoever writes a model writes for a while; half of it must not be loaded.

A path counts as changed once what it lists stayed the same for ``quiet`` seconds, and differs from what was told last.
A path that vanishes for a moment, as while it is replaced, has not changed; one that is gone for as long, is gone.
Pure: whoever watches takes snapshots, says when, and asks for the next one at ``next_at``.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """What tells that a file has been written or replaced, without reading it."""

    size: int
    mtime_ns: int
    inode: int


Listing = tuple[tuple[str, Stamp], ...]
"""Of one watched path: every file below it by its name, sorted; a lone file is named ""."""
Snapshot = Mapping[str, Listing]
"""Listing by watched path; a path that is not there is not in it."""


class Changes(msgspec.Struct, frozen=True):
    """What is different from what was told before; each sorted."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


class Settling(msgspec.Struct, frozen=True):
    """A difference that has been seen since a time; no listing: the path is gone."""

    listing: Listing | None
    since: float


class Settle:
    """Snapshots in, changes out. ``known`` is what is served already, so it is no change."""

    def __init__(self, quiet: float, known: Snapshot | None = None) -> None:
        self._quiet = quiet
        self._told: dict[str, Listing] = dict(known or {})
        self._settling: dict[str, Settling] = {}

    @property
    def next_at(self) -> float | None:
        """When a further snapshot can tell something that no new write causes; None while nothing is settling."""
        return min((each.since + self._quiet for each in self._settling.values()), default=None)

    def observe(self, snapshot: Snapshot, now: float) -> Changes:
        """Take a snapshot made at ``now``, which never goes back, and tell what has changed for good by it."""
        added: list[str] = []
        changed: list[str] = []
        removed: list[str] = []
        for path in sorted({*snapshot, *self._told, *self._settling}):
            listing = snapshot.get(path)
            told = self._told.get(path)
            if listing == told:
                self._settling.pop(path, None)
                continue
            settling = self._settling.get(path)
            if settling is None or settling.listing != listing:
                settling = self._settling[path] = Settling(listing, now)
            if now < settling.since + self._quiet:  # as next_at says it, to the last bit
                continue
            del self._settling[path]
            if listing is None:
                del self._told[path]
                removed.append(path)
            else:
                self._told[path] = listing
                (added if told is None else changed).append(path)
        return Changes(tuple(added), tuple(changed), tuple(removed))
