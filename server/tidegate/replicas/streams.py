"""What streams did, by the number of the response: how long each took, and where they ended."""

from __future__ import annotations

import msgspec

from tidegate.protocol.errors import RequestCancelled, TidegateError
from tidegate.telemetry.statistics import Responded

NUMBERS = 128
"""Responses that are told apart; the last stands for all that follow, or a long stream would fill the memory."""


class Progress:
    """Of one stream at a replica: how many responses it has sent, and when the last of them, or it, began."""

    __slots__ = ("responses", "since")

    def __init__(self) -> None:
        self.responses = 0
        self.since = 0.0


class StreamCounts:
    """Sums that only grow."""

    def __init__(self) -> None:
        self._numbers: dict[int, dict[str, float]] = {}

    def responded(self, progress: Progress, now: float, infer_seconds: float) -> None:
        """A stream has sent a response."""
        sums = self._at(progress)
        sums["responses"] += 1
        sums["seconds"] += now - progress.since
        sums["infer_seconds"] += infer_seconds
        progress.responses += 1
        progress.since = now

    def ended(self, progress: Progress, now: float, error: TidegateError | None) -> None:
        """A stream is over."""
        how = "ended" if error is None else "cancelled" if isinstance(error, RequestCancelled) else "failed"
        sums = self._at(progress)
        sums[how] += 1
        sums[f"{how}_seconds"] += now - progress.since

    def view(self) -> dict[int, Responded]:
        """The counts, as values, by ascending number."""
        return {number: msgspec.convert(sums, Responded) for number, sums in sorted(self._numbers.items())}

    def _at(self, progress: Progress) -> dict[str, float]:
        number = min(progress.responses, NUMBERS - 1)
        sums = self._numbers.get(number)
        if sums is None:
            sums = self._numbers[number] = dict.fromkeys(Responded.__struct_fields__, 0)
        return sums
