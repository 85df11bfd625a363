"""Metrics that nobody counts: read off each revision's statistics when Prometheus asks for them.

The hot path counts once, in the batcher, and v2's statistics are read off the same value, so that the two never
disagree. Which metrics these are stands in ``families.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric

from tidegate.telemetry.families import FAMILIES, Figures
from tidegate.telemetry.statistics import RevisionStatistics

Read = Callable[[], RevisionStatistics]


class RevisionCollector:
    """Reads every revision that is watched, once per scrape, in the thread that asks."""

    def __init__(self) -> None:
        self._revisions: dict[tuple[str, str], Read] = {}

    def watch(self, model: str, version: str, read: Read) -> None:
        """Show this revision from now on, in place of one of the same name and version."""
        self._revisions[model, version] = read

    def unwatch(self, model: str, version: str) -> None:
        """Show it no more."""
        self._revisions.pop((model, version), None)

    def describe(self) -> list[Metric]:
        """The families without samples, by which the registry finds names that are taken."""
        return [family.empty() for family in FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """The families with the samples of each revision, each of which is read once.

        One that nobody has asked for yet has none: there may be hundreds of them.
        """
        told = {labels: read() for labels, read in list(self._revisions.items())}
        figures = {labels: Figures.of(revision) for labels, revision in told.items() if not revision.untouched}
        for family in FAMILIES:
            metric = family.empty()
            for labels, revision in figures.items():
                family.add(metric, labels, revision)
            yield metric
