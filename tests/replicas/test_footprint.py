"""What a process holds, as the system tells it."""

from __future__ import annotations

import os
import sys

import pytest

from tidegate.replicas.footprint import footprint, parse_rollup

ROLLUP = """\
55d0a0000000-7ffc00000000 ---p 00000000 00:00 0                          [rollup]
Rss:              104812 kB
Pss:               83160 kB
Pss_Dirty:         60000 kB
Shared_Clean:      20000 kB
"""


def test_the_part_that_is_its_own() -> None:
    """Of what it shares with others its part, in bytes."""
    assert parse_rollup(ROLLUP.splitlines()) == 83160 << 10


@pytest.mark.parametrize("text", ["", "Rss:  1 kB\n", "Pss_Dirty:  1 kB\n"])
def test_a_system_that_does_not_tell(text: str) -> None:
    """Nothing is known, and nothing is made up."""
    assert parse_rollup(text.splitlines()) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_this_process() -> None:
    """It holds more than its interpreter's first megabyte; a process that has gone holds nothing."""
    assert footprint(os.getpid()) > 1 << 20
    assert footprint(2**22 + 1) == 0
