"""What Prometheus is told of a revision is its statistics."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tidegate.batching.batcher import Batcher
from tidegate.batching.item import Item
from tidegate.batching.settings import BatchSettings
from tidegate.batching.statistics import WAIT_BOUNDS, Counts
from tidegate.protocol.errors import Overloaded
from tidegate.replicas.lifecycle import State
from tidegate.telemetry.families import CAUSES, OUTCOMES, SIZES, STATES
from tidegate.telemetry.idle import IDLE
from tidegate.telemetry.metrics import SECONDS, Metrics
from tidegate.telemetry.statistics import Executed, RevisionStatistics
from tidegate.testing.figures import BUSY, COUNTS

NEW = RevisionStatistics(batcher=None, replicas={}, executed={}, last_inference=0.0)

Samples = dict[str, dict[str, float]]


def scraped(*, read: Callable[[], RevisionStatistics] = lambda: BUSY) -> Samples:
    """The samples of ``m`` version 1 in the text that is exposed: name → other label's value ("" for none) → value."""
    metrics = Metrics("0")
    metrics.watch("m", "1", read)
    found: Samples = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            if labels.pop("model", None) == "m":
                assert labels.pop("version") == "1"
                assert len(labels) <= 1, "one label beside the revision's"
                found.setdefault(sample.name, {})["".join(labels.values())] = sample.value
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("queue_requests", {"": 11}),
        ("queue_rows", {"": 21}),
        ("queue_bytes", {"": 4096}),
        ("queue_oldest_wait_seconds", {"": 0.375}),
        ("queue_wait_seconds_sum", {"": 9.25}),
        ("queue_wait_seconds_count", {"": sum(range(1, 18))}),
        (
            "ended_requests_total",
            {"completed": 700, "failed": 61, "expired": 52, "refused_early": 43, "cancelled": 34},
        ),
        (
            "rejected_requests_total",
            {"overloaded": 25 + 14, "shed": 19, "quarantined": 16, "too_late": 7, "expired": 52, "refused_early": 43},
        ),
        ("quarantined_contents", {"": 5}),
        (
            "batches_total",
            {"idle_replica": 10, "full": 11, "slack": 12, "max_latency": 13, "prefetch": 14, "retry": 15},
        ),
        ("batched_rows_total", {"": 2900}),
        ("padding_rows_total", {"": 333}),
        ("lost_batches_total", {"": 3}),
        ("repeated_batches_total", {"": 4}),
        ("out_of_memory_batches_total", {"": 8}),
        ("inflight_batches", {"": 2}),
        ("inflight_rows", {"": 23}),
        ("batch_size_rows_sum", {"": 300 + 8 * 200 + 12 * 100}),
        ("batch_size_rows_count", {"": 600}),
        ("executed_rows_total", {"": 2800}),
        ("execution_duration_seconds_count", {"input": 600, "infer": 600, "output": 600}),
        ("execution_duration_seconds_sum", {"input": 1.0625, "infer": 11.5, "output": 1.625}),
        ("busy_seconds_total", {"": 12.5}),
        ("replicas", dict.fromkeys(STATES, 0) | {"ready": 2, "backing off": 1}),
        ("cache_requests_total", {"hit": 81, "miss": 72, "coalesced": 63, "overloaded": 14}),
        ("cache_seconds_total", {"hit": 0.5, "miss": 0.25}),
        ("cache_evicted_answers_total", {"": 54}),
        ("cache_answers", {"": 45}),
        ("cache_bytes", {"": 36000}),
    ],
)
def test_a_metric_is_a_figure(name: str, expected: dict[str, float]) -> None:
    """Each number comes out where it belongs."""
    assert scraped()[f"tidegate_{name}"] == expected


def test_waits_are_classed_as_the_batcher_classes_them() -> None:
    """Prometheus' buckets hold everything up to their bound, and the last one everything."""
    buckets = scraped()["tidegate_queue_wait_seconds_bucket"]
    assert list(map(float, buckets)) == [*WAIT_BOUNDS, float("inf")]
    assert list(buckets.values()) == [sum(range(1, 2 + number)) for number in range(len(WAIT_BOUNDS) + 1)]


@pytest.mark.parametrize(
    ("size", "bound"), [(1, "1.0"), (2, "2.0"), (3, "4.0"), (4, "4.0"), (5, "8.0"), (1024, "1024.0"), (1025, "+Inf")]
)
def test_a_batch_is_classed_by_the_power_of_two_above_it(size: int, bound: str) -> None:
    """A size that is one is in its own class; beyond the largest there is a class without bound."""
    figures = msgspec.structs.replace(BUSY, executed={size: Executed(3, 0.0, 0.0, 0.0)})
    buckets = scraped(read=lambda: figures)["tidegate_batch_size_rows_bucket"]
    assert next(name for name, count in buckets.items() if count) == bound
    assert buckets["+Inf"] == 3


def test_everything_is_there_before_the_first_load() -> None:
    """With 0, because a rate begins with a sample; only what there is no cache for is missing."""
    new = scraped(read=lambda: NEW)
    busy = {name: samples for name, samples in scraped().items() if "cache" not in name}
    assert {name: set(samples) for name, samples in new.items()} == {
        name: set(samples) for name, samples in busy.items()
    }
    assert {value for samples in new.values() for value in samples.values()} == {0}


