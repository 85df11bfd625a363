"""Requests are counted in plain numbers, and Prometheus is told what its own client would have told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from tidegate.telemetry.metrics import Metrics
from tidegate.telemetry.traffic import SECONDS, Protocol, Traffic, TrafficCollector

ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(("http", "grpc")),
        st.sampled_from((200, 400, 503)),
        st.one_of(st.sampled_from(SECONDS), st.floats(0, 100)),
    )
)


def counted(registry: CollectorRegistry) -> list[str]:
    """The text that is scraped; its lines have no order among them."""
    return sorted(generate_latest(registry).decode().splitlines())


@given(ANSWERS, st.integers(0, 3), st.integers(0, 100))
def test_it_is_what_the_client_of_prometheus_tells(
    answers: list[tuple[Protocol, int, float]], inflight: int, rows: int
) -> None:
    """Names, texts, types, labels, classes and values, to the letter."""
    disable_created_metrics()
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    labels = ["model", "version"]
    requests = Counter("tidegate_requests", "Requests by outcome", [*labels, "protocol", "code"], registry=theirs)
    durations = Histogram(
        "tidegate_request_duration_seconds",
        "Time from a request's arrival to its encoded response",
        [*labels, "protocol"],
        buckets=SECONDS,
        registry=theirs,
    )
    for protocol in ("http", "grpc"):  # there before the first request
        durations.labels("m", "1", protocol)
    text = "Requests accepted and not yet answered"
    Gauge("tidegate_inflight_requests", text, labels, registry=theirs).labels("m", "1").set(inflight)
    text = "Rows (items of the batch dimension) answered"
    Counter("tidegate_rows", text, labels, registry=theirs).labels("m", "1").inc(rows)
    traffic = Traffic()
    traffic.inflight, traffic.rows = inflight, rows
    for protocol, code, seconds in answers:
        requests.labels("m", "1", protocol, str(code)).inc()
        durations.labels("m", "1", protocol).observe(seconds)
        traffic.answered(protocol, code, seconds)
    ours.register(TrafficCollector({("m", "1"): traffic}))
    assert counted(ours) == counted(theirs)


def test_a_revision_that_is_bound_again_counts_on() -> None:
    """A counter never falls: what a model's earlier load answered has happened."""
    metrics = Metrics("0")
    metrics.bind("m", "1").traffic.answered("http", 200, 0.1)
    metrics.bind("m", "1").traffic.answered("http", 200, 0.1)
    labels = {"model": "m", "version": "1", "protocol": "http", "code": "200"}
    assert metrics.registry.get_sample_value("tidegate_requests_total", labels) == 2


def test_a_revision_is_there_before_its_first_request() -> None:
    """A rate needs a sample before the first event."""
    metrics = Metrics("0")
    metrics.bind("m", "1")
    labels = {"model": "m", "version": "1"}
    for name in ("rows_total", "inflight_requests"):
        assert metrics.registry.get_sample_value(f"tidegate_{name}", labels) == 0
    for protocol in ("http", "grpc"):
        name = "tidegate_request_duration_seconds_count"
        assert metrics.registry.get_sample_value(name, {**labels, "protocol": protocol}) == 0
