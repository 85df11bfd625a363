"""How services are looked after. Frozen values, read in one place."""

from __future__ import annotations

import msgspec


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every time and bound of the reconciler.

    Raises:
        ValueError: one of them leaves nothing.
    """

    base: str = "http://127.0.0.1:8080"
    """URL of the data plane, without a slash at its end; what status tells people is below it."""
    keep_previous: float = 600.0
    """Seconds for which the replicas of the revision that was rolled out before go on running without traffic, so that
    going back is a switch of the route. Long enough to notice what a new revision breaks."""
    history: int = 10
    """Old revisions that are kept, where ``spec.rollout.historyLimit`` does not say."""
    retry: float = 1.0
    """Seconds until what failed is tried again; each further failure in a row doubles it."""
    max_retry: float = 60.0
    """Seconds; the longest."""
    look_every: float = 1.0
    """Seconds between two looks at a rollout whose requests are counted."""
    report_every: float = 5.0
    """Seconds between two writes of what was counted, while nothing else changes; a restart loses no more."""
    examine_again: float = 10.0
    """Seconds until an examination that brought no data is tried again, and a check of your own is asked again that
    does not say how often."""
    examine_timeout: float = 60.0
    """Seconds that one examination may take."""
    at_once: int = 16
    """Services that are looked at together. A store's queue is bounded, and at a start all of them are due."""

    def __post_init__(self) -> None:
        for name in ("retry", "max_retry", "at_once", "history", "look_every", "examine_again", "examine_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
        if self.report_every < 0:
            raise ValueError(f"report_every is {self.report_every:g}, expected at least 0")
        if self.keep_previous < 0:
            raise ValueError(f"keep_previous is {self.keep_previous:g}, expected at least 0")

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return min(self.retry * 2.0 ** min(failures - 1, 62), self.max_retry)
