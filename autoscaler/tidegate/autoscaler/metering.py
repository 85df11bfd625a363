"""What a policy measures of a service: one value for each second, and means of them over its windows.

| metric | value of a second | whose word it is |
|---|---|---|
| ``concurrency`` | requests in the queue and at replicas, of all together, when it is looked | Knative, KEDA, Ray |
| ``rps`` | requests that came, per second, since the look before | Knative, KEDA |
| ``cpu`` | replicas that were executing, on average since the look before | for the processor's use in HPA |

A mean is over the seconds of which there is a value. The counters make up for looks that were missed: what came since
is spread over the missed seconds. Where a policy said that it need not be asked again before something arrives, the
seconds until then were empty, and count as 0.
"""

from __future__ import annotations

from bisect import bisect_right
from math import ceil, floor

import msgspec

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Metric

_DIGITS = 6
"""That Knative rounds its means to."""
_LEAST_WEIGHT = 0.2
_OUTSIDE = 0.0001
"""Share of the weight that lies outside of the window."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Values by the second, the oldest first, and the counters at the last look."""

    seconds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    at: float | None = None
    """When the counters were read; None before the first look."""
    arrivals: int = 0
    busy: float = 0.0
    silent: bool = False
    """Whether nobody looks again before something arrives."""

    @property
    def is_zero(self) -> bool:
        return not any(self.values)


def record(series: Series, now: float, observation: Observation, metric: Metric, keep: float) -> Series:
    """With the look at ``now``; of the others those of the last ``keep`` seconds."""
    second = floor(now)
    if series.at is not None and second == floor(series.at):
        if metric != "concurrency":
            return series  # the next look covers it
        series = msgspec.structs.replace(series, seconds=series.seconds[:-1], values=series.values[:-1])
    value = _value(series, now, observation, metric)
    counters = {"at": now, "arrivals": observation.arrivals, "busy": observation.busy_seconds, "silent": False}
    if value is None:
        return msgspec.structs.replace(series, **counters)
    oldest = second - ceil(keep)
    missed = _missed(series, second, oldest, metric)
    first = bisect_right(series.seconds, oldest)
    filling = 0.0 if series.silent else value
    return msgspec.structs.replace(
        series,
        seconds=(*series.seconds[first:], *missed, second),
        values=(*series.values[first:], *(filling for _ in missed), value),
        **counters,
    )


def unlooked(series: Series) -> Series:
    """After a look that told nothing: it is not known any more that the seconds were empty."""
    return msgspec.structs.replace(series, silent=False) if series.silent else series


def mean(series: Series, now: float, window: float) -> float | None:
    """Over the last ``window`` seconds; None if there is no value in them."""
    first = bisect_right(series.seconds, floor(now) - ceil(window))
    values = series.values[first:]
    return round(sum(values) / len(values), _DIGITS) if values else None


def smoothed(series: Series, now: float, window: float) -> float | None:
    """Exponentially weighted, the newest the most, with 0.9999 of the weight in the window (Knative's
    ``weightedExponential``)."""
    first = bisect_right(series.seconds, floor(now) - ceil(window))
    values = series.values[first:]
    if not values:
        return None
    share = weight(ceil(window))
    return round(sum(value * share * (1.0 - share) ** age for age, value in enumerate(reversed(values))), _DIGITS)


def weight(seconds: int) -> float:
    """Of the newest value, in a window of so many."""
    return max(1.0 - float(_OUTSIDE ** (1.0 / seconds)), _LEAST_WEIGHT)


def _value(series: Series, now: float, observation: Observation, metric: Metric) -> float | None:
    if metric == "concurrency":
        return float(observation.waiting + observation.in_flight)
    if series.at is None or now <= series.at:
        return None
    elapsed = min(1.0, now - series.at) if series.silent else now - series.at
    if metric == "rps":
        return _grown(series.arrivals, observation.arrivals) / elapsed
    return _grown(series.busy, observation.busy_seconds) / elapsed


def _grown(before: float, after: float) -> float:
    """By how much a counter grew, which began anew if it is smaller."""
    return after - before if after >= before else after


def _missed(series: Series, second: int, oldest: int, metric: Metric) -> range:
    if metric == "concurrency" and not series.silent:
        return range(0)  # a level between two looks is not known
    last = second - 1 if series.at is None else floor(series.at)
    return range(max(last, oldest) + 1, second)
