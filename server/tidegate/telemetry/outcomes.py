"""How a revision's requests ended, as their callers saw it. Counted where all of them pass, cached or not."""

from __future__ import annotations


class Outcomes:
    """Counts and seconds, which only grow. Each request is in one of the two once it has ended."""

    __slots__ = ("failed", "failed_seconds", "succeeded", "succeeded_seconds")

    def __init__(self) -> None:
        self.succeeded = 0
        self.succeeded_seconds = 0.0
        self.failed = 0
        self.failed_seconds = 0.0

    def ended(self, *, succeeded: bool, seconds: float) -> None:
        """A request got a result, or anything else: an error, a refusal, a caller that did not wait for it."""
        if succeeded:
            self.succeeded += 1
            self.succeeded_seconds += seconds
        else:
            self.failed += 1
            self.failed_seconds += seconds
