"""What the autoscaler's loop looks at, and what it keeps of one revision between two looks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from tidegate.control.scaling import record as records
from tidegate.control.scaling.deciding import Known
from tidegate.control.scaling.reckoned import Slo
from tidegate.control.scaling.record import Record
from tidegate.resources.actuator import RevisionId
from tidegate.telemetry.statistics import RevisionStatistics

log = logging.getLogger(__name__)


class Source(Protocol):
    """What answers for a revision. The Lease is one."""

    @property
    def requests(self) -> int:
        """Those that are not answered yet."""
        ...

    @property
    def max_batch(self) -> int | None:
        """Rows that the model executes at once; None while that is not known."""
        ...

    def statistics(self) -> RevisionStatistics: ...

    def at_next(self, call: Callable[[], None] | None) -> None:
        """Have it called at the next request, once; None for nobody."""
        ...


class Entry:
    """One revision's. ``shift`` leads from the loop's time to the policy's."""

    def __init__(self, known: Known, shift: float) -> None:
        self.known = known
        self.shift = shift
        self.source: Source | None = None
        self.written: Record | None = records.read(known.scale.stored)
        self.version = known.scale.version
        """Of the document that was written last."""
        self.keep_at = 0.0
        """When it may be written again although the number is the same; of the loop's time."""
        self.counted = (0, 0)
        """Arrivals and answers at the last look."""
        self.fresh = False
        """Whether something was learned since it was written."""
        self.failures = 0
        """Writes that failed in a row."""

    def learn(self, statistics: RevisionStatistics | None) -> None:
        """Note whether there was something to learn: looks at what nobody asks are not worth a write."""
        if statistics is None or statistics.batcher is None:
            return
        counts = statistics.batcher.counts
        counted = (counts.arrived, counts.executed_rows)
        self.fresh = self.fresh or counted != self.counted
        self.counted = counted

    def due(self, time: float) -> bool:
        """Whether there is something to write, and it may be written now."""
        changed = self.written is None or _asked(self.written) != _asked(self.known.record)
        if self.failures:
            return time >= self.keep_at
        return changed or (self.fresh and time >= self.keep_at)


def _asked(record: Record) -> tuple[int, Slo | None]:
    """What of a record is written when it changes; what is learned can wait."""
    return record.desired, record.slo if record.slo is not None and record.slo.given else None


def read_statistics(revision: RevisionId, source: Source | None) -> RevisionStatistics | None:
    """The statistics; None where there are none, whatever is the matter."""
    if source is None:
        return None
    try:
        return source.statistics()
    except Exception:
        log.exception("unexpected error while the statistics of %s were read", revision)
        return None
