"""How services are looked after. Frozen values, read in one place."""

from __future__ import annotations

import msgspec

_ABOVE_ZERO = (
    "most_replicas",
    "retry",
    "max_retry",
    "at_once",
    "history",
    "look_every",
    "examine_again",
    "examine_timeout",
    "downloads_at_once",
    "job_interval",
    "jobs_kept_for",
)


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every time and bound of the reconciler.

    Raises:
        ValueError: one of them leaves nothing.
    """

    base: str = "http://127.0.0.1:8080"
    """URL of the data plane, without a slash at its end; what status tells people is below it."""
    most_replicas: int = 8
    """Replicas of a revision whose service has a scalePolicy and no maxReplicas; the server says its cores."""
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
    settle: float = 5.0
    """Seconds of a phase whose durations are not compared: the first requests to what has just begun meet cold
    caches."""
    examine_again: float = 10.0
    """Seconds until an examination that brought no data is tried again, and a check of your own is asked again that
    does not say how often."""
    examine_timeout: float = 60.0
    """Seconds that a check of your own may take."""
    at_once: int = 16
    """Services that are looked at together. A store's queue is bounded, and at a start all of them are due."""
    downloads_at_once: int = 2
    """Models that are fetched at the same time; the others wait. One alone rarely fills a disk or a network, and many
    make the first of them wait for the last."""
    job_grace: float = 0.5
    """Seconds for which a download is no ServingJob yet, unless it fails: a small model must cost no write."""
    job_interval: float = 1.0
    """Seconds between two writes of how far a job is."""
    jobs_kept: int = 100
    """ServingJobs that have ended, of each namespace."""
    jobs_kept_for: float = 86400.0
    """Seconds for which they are kept at most."""

    def __post_init__(self) -> None:
        for name in _ABOVE_ZERO:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
        for name in ("keep_previous", "report_every", "settle", "job_grace", "jobs_kept"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g}, expected at least 0")

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return min(self.retry * 2.0 ** min(failures - 1, 62), self.max_retry)
