"""What a store keeps, and for how long. Frozen values, read in one place."""

from __future__ import annotations

import msgspec


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every bound of a store.

    Raises:
        ValueError: one of them leaves nothing.
    """

    max_document: int = 1024 * 1024
    """Bytes of one resource as JSON. etcd takes 1.5 MiB, so what fits here fits in a cluster."""
    max_changes: int = 10_000
    """Entries of the change log. Who watches, or pages through a list, may be that many writes behind; each takes the
    size of its resource twice."""
    max_change_age: float = 3600.0
    """Seconds for which an entry is kept; etcd's default of Kubernetes is 300. The newest one stays."""
    watch_queue: int = 1000
    """Changes that wait for one watcher. It is ended when there are more, so that a slow one cannot hold memory."""
    watch_batch: int = 500
    """Resources or changes that a watcher reads at once while it catches up."""
    bookmark_every: int = 100
    """Changes that do not concern a watcher, after which it is told the version, if it asked for bookmarks. Far below
    ``max_changes``, so that it can go on from there."""
    max_events: int = 10_000
    """Events for people, of all resources together; the ones not repeated for the longest time go first."""
    max_event_age: float = 7 * 86400.0
    """Seconds for which an event is kept after it last happened: long enough to ask on Monday about Friday."""
    max_occurrence: int = 32 * 1024
    """Bytes of one occurrence as JSON."""
    max_occurrences: int = 10_000
    """Occurrences that the log keeps. Who follows it may be that many behind, and what is told again later than that is
    taken for new."""
    max_occurrence_age: float = 7 * 86400.0
    """Seconds for which the log keeps one, as long as an event."""
    max_deliveries: int = 10_000
    """Notifications that wait to be sent, of all channels together. Over it the oldest of the longest lane is given
    up; each takes the size of its occurrence."""
    max_delivery_age: float = 86400.0
    """Seconds after which a notification that could not be sent is given up: a channel may be away for a night."""
    max_patch_operations: int = 1000
    """Operations of one JSON patch. Each is checked by itself."""
    max_waiting: int = 1000
    """Writes, and as many reads, that wait for the disk. Over it the answer is immediate."""
    busy_timeout: float = 5.0
    """Seconds to wait for a lock that another program (a backup, a shell) holds on the file."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
