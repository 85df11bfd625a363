"""What follows from counting replicas again and again."""

from __future__ import annotations

import numpy as np
import pytest

from tidegate.loadtests.census import Count, Starts, at, changes, count, mean_start, replica_seconds, starts


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
    """Those that are there at the beginning did not start; one that is called off, or starts at the end, is a bound."""
    counts = [
        Count(0.0, 2, 2, 2),
        Count(1.0, 5, 2, 5),
        Count(3.0, 4, 2, 4),  # the youngest is not wanted any more
        Count(6.0, 4, 3, 4),
        Count(8.0, 5, 4, 5),
        Count(8.5, 5, 4, 5),
    ]
    assert starts(counts) == ([5.0, 7.0], [2.0, 0.5])


def test_who_is_called_off_was_slow() -> None:
    """Of many starts the slowest third is called off at one moment: the mean is still that of all."""
    random = np.random.default_rng(1)
    sigma = np.sqrt(np.log(1 + 0.3**2))
    drawn = 5.0 * random.lognormal(-sigma * sigma / 2, sigma, 3000)
    until = float(np.quantile(drawn, 2 / 3))
    found = Starts(drawn[drawn <= until].tolist(), [until] * int(np.count_nonzero(drawn > until)))
    assert np.mean(found.took) < 4.3
    assert mean_start(found, 0.3) == pytest.approx(5.0, rel=0.02)


def test_without_spread_the_mean_is_that_of_the_ready() -> None:
    """And where none became ready, there is nothing to tell."""
    assert mean_start(Starts([5.0, 5.0], [3.0]), 0.0) == pytest.approx(5.0)
    assert mean_start(Starts([], [3.0]), 0.3) is None


def test_a_count_holds_until_the_next() -> None:
    """Before the first there is the first."""
    counts = [Count(1.0, 1, 1, 1), Count(2.0, 2, 1, 2)]
    assert [at(counts, second).desired for second in (0.5, 1.5, 2.0, 9.0)] == [1, 1, 2, 2]