def test_each_revision_is_read_once_per_scrape() -> None:
    """All its figures are of one instant, and nothing is read in between."""
    reads = 0

    def read() -> RevisionStatistics:
        nonlocal reads
        reads += 1
        return BUSY

    metrics = Metrics("0")
    metrics.watch("m", "1", read)
    metrics.watch("m", "2", read)
    assert reads == 0
    metrics.exposition()
    assert reads == 2


def test_a_revision_takes_the_place_of_one_of_the_same_name() -> None:
    """So that a model that is loaded anew has one series, not two."""
    metrics = Metrics("0")
    metrics.watch("m", "1", lambda: NEW)
    metrics.watch("m", "1", lambda: BUSY)
    labels = {"model": "m", "version": "1"}
    assert metrics.registry.get_sample_value("tidegate_queue_rows", labels) == 21
    assert metrics.exposition().count(b"tidegate_queue_rows{") == 1


def test_it_follows_a_batcher() -> None:
    """A story with a real one: two requests in one batch, one that waits, one that found the queue full."""
    batcher: Batcher[str] = Batcher("m", BatchSettings(max_batch=4, batch_sizes=(4,), max_queue=1), str.encode)
    executed: dict[int, Executed] = {}
    metrics = Metrics("0")
    metrics.watch(
        "m",
        "1",
        lambda: msgspec.structs.replace(NEW, batcher=batcher.statistics(10.0), executed=dict(executed)),
    )

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"tidegate_{name}", {"model": "m", "version": "1", **labels})

    batcher.offer(Item("a", "k", 3, 12, 60.0), 1.0)
    batch = batcher.take(1.5, idle=1)
    assert batch is not None
    assert (value("inflight_batches"), value("inflight_rows"), value("queue_rows")) == (1, 3, 0)
    batcher.offer(Item("b", "k", 1, 4, 60.0), 4.0)
    with pytest.raises(Overloaded):
        batcher.offer(Item("c", "k", 1, 4, 60.0), 5.0)
    executed[batch.size] = Executed(1, 0.0, 0.5, 0.0)
    batcher.complete(batch, 6.0, 0.5)
    assert (value("queue_requests"), value("queue_bytes"), value("queue_oldest_wait_seconds")) == (1, 4, 6.0)
    assert (value("queue_wait_seconds_count"), value("queue_wait_seconds_sum")) == (1, 0.5)
    assert (value("batches_total", reason="idle_replica"), value("batches_total", reason="full")) == (1, 0)
    assert (value("batched_rows_total"), value("padding_rows_total"), value("executed_rows_total")) == (3, 1, 3)
    assert (value("batch_size_rows_bucket", le="2.0"), value("batch_size_rows_bucket", le="4.0")) == (0, 1)
    assert value("rejected_requests_total", cause="overloaded") == 1
    assert (value("ended_requests_total", outcome="completed"), value("busy_seconds_total")) == (1, 0.5)


def test_a_name_is_given_once() -> None:
    """The registry knows the names that are read, and refuses to have one of them counted as well."""
    metrics = Metrics("0")
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        metrics._gauge("queue_rows", "again")


def test_the_states_are_the_replicas_own() -> None:
    """telemetry is below replicas and cannot ask it."""
    assert [state.value for state in State] == list(STATES)


def test_outcomes_and_causes_are_counts() -> None:
    """Under the names that they have there."""
    assert set(OUTCOMES) | set(CAUSES) <= set(Counts.__struct_fields__)


def test_waits_and_durations_have_the_same_classes() -> None:
    """So that a wait and a request's duration can be laid over one another."""
    assert WAIT_BOUNDS == SECONDS


def test_nothing_has_happened_to_an_idle_batcher() -> None:
    """Whatever counts is 0; the fixture, on the other hand, has no 0 that could hide a mistake."""
    idle = msgspec.to_builtins(IDLE.counts)
    assert set(idle.pop("batches").values()) == set(idle.pop("waits")) == {0}
    assert set(idle.values()) == {0}
    assert 0 not in msgspec.structs.astuple(COUNTS)


def test_sizes_are_powers_of_two() -> None:
    """From one row on."""
    assert SIZES[:4] == (1, 2, 4, 8)


def test_what_is_forgotten_leaves_nothing() -> None:
    """Of one version; counted again it begins at 0."""
    metrics = Metrics("0")
    for version in ("1", "2"):
        bound = metrics.bind("m", version)
        bound.traffic.answered("http", 200, 0.1)
        bound.traffic.inflight += 1
        bound.traffic.rows += 1
        bound.answers(True)
        bound.load_seconds.observe(1.0)
        bound.restarted("crashed")
    metrics.forget("m", "1")
    metrics.forget("m", "3")
    text = metrics.exposition().decode()
    assert 'version="1"' not in text
    assert text.count('version="2"') > 6
    metrics.bind("m", "1").traffic.answered("http", 200, 0.1)
    assert (
        'tidegate_requests_total{code="200",model="m",protocol="http",version="1"} 1.0' in metrics.exposition().decode()
    )


def test_a_version_is_ready_while_one_of_two_answers() -> None:
    """One takes the place of another of the same name: what ends does not say that nothing answers."""
    metrics = Metrics("0")
    before, after = metrics.bind("m", "1"), metrics.bind("m", "1")

    def ready() -> float | None:
        return metrics.registry.get_sample_value("tidegate_model_ready", {"model": "m", "version": "1"})

    before.answers(True)
    after.answers(True)
    before.answers(False)
    assert ready() == 1
    after.answers(False)
    assert ready() == 0
