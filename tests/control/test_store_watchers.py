"""The moment at which a watcher goes over from the log to what is published."""

from __future__ import annotations

from tidegate.control.store.ledger import Entry
from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.watchers import Watcher, Watchers
from tidegate.resources.document import to_bytes
from tidegate.resources.store import ALL, ChangeType
from tidegate.testing.stores import KIND, in_loop, key, service, told


def entry(version: int) -> Entry:
    document = to_bytes(service(f"s{version}", resourceVersion=str(version)), 10_000)
    return Entry(version, 0.0, ChangeType.ADDED, key(f"s{version}"), None, document)


@in_loop
async def test_what_was_read_from_the_log_is_not_told_again() -> None:
    """A write may be in the log before it is published; who has read it there does not get it twice."""
    watchers = Watchers(newest=1)
    watcher = Watcher(KIND, ALL, version=3, bookmarks=False, settings=StoreSettings())
    watchers.attach(watcher)
    watchers.publish([entry(2), entry(3)])
    assert watcher.take() is None
    watchers.publish([entry(4)])
    change = watcher.take()
    assert change is not None
    assert told(change) == ("ADDED", "s4")
    assert watcher.take() is None


@in_loop
async def test_who_has_left_is_forgotten() -> None:
    """Nothing is kept for a watcher that was detached."""
    watchers = Watchers(newest=1)
    watcher = Watcher(KIND, ALL, version=1, bookmarks=False, settings=StoreSettings())
    watchers.attach(watcher)
    watchers.detach(watcher)
    assert len(watchers) == 0
    watchers.publish([entry(2)])
    assert watcher.take() is None
