"""Lines to a pipe: whoever says them waits for nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tidegate.cli.lines import Lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Where is read, and where is written."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(writing)


def lost(count: int) -> bytes:
    return b"lost %d" % count


def test_lines_come_in_order(pipe: tuple[int, int]) -> None:
    """All of them, by the time that it is closed."""
    reading, writing = pipe
    lines = Lines(writing, lost)
    for number in range(1000):
        lines.say(b"%d" % number)
    lines.close()
    with os.fdopen(reading, "rb") as read:
        assert [int(read.readline()) for _ in range(1000)] == list(range(1000))


def test_nobody_reads(pipe: tuple[int, int]) -> None:
    """Then the oldest that wait are dropped, and counted where they would stand; closing does not wait for ever."""
    reading, writing = pipe
    lines = Lines(writing, lost, most=10)
    said = 100_000
    for number in range(said):
        lines.say(b"%d" % number)
    assert "10 waiting" in repr(lines)
    lines.close(0.0)
    with os.fdopen(reading, "rb") as read:
        last = -1
        dropped = 0
        while last < said - 1:
            line = read.readline().split()
            if line[0] == b"lost":
                dropped += int(line[1])
                last += int(line[1])
            else:
                last += 1
                assert int(line[0]) == last
    assert dropped > 0


def test_a_reader_that_leaves(pipe: tuple[int, int]) -> None:
    """It has read enough: the rest is for nobody."""
    reading, writing = pipe
    lines = Lines(writing, lost)
    os.close(reading)
    for number in range(1000):
        lines.say(b"%d" % number)
    lines.close()


def test_nothing_is_said() -> None:
    """No thread is begun for it."""
    Lines(-1, lost).close()
