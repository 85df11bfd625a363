"""v2's statistics from a revision's figures to Triton's own clients, over HTTP and over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.routes import Route, RouteTable
from tidegate.gateway.statistics import model_statistics
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelNotFound, VersionNotFound
from tidegate.protocol.statistics import BatchStatistics, Duration, InferStatistics, ModelStatistics
from tidegate.telemetry.metrics import Metrics
from tidegate.telemetry.outcomes import Outcomes
from tidegate.telemetry.statistics import RevisionStatistics
from tidegate.testing.backends import IdentityBackend, identity_metadata, identity_route
from tidegate.testing.figures import BUSY, outcomes
from tidegate.testing.served import Served, served
from tidegate.testing.served_grpc import served_grpc

NEW = RevisionStatistics(batcher=None, replicas={}, executed={}, last_inference=0.0)
MS = 1_000_000
SECOND = 1000 * MS
ENDED = outcomes(844, 41.0, 190, 6.125)


def route(model: str, version: str, figures: RevisionStatistics = NEW) -> Route:
    backend = IdentityBackend(identity_metadata(model, Datatype.FP32))
    backend.figures = figures
    return Route(model, version, backend)


def plane() -> DataPlane:
    return DataPlane(RouteTable.of(*table()), Metrics("0"), GatewaySettings("0"))


def table() -> list[Route]:
    """Three versions of ``m``, the second of which is busy; ``stats``, which has an awkward name; and ``z``."""
    return [route("z", "1"), route("m", "10"), route("m", "9", BUSY), route("m", "1"), route("stats", "1")]


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    with served(*table()) as running:
        yield running


@pytest.fixture(scope="module")
def http_client(http: Served) -> Iterator[Any]:
    """Triton's client over HTTP."""
    client = triton_http.InferenceServerClient(f"127.0.0.1:{http.port}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def grpc_client() -> Iterator[Any]:
    """Triton's client over gRPC."""
    with served_grpc(*table()) as running, triton_grpc.InferenceServerClient(f"127.0.0.1:{running.port}") as client:
        yield client


def test_every_figure_has_its_place() -> None:
    """By the rules that docs/statistics.md gives."""
    assert model_statistics("m", "1", BUSY, ENDED) == ModelStatistics(
        name="m",
        version="1",
        last_inference=1_700_000_000_250,
        inference_count=2800,
        execution_count=600,
        inference_stats=InferStatistics(
            success=Duration(844, 41 * SECOND),
            fail=Duration(190, 6125 * MS),
            queue=Duration(844, 8500 * MS),
            compute_input=Duration(640, 2250 * MS),
            compute_infer=Duration(640, 20_500 * MS),
            compute_output=Duration(640, 3750 * MS),
            cache_hit=Duration(81, 500 * MS),
            cache_miss=Duration(72, 250 * MS),
        ),
        batch_stats=(
            BatchStatistics(
                batch_size=1,
                compute_input=Duration(300, 62_500_000),
                compute_infer=Duration(300, 1500 * MS),
                compute_output=Duration(300, 125 * MS),
            ),
            BatchStatistics(
                batch_size=8,
                compute_input=Duration(200, 250 * MS),
                compute_infer=Duration(200, 4 * SECOND),
                compute_output=Duration(200, 500 * MS),
            ),
            BatchStatistics(
                batch_size=12,
                compute_input=Duration(100, 750 * MS),
                compute_infer=Duration(100, 6 * SECOND),
                compute_output=Duration(100, 1 * SECOND),
            ),
        ),
    )


def test_batches_come_by_size() -> None:
    """In whatever order they were first executed."""
    backwards = msgspec.structs.replace(BUSY, executed=dict(sorted(BUSY.executed.items(), reverse=True)))
    assert model_statistics("m", "1", backwards, ENDED) == model_statistics("m", "1", BUSY, ENDED)


def test_before_the_first_load_all_is_zero() -> None:
    """A model that is not loaded has statistics, of nothing."""
    assert model_statistics("m", "1", NEW, Outcomes()) == ModelStatistics(name="m", version="1")


def test_without_a_cache_nothing_hits_or_misses() -> None:
    """Its two figures are 0 then."""
    stats = model_statistics("m", "1", msgspec.structs.replace(BUSY, cache=None), ENDED).inference_stats
    assert (stats.cache_hit, stats.cache_miss) == (Duration(), Duration())


def test_the_metrics_say_the_same() -> None:
    """Both are read off one value, so that a dashboard and a client of the endpoint agree."""
    metrics = Metrics("0")
    metrics.watch("m", "1", lambda: BUSY)

    def value(name: str, **labels: str) -> float:
        found = metrics.registry.get_sample_value(f"tidegate_{name}", {"model": "m", "version": "1", **labels})
        assert found is not None
        return found

    told = model_statistics("m", "1", BUSY, ENDED)
    stats = told.inference_stats
    assert value("executed_rows_total") == told.inference_count
    assert value("batch_size_rows_count") == told.execution_count
    for phase in ("input", "infer", "output"):
        figures: list[Duration] = [getattr(batch, f"compute_{phase}") for batch in told.batch_stats]
        assert value("execution_duration_seconds_count", phase=phase) == sum(figure.count for figure in figures)
        assert value("execution_duration_seconds_sum", phase=phase) * SECOND == sum(figure.ns for figure in figures)
    assert value("cache_requests_total", result="hit") == stats.cache_hit.count
    assert value("cache_requests_total", result="miss") == stats.cache_miss.count
    assert value("cache_seconds_total", result="hit") * SECOND == stats.cache_hit.ns


@pytest.mark.parametrize(
    ("model", "version", "expected"),
    [
        ("", "", [("m", "1"), ("m", "9"), ("m", "10"), ("stats", "1"), ("z", "1")]),
        ("m", "", [("m", "1"), ("m", "9"), ("m", "10")]),
        ("m", "9", [("m", "9")]),
    ],
)
def test_all_or_some_are_told(
    http_client: Any, grpc_client: Any, model: str, version: str, expected: list[tuple[str, str]]
) -> None:
    """Without a version all of the model, without a model all there are, in order; over both protocols alike."""
    assert [(one.name, one.version) for one in plane().statistics(model, version)] == expected
    over_http = http_client.get_inference_statistics(model, version)["model_stats"]
    assert [(one["name"], one["version"]) for one in over_http] == expected
    over_grpc = grpc_client.get_inference_statistics(model, version).model_stats
    assert [(one.name, one.version) for one in over_grpc] == expected


def test_triton_reads_the_same_numbers_over_both(http_client: Any, grpc_client: Any) -> None:
    """As JSON and as protobuf."""
    expected = msgspec.json.decode(msgspec.json.encode({"model_stats": [model_statistics("m", "9", BUSY, Outcomes())]}))
    assert http_client.get_inference_statistics("m", "9") == expected
    told = grpc_client.get_inference_statistics("m", "9").model_stats[0]
    stats = told.inference_stats
    assert (told.last_inference, told.inference_count, told.execution_count) == (1_700_000_000_250, 2800, 600)
    assert (stats.compute_infer.count, stats.compute_infer.ns) == (640, 20_500 * MS)
    assert (stats.cache_miss.count, stats.cache_miss.ns) == (72, 250 * MS)
    assert [(batch.batch_size, batch.compute_infer.count) for batch in told.batch_stats] == [
        (1, 300),
        (8, 200),
        (12, 100),
    ]


@pytest.mark.parametrize(
    ("model", "version", "text"),
    [
        ("nope", "", r"model 'nope' is not found"),
        ("nope", "1", r"model 'nope' is not found"),
        ("m", "2", r"model 'm' has no version '2'"),
    ],
)
def test_an_unknown_one_is_not_found(http_client: Any, grpc_client: Any, model: str, version: str, text: str) -> None:
    """As everywhere else."""
    with pytest.raises((ModelNotFound, VersionNotFound)):
        plane().statistics(model, version)
    for client in (http_client, grpc_client):
        with pytest.raises(InferenceServerException, match=text):
            client.get_inference_statistics(model, version)


def test_a_version_of_no_model_is_refused(grpc_client: Any) -> None:
    """gRPC's message can say it; no path can."""
    with pytest.raises(
        InferenceServerException, match="version is '9' and name is empty; expected the name of a model"
    ):
        grpc_client.get_inference_statistics("", "9")


@pytest.mark.parametrize(
    ("path", "models"),
    [
        ("/v2/models/stats", ["m", "m", "m", "stats", "z"]),
        ("/v2/models/stats/", ["m", "m", "m", "stats", "z"]),
        ("/v2/models/stats/stats", ["stats"]),
        ("/v2/models/stats/versions/1/stats", ["stats"]),
        ("/v2/models/%6d/stats", ["m", "m", "m"]),
    ],
)
def test_a_model_may_be_called_stats(http: Served, path: str, models: list[str]) -> None:
    """Its statistics have their path; the path that its metadata would have is that of all statistics."""
    assert [one["name"] for one in httpx.get(http.url + path).json()["model_stats"]] == models
    assert httpx.get(f"{http.url}/v2/models/stats/versions/1").json()["name"] == "stats"


def test_statistics_are_read_only(http: Served) -> None:
    """Nothing can be reset from outside."""
    answer = httpx.post(f"{http.url}/v2/models/m/stats")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_it_is_one_of_the_servers_extensions(http_client: Any, grpc_client: Any) -> None:
    """A client can see it before it asks."""
    assert "statistics" in http_client.get_server_metadata()["extensions"]
    assert "statistics" in grpc_client.get_server_metadata().extensions


def test_a_fake_backend_has_no_figures() -> None:
    """Until a test gives it some."""
    assert identity_route("m").backend.statistics() == NEW
