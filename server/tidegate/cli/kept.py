"""The options of ``tidegate serve`` about what its state keeps, what people are told, and golden requests."""

from __future__ import annotations

from dataclasses import dataclass

from cyclopts import Group, Parameter

from tidegate.app.golden import GoldenSettings
from tidegate.cli.group import Given, Positive, Seconds, Size, overlay
from tidegate.control.notifications.settings import NotificationSettings
from tidegate.control.store.settings import StoreSettings

GOLDEN = GoldenSettings()
NOTIFICATIONS = NotificationSettings()
STORE = StoreSettings()


@Parameter(name="*", group=Group("Golden requests", sort_key=5.6))
@dataclass(frozen=True)
class Golden(Given):
    golden_requests: Positive = GOLDEN.max_requests
    """Requests with known answers that one rollout may have, in all its files together."""
    golden_bytes: Size = GOLDEN.max_bytes
    """Those files together."""
    golden_timeout: Seconds = GOLDEN.timeout
    """Seconds for the answer to one of them."""


@Parameter(name="*", group=Group("Notifications", sort_key=5.7))
@dataclass(frozen=True)
class Told(Given):
    notifications_at_once: Positive = NOTIFICATIONS.concurrent
    """Channels that are sent to at a time; to each one message after the other."""
    notification_first_pause: Seconds = NOTIFICATIONS.first_pause
    """Seconds after the first attempt in vain; twice as long after each further one."""
    notification_longest_pause: Seconds = NOTIFICATIONS.longest_pause
    """Seconds at most between two attempts, unless the channel asks for more."""
    notification_longest_wish: Seconds = NOTIFICATIONS.longest_wish
    """Seconds at most for which a channel's Retry-After is obeyed."""
    notification_grace: Seconds = NOTIFICATIONS.stop_grace
    """Seconds for what is being sent to end when the server stops; broken off, it is sent again."""
    max_deliveries: Positive = STORE.max_deliveries
    """Notifications that wait to be sent, of all channels; over it the oldest of the longest queue is given up."""
    max_delivery_age: Seconds = STORE.max_delivery_age
    """Seconds after which a notification that could not be sent is given up."""


@Parameter(name="*", group=Group("State", sort_key=5.8))
@dataclass(frozen=True)
class State(Given):
    max_resource_bytes: Size = STORE.max_document
    """One resource as JSON; a request to the resource API has at most 3MiB."""
    max_patch_operations: Positive = STORE.max_patch_operations
    """Operations of one JSON patch."""
    max_changes: Positive = STORE.max_changes
    """Entries of the change log: who watches, or pages through a list, may be so many writes behind."""
    max_change_age: Seconds = STORE.max_change_age
    """Seconds for which one is kept."""
    watcher_queue: Positive = STORE.watch_queue
    """Changes that wait for one watcher; one that has more to read is ended."""
    watcher_batch: Positive = STORE.watch_batch
    """Resources or changes that a watcher reads at once while it catches up."""
    bookmark_every: Positive = STORE.bookmark_every
    """Changes that do not concern a watcher after which it is told the version, if it asked for bookmarks."""
    max_events: Positive = STORE.max_events
    """Events for people, of all resources together."""
    max_event_age: Seconds = STORE.max_event_age
    """Seconds for which one is kept after it last happened."""
    max_occurrence_bytes: Size = STORE.max_occurrence
    """One occurrence as JSON."""
    max_occurrences: Positive = STORE.max_occurrences
    """Occurrences that the log keeps: who follows it may be so many behind."""
    max_occurrence_age: Seconds = STORE.max_occurrence_age
    """Seconds for which it keeps one."""
    max_waiting_writes: Positive = STORE.max_waiting
    """Writes, and as many reads, that wait for the disk; over it the answer is immediate."""
    busy_timeout: Seconds = STORE.busy_timeout
    """Seconds to wait for a lock that another program holds on the file: a backup, a shell."""


DEFAULT_GOLDEN, DEFAULT_TOLD, DEFAULT_STATE = Golden(), Told(), State()

_GOLDEN = {"max_requests": "golden_requests", "max_bytes": "golden_bytes", "timeout": "golden_timeout"}
_TOLD = {
    "concurrent": "notifications_at_once",
    "first_pause": "notification_first_pause",
    "longest_pause": "notification_longest_pause",
    "longest_wish": "notification_longest_wish",
    "stop_grace": "notification_grace",
}
_STATE = {
    "max_document": "max_resource_bytes",
    "watch_queue": "watcher_queue",
    "watch_batch": "watcher_batch",
    "max_occurrence": "max_occurrence_bytes",
    "max_waiting": "max_waiting_writes",
}
"""Options, by the fields of the settings that have other names."""


def golden_of(golden: Golden) -> GoldenSettings:
    """What requests with known answers may take.

    Raises:
        ValueError: a bound is none, by the name of its option. So are those of the others.
    """
    return overlay(GOLDEN, golden, options=_GOLDEN)


def notifications_of(told: Told) -> NotificationSettings:
    """How notifications are sent, but for where to."""
    return overlay(NOTIFICATIONS, told, options=_TOLD)


def store_of(state: State, told: Told) -> StoreSettings:
    """What the state keeps."""
    return overlay(STORE, state, told, options=_STATE)
