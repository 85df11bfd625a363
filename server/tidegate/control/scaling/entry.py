"""What the autoscaler's loop looks at, and what it keeps of one revision between two looks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from tidegate.autoscaler.looks import Clock, advance
from tidegate.control.scaling import record as records
from tidegate.control.scaling.deciding import Known, held
from tidegate.control.scaling.reckoned import Slo
from tidegate.control.scaling.record import Record
from tidegate.resources.actuator import RevisionId
from tidegate.telemetry.statistics import RevisionStatistics

log = logging.getLogger(__name__)
_ROUNDED = 0.001
"""Seconds; less is what is lost where times are added."""


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
    """One revision's. The policy's time is ``now`` at the loop's ``time``, and goes on with it while somebody looks.

    That of a look which comes far later than it was due does not count, nor does a clock that is set back: nobody saw
    what happened meanwhile, so that no number falls until it was seen again for as long as after a restart.
    """

    def __init__(self, known: Known, now: float, time: float) -> None:
        self.known = known
        self._clock = Clock(now, now - time)
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
        self.told_of_failures = False
        """Whether what was written last says that starts fail."""

    def now(self, time: float) -> float:
        """The policy's time, at the loop's."""
        before, self._clock = self._clock, advance(self._clock, time)
        if abs(self._clock.shift - before.shift) > _ROUNDED:
            self.hold()
        return self._clock.at

    def hold(self) -> None:
        """There was a time of which nothing is known."""
        self.known = held(self.known, self._clock.at)

    def sleep(self, time: float, seconds: float | None) -> None:
        """It is looked at again in so many seconds; None for with its next request."""
        now = self.now(time)
        self._clock = Clock(now, self._clock.shift, None if seconds is None else now + seconds)

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
        known, written = self.known, self.written
        changed = written is None or _asked(written) != _asked(known.record)
        changed = changed or self.told_of_failures != (known.fleet.failures > 0)
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
