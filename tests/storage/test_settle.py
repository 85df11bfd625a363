"""When a change on disk is told: once it is over, once, and never twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.storage.settle import Changes, Listing, Settle, Snapshot, Stamp

OLD: Listing = (("", Stamp(1, 10, 100)),)
NEW: Listing = (("", Stamp(2, 20, 100)),)
REPLACED: Listing = (("", Stamp(1, 10, 101)),)

NOTHING = Changes()


def test_a_change_is_told_once_it_is_over() -> None:
    """While a file grows nothing is told; after the quiet time, once."""
    settle = Settle(2.0, {"a": OLD})
    assert settle.observe({"a": OLD}, 0.0) == NOTHING
    assert settle.next_at is None
    assert settle.observe({"a": NEW}, 1.0) == NOTHING
    assert settle.next_at == 3.0
    assert settle.observe({"a": REPLACED}, 2.9) == NOTHING
    assert settle.observe({"a": REPLACED}, 4.8) == NOTHING
    assert settle.observe({"a": REPLACED}, 4.9) == Changes(changed=("a",))
    assert settle.observe({"a": REPLACED}, 9.0) == NOTHING
    assert settle.next_at is None


def test_what_comes_and_goes_is_told_by_its_kind() -> None:
    """New paths and those that are gone settle as well."""
    settle = Settle(1.0, {"gone": OLD})
    assert not settle.observe({"new": NEW, "other": OLD}, 0.0)
    assert settle.observe({"new": NEW, "other": OLD}, 1.0) == Changes(added=("new", "other"), removed=("gone",))
    assert not settle.observe({"new": NEW, "other": OLD}, 2.0)


def test_a_path_that_is_replaced_was_never_gone() -> None:
    """Between unlink and rename somebody may look; what is told is the change."""
    settle = Settle(1.0, {"a": OLD})
    assert not settle.observe({}, 0.0)
    assert not settle.observe({"a": REPLACED}, 0.9)
    assert settle.observe({"a": REPLACED}, 1.9) == Changes(changed=("a",))


def test_a_change_that_is_taken_back_is_none() -> None:
    """What is served is what is there."""
    settle = Settle(1.0, {"a": OLD})
    assert not settle.observe({"a": NEW}, 0.0)
    assert not settle.observe({"a": OLD}, 0.5)
    assert settle.next_at is None
    assert not settle.observe({"a": OLD}, 5.0)


def test_without_a_quiet_time_a_change_is_told_at_once() -> None:
    """For what is written by a rename."""
    assert Settle(0.0).observe({"a": OLD}, 0.0) == Changes(added=("a",))


LISTINGS = st.sampled_from([OLD, NEW, REPLACED])
SNAPSHOTS = st.dictionaries(st.sampled_from("ab"), LISTINGS)
HISTORIES = st.lists(st.tuples(SNAPSHOTS, st.integers(0, 5)), max_size=30)


@given(SNAPSHOTS, HISTORIES, st.integers(0, 6))
def test_what_was_told_is_what_was_there(known: Snapshot, history: list[tuple[Snapshot, int]], quiet: int) -> None:
    """Each path told had one listing in all snapshots of the quiet time, another than was told before; and once
    nothing is settling, the sum of what was told is what is there."""
    settle = Settle(quiet, known)
    told = dict(known)
    seen: list[tuple[int, Snapshot]] = []
    now = 0
    for snapshot, pause in history:
        now += pause
        seen.append((now, snapshot))
        changes = settle.observe(snapshot, now)
        for path in (*changes.added, *changes.changed, *changes.removed):
            others = [at for at, (_, other) in enumerate(seen) if other.get(path) != snapshot.get(path)]
            first, _ = seen[others[-1] + 1 if others else 0]
            assert now - first >= quiet
            assert told.get(path) != snapshot.get(path)
        assert all(path not in told for path in changes.added)
        assert all(path in told and path in snapshot for path in changes.changed)
        assert all(path not in snapshot for path in changes.removed)
        for path in (*changes.added, *changes.changed):
            told[path] = snapshot[path]
        for path in changes.removed:
            del told[path]
        assert (settle.next_at is None) == (told == dict(snapshot))
        assert settle.next_at is None or settle.next_at > now


@given(SNAPSHOTS, HISTORIES, SNAPSHOTS, st.integers(0, 6))
def test_what_lasts_is_told_in_the_end(
    known: Snapshot, history: list[tuple[Snapshot, int]], last: Snapshot, quiet: int
) -> None:
    """Whatever was before: asked at the time that it names itself, it tells the last state, and then rests."""
    settle = Settle(quiet, known)
    now = 0
    for snapshot, pause in history:
        now += pause
        settle.observe(snapshot, now)
    settle.observe(last, now)
    if settle.next_at is not None:
        settle.observe(last, settle.next_at)
    assert settle.next_at is None
    assert not settle.observe(last, now + 100)
