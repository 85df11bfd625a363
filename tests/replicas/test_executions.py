"""Executions are counted by their rows, and the model's own time in classes."""

from __future__ import annotations

from tidegate.analysis.histogram import Histogram
from tidegate.replicas.executions import Executions


def test_the_models_own_time_is_counted_by_the_number_of_rows() -> None:
    """What is spent around it, and executions with another number of rows, are not among it."""
    executions = Executions()
    executions.count(8, 1.0, 0.002, 1.0)
    executions.count(1, 1.0, 0.001, 1.0)
    executions.count(8, 1.0, 0.002, 1.0)
    expected = {1: Histogram(), 8: Histogram()}
    expected[1].add(0.001)
    expected[8].add(0.002)
    expected[8].add(0.002)
    assert list(executions.durations()) == [1, 8]
    assert executions.durations() == {size: one.counts() for size, one in expected.items()}
