"""Threads of a replica: the cores are shared, not taken twice."""

from __future__ import annotations

import os

import pytest

from tidegate.app.models import available_cores, threads_of


@pytest.mark.parametrize(
    ("threads", "replicas", "cores", "expected"),
    [
        pytest.param(0, 1, 8, 0, id="one-replica-is-the-frameworks-choice"),
        pytest.param(0, 2, 8, 4, id="shared"),
        pytest.param(0, 3, 8, 2, id="rounded-down"),
        pytest.param(0, 9, 8, 1, id="more-replicas-than-cores"),
        pytest.param(3, 1, 8, 3, id="as-told"),
        pytest.param(6, 4, 8, 6, id="as-told-beyond-the-cores"),
    ],
)
def test_replicas_share_the_cores(threads: int, replicas: int, cores: int, expected: int) -> None:
    """Unless the number of threads is told; one replica alone is left to its framework."""
    assert threads_of(threads, replicas, cores) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinities")
def test_only_cores_that_may_be_used_are_counted() -> None:
    """A container or taskset gives a process fewer than the machine has."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert available_cores() == len(allowed)
