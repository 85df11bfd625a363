"""What follows from counting replicas again and again."""

from __future__ import annotations

import pytest

from tidegate.loadtests.census import Count, at, changes, count, replica_seconds, starts


def test_what_is_ordered_is_there_before_its_process() -> None:
    """And what drains is still there; what has failed and has no process is ordered all the same."""
    assert count(1.0, 5, {"ready": 2, "draining": 1}) == Count(1.0, 5, 2, 6)
    assert count(1.0, 2, {"ready": 2, "loading": 1, "starting": 1}) == Count(1.0, 2, 2, 4)
    assert count(1.0, 3, {"ready": 1, "backing off": 2, "stopped": 4, "failed": 1}) == Count(1.0, 3, 1, 3)


def test_replica_seconds_are_those_of_the_run() -> None:
    """What is before second 0 or after the end is not paid for; a change is in the middle between two counts."""
    counts = [Count(-1.0, 2, 2, 2), Count(1.0, 2, 2, 2), Count(3.0, 4, 2, 4), Count(7.0, 4, 4, 4)]
    assert replica_seconds(counts, 5.0) == pytest.approx(2 * 1 + 3 * 2 + 4 * 2)
    assert replica_seconds([], 5.0) == 0.0


def test_changes_are_orders_and_farewells() -> None:
    """Each replica counts for itself."""
    counts = [Count(float(k), desired, 0, 0) for k, desired in enumerate((9, 2, 5, 5, 1, 8))]
    assert changes(counts[1:], 4.0) == 3 + 4


def test_a_start_is_from_the_order_until_it_is_ready() -> None:
    """Those that are there at the beginning did not start; what was called off never did."""
    counts = [
        Count(0.0, 2, 2, 2),
        Count(1.0, 5, 2, 5),
        Count(3.0, 4, 2, 4),  # the youngest is not wanted any more
        Count(6.0, 4, 3, 4),
        Count(8.0, 4, 4, 4),
    ]
    assert starts(counts) == [5.0, 7.0]


def test_a_count_holds_until_the_next() -> None:
    """Before the first there is the first."""
    counts = [Count(1.0, 1, 1, 1), Count(2.0, 2, 1, 2)]
    assert [at(counts, second).desired for second in (0.5, 1.5, 2.0, 9.0)] == [1, 1, 2, 2]
