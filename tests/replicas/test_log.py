"""The last lines of each replica, and who follows them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.replicas.log import Log, LogLine, LogSettings
from tidegate.testing.clock import run_virtual


def texts(log: Log) -> list[str]:
    return [line.text for line in log.lines()]


def test_lines_are_put_together_from_what_comes() -> None:
    """A line is one when its end has come, or its worker's; it has the time of its end."""
    log = Log()
    replica = log.replica()
    replica.write(b"one\ntw", at=1.0)
    assert log.lines() == (LogLine(1.0, 1, "one"),)
    replica.write(b"o\r\n\nthr", at=2.0)
    replica.finish(at=3.0)
    assert log.lines()[1:] == (LogLine(2.0, 1, "two"), LogLine(2.0, 1, ""), LogLine(3.0, 1, "thr"))


def test_lines_of_all_replicas_are_told_by_time() -> None:
    """Each with its replica's number; those of a replica that is gone for good are gone."""
    log = Log()
    one, two = log.replica(), log.replica()
    one.write(b"a\n", at=1.0)
    two.write(b"b\n", at=2.0)
    one.write(b"c\n", at=3.0)
    assert [(line.replica, line.text) for line in log.lines()] == [(1, "a"), (2, "b"), (1, "c")]
    log.drop(one)
    assert texts(log) == ["b"]
    assert log.replica().number == 3


def test_what_is_no_text_is_told_all_the_same() -> None:
    """Bytes that are no UTF-8 become replacement characters."""
    log = Log()
    log.replica().write(b"\xff\n", at=0.0)
    assert texts(log) == ["�"]


def test_the_newest_lines_stay() -> None:
    """Within both bounds, and a line that exceeds one alone is kept alone."""
    log = Log(LogSettings(lines=3, nbytes=8, line_bytes=100))
    replica = log.replica()
    replica.write(b"1\n2\n3\n4\n", at=0.0)
    assert texts(log) == ["2", "3", "4"]
    replica.write(b"123456\n", at=0.0)
    assert texts(log) == ["3", "4", "123456"]
    replica.write(b"123456789\n", at=0.0)
    assert texts(log) == ["123456789"]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 5), st.integers(1, 30), st.integers(1, 10))
def test_nothing_grows(pieces: list[bytes], lines: int, nbytes: int, line_bytes: int) -> None:
    """However it comes: what is kept is the end of all that was written, within the bounds."""
    log = Log(LogSettings(lines=lines, nbytes=nbytes, line_bytes=line_bytes))
    replica = log.replica()
    for piece in pieces:
        replica.write(piece.replace(b"\xff", b"x"), at=0.0)
    replica.finish(at=0.0)
    kept = [line.text for line in replica.lines]
    assert len(kept) <= lines
    assert all(len(text) <= line_bytes for text in kept)
    assert sum(map(len, kept)) <= nbytes or len(kept) == 1


def test_a_follower_reads_from_its_beginning_on() -> None:
    """What comes later, until it is closed; what has come by then, too."""

    async def main() -> None:
        log = Log()
        replica = log.replica()
        replica.write(b"before\n", at=0.0)
        follower = log.follow()
        reading = asyncio.create_task(anext(follower))
        await asyncio.sleep(1.0)
        assert not reading.done()
        replica.write(b"one\n", at=0.0)
        assert (await reading).text == "one"
        replica.write(b"two\n", at=0.0)
        log.close()
        assert [line.text async for line in follower] == ["two"]
        replica.write(b"three\n", at=0.0)
        assert [line.text async for line in follower] == []

    run_virtual(main())


def test_a_slow_follower_misses_the_oldest_and_knows_how_many() -> None:
    """The log waits for nobody."""

    async def main() -> None:
        log = Log(LogSettings(followed=2))
        follower = log.follow()
        log.replica().write(b"1\n2\n3\n4\n", at=0.0)
        follower.close()
        assert ([line.text async for line in follower], follower.missed) == (["3", "4"], 2)

    run_virtual(main())


def test_a_bound_is_at_least_1() -> None:
    """A log that keeps nothing is a mistake."""
    with pytest.raises(ValueError, match="lines is 0, expected at least 1"):
        LogSettings(lines=0)
