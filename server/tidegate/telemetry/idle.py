"""The figures of a batcher that has had nothing to do yet: what is told of a revision before its first load."""

from __future__ import annotations

from tidegate.batching.batcher import Batcher
from tidegate.batching.settings import BatchSettings
from tidegate.batching.statistics import BatcherStatistics

IDLE: BatcherStatistics = Batcher("", BatchSettings(), bytes).statistics(0.0)
"""All zero."""
