"""A revision's requests as callers see them: counted as plain numbers, shown when Prometheus asks for them.

Every request passes here. All of them do so in one event loop, so that no count needs the lock that prometheus_client
takes for each; with its objects, counting cost a request more than being checked against the signature.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

Protocol = Literal["http", "grpc"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From 0.5 ms: a small model answers in under one, and Prometheus' own first bucket is 5 ms."""

_BOUNDS = [*map(floatToGoString, SECONDS), "+Inf"]


class Durations:
    """How many fell into each class of ``SECONDS`` and the one above, and the sum of all."""

    __slots__ = ("classes", "total")

    def __init__(self) -> None:
        self.classes = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.classes[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


class Traffic:
    """One revision's. ``code`` is the HTTP status in both protocols, so that one query covers both."""

    __slots__ = ("answers", "durations", "inflight", "rows")

    def __init__(self) -> None:
        self.inflight = 0
        self.rows = 0
        self.answers: dict[tuple[Protocol, int], int] = {}
        self.durations: dict[Protocol, Durations] = {"http": Durations(), "grpc": Durations()}

    def answered(self, protocol: Protocol, code: int, seconds: float) -> None:
        """Count one answer and its duration in seconds."""
        key = (protocol, code)
        self.answers[key] = self.answers.get(key, 0) + 1
        self.durations[protocol].add(seconds)


class TrafficCollector:
    """Shows the traffic of the revisions in ``all``, which its owner adds to."""

    def __init__(self, all: Mapping[tuple[str, str], Traffic]) -> None:
        self._all = all

    def describe(self) -> list[Metric]:
        """The families without samples, by which the registry finds names that are taken."""
        return [_requests(), _durations(), _inflight(), _rows()]

    def collect(self) -> Iterator[Metric]:
        """The families with the samples of each revision."""
        requests, durations, inflight, rows = _requests(), _durations(), _inflight(), _rows()
        for labels, traffic in list(self._all.items()):
            for (protocol, code), count in list(traffic.answers.items()):
                requests.add_metric((*labels, protocol, str(code)), count)
            for protocol, seconds in traffic.durations.items():
                buckets = list(zip(_BOUNDS, accumulate(seconds.classes), strict=True))
                durations.add_metric((*labels, protocol), buckets, seconds.total)
            inflight.add_metric(labels, traffic.inflight)
            rows.add_metric(labels, traffic.rows)
        yield from (requests, durations, inflight, rows)


def _requests() -> CounterMetricFamily:
    labels = ("model", "version", "protocol", "code")
    return CounterMetricFamily("tidegate_requests", "Requests by outcome", labels=labels)


def _durations() -> HistogramMetricFamily:
    text = "Time from a request's arrival to its encoded response"
    return HistogramMetricFamily("tidegate_request_duration_seconds", text, labels=("model", "version", "protocol"))


def _inflight() -> GaugeMetricFamily:
    text = "Requests accepted and not yet answered"
    return GaugeMetricFamily("tidegate_inflight_requests", text, labels=("model", "version"))


def _rows() -> CounterMetricFamily:
    text = "Rows (items of the batch dimension) answered"
    return CounterMetricFamily("tidegate_rows", text, labels=("model", "version"))
