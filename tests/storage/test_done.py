"""How much of some work on bytes is done."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tidegate.storage.cache import ArtifactCache, CacheSettings
from tidegate.storage.done import Done

CHUNKS = st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 40)), max_size=300)


@given(CHUNKS)
def test_the_share_grows_and_is_told_seldom(chunks: list[tuple[bool, int]]) -> None:
    """Whatever is expected and handled in whatever order: a hundred times at most, never less, never more than all."""
    told: list[float] = []
    done = Done(told.append)
    for expected, count in chunks:
        if expected:
            done.expect(count)
        else:
            done.add(count)
    assert told == sorted(set(told))
    assert len(told) <= 100
    assert all(0.0 < share <= 1.0 for share in told)


def test_the_share_is_of_what_is_expected() -> None:
    """As it is known by then."""
    told: list[float] = []
    done = Done(told.append)
    done.expect(200)
    done.add(50)
    done.expect(200)
    done.add(49)
    assert told == [0.25]
    done.add(101)
    assert told == [0.25, 0.5]


def test_a_copy_is_done_when_it_is_made(tmp_path: Path) -> None:
    """Copied and hashed, beside others, too; one that is here already, and one that is damaged, have no other end."""
    source = tmp_path / "m.onnx"
    with ArtifactCache(CacheSettings(directory=tmp_path / "cache", max_bytes=1 << 30)) as cache:
        for size in (5 << 20, 6 << 20):
            source.write_bytes(bytes(size))
            told: list[float] = []
            cache.hold(source, done=Done(told.append))
            assert told[-1] == 1.0
            assert len(told) >= 10
        again: list[float] = []
        held = cache.hold(source, done=Done(again.append))
        assert again[-1] <= 1.0
        assert again == sorted(again)
        known: list[float] = []
        assert cache.hold_digest(held.digest, Done(known.append)) is not None
        assert known[-1] == 1.0
