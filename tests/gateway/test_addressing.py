"""Services, revisions and tags as requests name them over HTTP and gRPC, on every path and method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as pb

from tidegate.gateway.addressee import ServiceName
from tidegate.gateway.backend import Readiness
from tidegate.gateway.routes import RouteTable
from tidegate.gateway.services import Service
from tidegate.protocol.generated import health as health_pb
from tidegate.testing.backends import IdentityBackend, identity_route, identity_service
from tidegate.testing.requests import BODY
from tidegate.testing.served import Served, served
from tidegate.testing.served_grpc import served_grpc

V2 = "/inference.GRPCInferenceService/"
WINE = "wine-team.example.com"
PREFIX = "/serving/team/wine"


def services() -> list[Service]:
    """``iris`` in default, two revisions of which the newer has a tenth; ``wine`` in team; ``rose``, which fails."""
    return [
        identity_service("iris", {3: 90, 4: 10}, versions={3: "1", 4: "2"}, sticky="x-user-id"),
        identity_service("wine", {1: 100}, namespace="team", running=[2]),
        identity_service("rose", {}, reason="revision 1 fails: no memory"),
    ]


@pytest.fixture
def http() -> Iterator[Served]:
    with served(identity_route("plain"), identity_route("iris"), services=services()) as running:
        yield running


@pytest.fixture
def rpc() -> Iterator[Served]:
    with served_grpc(identity_route("plain"), identity_route("iris"), services=services()) as running:
        yield running


def asked(server: Served) -> dict[str, int]:
    """How often each route's backend was asked, by the labels of its metrics."""
    found = {}
    for route in server.plane.routes:
        assert isinstance(route.backend, IdentityBackend)
        if route.backend.requests:
            found[f"{route.model}:{route.version}"] = len(route.backend.requests)
    return found


def post(server: Served, path: str, **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server.url}{path}", content=BODY, headers=headers)


def get(server: Served, path: str, **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(f"{server.url}{path}", headers=headers)


def call(
    server: Served, method: str, request: Any, answer: Any, *metadata: tuple[str, str], authority: str = ""
) -> Any:
    """The answer to one call, or its status and message."""
    options = [("grpc.default_authority", authority)] if authority else []
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        rpc = channel.unary_unary(method, pb.ServerLiveRequest.SerializeToString, answer.FromString)
        try:
            return rpc(request, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            return error.code(), error.details()


def question(model: str, version: str = "", identity: str = "") -> Any:
    request = pb.ModelInferRequest(model_name=model, model_version=version, id=identity, raw_input_contents=[bytes(8)])
    request.inputs.add(name="fp32", datatype="FP32", shape=[1, 2])
    return request


def infer(server: Served, model: str, *metadata: tuple[str, str], version: str = "", authority: str = "") -> Any:
    answer = pb.ModelInferResponse
    return call(server, V2 + "ModelInfer", question(model, version), answer, *metadata, authority=authority)


INFER = "/v2/models/{}/infer"


@pytest.mark.parametrize(
    ("path", "headers", "version"),
    [
        pytest.param("/v2/models/iris/versions/2/infer", {}, "2", id="a-model-version"),
        pytest.param("/v2/models/iris/versions/prev/infer", {}, "1", id="a-tag"),
        pytest.param("/v2/models/iris/infer", {"tidegate_revision": "4"}, "2", id="a-revision"),
        pytest.param("/v2/models/iris/infer", {"host": "latest-iris-default.example.com"}, "2", id="a-tag-in-the-host"),
        pytest.param("/v2/models/wine/infer", {"host": WINE}, "1", id="a-host"),
        pytest.param("/v2/models/wine/infer", {"host": "latest-wine-team"}, "2", id="a-host-with-a-tag"),
        pytest.param(f"{PREFIX}/v2/models/wine/infer", {}, "1", id="a-path"),
        pytest.param(f"{PREFIX}/v2/models/wine/versions/2/infer/", {}, "2", id="a-path-with-a-version"),
        pytest.param("/serving/t%65am/win%65/v2/models/wine/infer", {}, "1", id="an-encoded-path"),
        pytest.param(f"{PREFIX}/v2/models/wine/infer", {"tidegate_revision": "2"}, "2", id="a-path-with-a-revision"),
        pytest.param("/serving/default/iris/v2/models/iris/versions/1/infer", {}, "1", id="a-path-in-default"),
        pytest.param("/v2/models/plain/infer", {"host": "nobody-knows.example.com"}, "1", id="an-unknown-host"),
        pytest.param("/v2/models/plain/infer", {}, "1", id="a-repository's-model"),
    ],
)
def test_an_inference_reaches_its_revision(http: Served, path: str, headers: dict[str, str], version: str) -> None:
    """The answer tells the model version of the revision that gave it."""
    answer = post(http, path, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model_version"] == version


@pytest.mark.parametrize(
    ("path", "headers", "status", "error"),
    [
        (INFER.format("wine"), {}, 404, "model 'wine' is not found"),
        (INFER.format("iris"), {"tidegate_revision": "9"}, 404, "model 'iris' has no revision '9'; it runs 3, 4"),
        (INFER.format("rose"), {}, 503, "model 'rose' is not ready: revision 1 fails: no memory"),
        (f"/serving/team/rose{INFER.format('rose')}", {}, 404, "service 'team/rose' is not found"),
        (f"{PREFIX}/v3/models/wine/infer", {}, 404, "there is no '/serving/team/wine/v3/models/wine/infer' here"),
        (f"{PREFIX}/serving/team/wine/v2", {}, 404, "there is no '/serving/team/wine/serving/team/wine/v2' here"),
        (
            f"{PREFIX}{INFER.format('iris')}", {}, 404,
            "model 'iris' is not found: host or path are those of service team/wine",
        ),
        (
            INFER.format("plain"), {"host": WINE}, 404,
            "model 'plain' is not found: host or path are those of service team/wine",
        ),
    ],
)  # fmt: skip
def test_an_inference_that_reaches_none_says_why(
    http: Served, path: str, headers: dict[str, str], status: int, error: str
) -> None:
    """And no backend has been asked."""
    answer = post(http, path, **headers)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert asked(http) == {}


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: httpx.post(f"{s.url}{PREFIX}/v1/models/wine:predict", json={"instances": [[1.0, 2.0]]}),
        lambda s: httpx.post(f"{s.url}{PREFIX}/v2/models/wine/generate", json={"fp32": [[1.0]]}),
        lambda s: httpx.post(f"{s.url}{PREFIX}/v2/models/wine/generate_stream", json={"fp32": [[1.0]]}),
        lambda s: httpx.post(f"{s.url}/v2/models/wine/generate", json={"fp32": [[1.0]]}, headers={"host": WINE}),
    ],
    ids=["v1", "generate", "generate_stream", "generate-by-host"],
)
def test_the_other_ways_to_infer_reach_it(http: Served, ask: Callable[[Served], httpx.Response]) -> None:
    """v1 and the generate extension are addressed like v2."""
    answer = ask(http)
    assert answer.status_code == 200, answer.text
    assert asked(http) == {"team/wine:1": 1}


def test_pages_are_those_of_the_service(http: Served) -> None:
    """Under a host or a path there is only the service, under its own name."""
    for path, host in ((PREFIX, "x"), ("", WINE)):
        assert get(http, f"{path}/v2/models", host=host).json() == {"models": ["wine"]}
        assert get(http, f"{path}/v1/models", host=host).json() == {"models": ["wine"]}
        metadata = get(http, f"{path}/v2/models/wine", host=host).json()
        assert (metadata["name"], metadata["versions"]) == ("wine", ["1", "2"])
        assert get(http, f"{path}/v2/models/wine/ready/", host=host).json() == {"name": "wine", "ready": True}
        assert get(http, f"{path}/v1/models/wine", host=host).json() == {"name": "wine", "ready": True}
        stats = get(http, f"{path}/v2/models/stats", host=host).json()["model_stats"]
        assert [(each["name"], each["version"]) for each in stats] == [("team/wine", "1"), ("team/wine", "2")]
        assert get(http, f"{path}/v2/models/iris/ready", host=host).status_code == 404
        assert get(http, f"{path}/v2/models/wine/config", host=host).json() == {
            "error": "model 'wine' does not tell how it is run"
        }
    assert get(http, f"{PREFIX}/v2/health/live").json() == {"live": True}
    assert get(http, f"{PREFIX}/v2").json()["name"] == "tidegate"
    assert get(http, PREFIX).status_code == 404


def test_plain_pages_are_those_of_default_and_the_repository(http: Served) -> None:
    """A service hides a model of its name; other namespaces' are told by the statistics, which are the server's."""
    assert get(http, "/v2/models").json() == {"models": ["iris", "plain", "rose"]}
    assert get(http, "/v2/models/iris").json()["versions"] == ["1", "2"]
    assert get(http, "/v2/models/iris/versions/2/ready").json() == {"name": "iris", "ready": True}
    assert get(http, "/v2/models/rose/ready").status_code == 503
    stats = get(http, "/v2/models/stats").json()["model_stats"]
    assert [(each["name"], each["version"]) for each in stats] == [
        ("iris", "3"), ("iris", "4"), ("plain", "1"), ("team/wine", "1"), ("team/wine", "2"),
    ]  # fmt: skip
    one = get(http, "/v2/models/iris/stats", tidegate_revision="4").json()["model_stats"]
    assert [(each["name"], each["version"]) for each in one] == [("iris", "4")]
    assert get(http, "/v2/models/rose/stats").status_code == 503


def test_the_path_that_is_routed_is_the_path_as_sent(http: Served) -> None:
    """A Host that looks like a path, or a path that looks like a Host, names nothing but what it is."""
    for host in ("iris-default/../../v2/models/plain", "x/v2/models/plain/infer?", "iris-default@x", "iris-default%2f"):
        with http.connect() as connection:
            connection.send(
                b"POST /v2/models/nope/infer HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n" % host.encode()
            )
            assert connection.reply().status == 404
    for path in ("/serving/team/wine/../../v2/models/wine/infer", "/serving/team/wine/v2/../models/wine/infer"):
        with http.connect() as connection:
            connection.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % path.encode())
            assert connection.reply().status == 404
    for path in ("/serving//wine/v2/models/wine/infer", "/serving/team%2Fwine/v2/models/wine/infer", "/serving"):
        assert post(http, path).status_code == 404
    assert asked(http) == {}


def test_metrics_tell_revisions_apart(http: Served) -> None:
    """By the service's name and the revision's number, whatever its model's version is."""
    post(http, "/v2/models/iris/infer", tidegate_revision="4")
    post(http, f"{PREFIX}/v2/models/wine/infer")
    assert counted(http) == {"iris:4": 1, "team/wine:1": 1}


def counted(server: Served, code: int = 200) -> dict[str, int]:
    """How many answers of this status were counted for each route, by the labels of its metrics."""
    return {
        f"{sample.labels['model']}:{sample.labels['version']}": round(sample.value)
        for family in server.plane.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tidegate_requests_total" and sample.labels["code"] == str(code)
    }


LATE = pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v2/models/iris/infer", BODY, id="infer"),
        pytest.param("/v1/models/iris:predict", b'{"instances": [[1.0]]}', id="v1"),
        pytest.param("/v2/models/iris/generate", b'{"fp32": [[1.0]]}', id="generate"),
        pytest.param("/v2/models/iris/generate_stream", b'{"fp32": [[1.0]]}', id="generate-stream"),
    ],
)


def post_late(server: Served, path: str, body: bytes, meanwhile: RouteTable) -> int:
    """The status of a request before whose body the route table is replaced."""
    with server.connect() as connection:
        connection.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)))
        server.until(lambda: "1 requests" in server.state)
        server.do(lambda: setattr(server.plane, "routes", meanwhile))
        connection.send(body)
        status = connection.reply().status
        server.until(lambda: "0 requests" in server.state)  # a stream is counted after its head has gone out
        return status


@LATE
def test_a_request_whose_body_arrives_after_a_switch_is_the_new_revision_s(
    http: Served, path: str, body: bytes
) -> None:
    """The one that it was first resolved to may have ended by then, for it had nothing to answer. It is counted for the
    one that answers."""
    assert post_late(http, path, body, RouteTable.of(services=[identity_service("iris", {5: 100})])) == 200
    assert asked(http) == {"iris:5": 1}
    assert counted(http) == {"iris:5": 1}


@LATE
def test_a_request_whose_body_arrives_after_its_model_has_gone_is_nobody_s(
    http: Served, path: str, body: bytes
) -> None:
    """What was counted for a model that is gone may be forgotten already, and would come back for ever."""
    assert post_late(http, path, body, RouteTable.of(identity_route("plain"))) == 404
    assert counted(http, 404) == {}
    labels = {"protocol": "http", "code": "404"}
    assert http.plane.metrics.registry.get_sample_value("tidegate_refused_requests_total", labels) == 1


# gRPC


@pytest.mark.parametrize(
    ("model", "version", "metadata", "authority", "revision"),
    [
        pytest.param("iris", "2", [], "", "iris:4", id="a-model-version"),
        pytest.param("iris", "prev", [], "", "iris:3", id="a-tag"),
        pytest.param("iris", "", [("tidegate-revision", "4")], "", "iris:4", id="a-revision"),
        pytest.param("wine", "", [], WINE, "team/wine:1", id="an-authority"),
        pytest.param("wine", "", [], "latest-wine-team:8081", "team/wine:2", id="an-authority-with-a-tag"),
        pytest.param("plain", "", [], "nobody-knows", "plain:1", id="an-unknown-authority"),
    ],
)
def test_a_call_reaches_its_revision(
    rpc: Served, model: str, version: str, metadata: list[tuple[str, str]], authority: str, revision: str
) -> None:
    """As over HTTP, :authority standing for Host."""
    answer = infer(rpc, model, *metadata, version=version, authority=authority)
    assert isinstance(answer, pb.ModelInferResponse), answer
    assert asked(rpc) == {revision: 1}


def test_a_stream_reaches_its_revision(rpc: Served) -> None:
    """Each message of a call is resolved by the call's metadata."""
    options = [("grpc.default_authority", WINE)]
    with grpc.insecure_channel(f"127.0.0.1:{rpc.port}", options=options) as channel:
        converse = channel.stream_stream(
            V2 + "ModelStreamInfer", pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
        )
        messages = [question("wine"), question("iris"), question("wine", "2")]
        answers = list(converse(iter(messages), metadata=[("x-request-id", "1")], timeout=20))
    assert len(answers) == 3
    assert [answer.error_message for answer in answers if answer.error_message] == [
        "model 'iris' is not found: host or path are those of service team/wine"
    ]
    assert asked(rpc) == {"team/wine:1": 1, "team/wine:2": 1}


def test_the_other_methods_are_about_the_service(rpc: Served) -> None:
    """Metadata, readiness, statistics, configuration and health, by authority and by metadata."""
    name = pb.ModelMetadataRequest(name="wine")
    metadata = call(rpc, V2 + "ModelMetadata", name, pb.ModelMetadataResponse, authority=WINE)
    assert (metadata.name, list(metadata.versions)) == ("wine", ["1", "2"])
    ready = call(rpc, V2 + "ModelReady", name, pb.ModelReadyResponse, authority=WINE)
    assert ready.ready
    assert not call(rpc, V2 + "ModelReady", pb.ModelReadyRequest(name="rose"), pb.ModelReadyResponse).ready
    stats = call(rpc, V2 + "ModelStatistics", pb.ModelStatisticsRequest(), pb.ModelStatisticsResponse, authority=WINE)
    assert [(each.name, each.version) for each in stats.model_stats] == [("team/wine", "1"), ("team/wine", "2")]
    one = pb.ModelStatisticsRequest(name="iris")
    stats = call(rpc, V2 + "ModelStatistics", one, pb.ModelStatisticsResponse, ("tidegate-revision", "4"))
    assert [(each.name, each.version) for each in stats.model_stats] == [("iris", "4")]
    assert call(rpc, V2 + "ModelConfig", name, pb.ModelConfigResponse, authority=WINE) == (
        grpc.StatusCode.UNIMPLEMENTED, "model 'wine' does not tell how it is run",
    )  # fmt: skip
    assert call(rpc, V2 + "ModelMetadata", name, pb.ModelMetadataResponse) == (
        grpc.StatusCode.NOT_FOUND, "model 'wine' is not found",
    )  # fmt: skip
    check = "/grpc.health.v1.Health/Check"
    serving = health_pb.HealthCheckResponse.ServingStatus
    for service, authority, status in (("wine", WINE, serving.SERVING), ("rose", "", serving.NOT_SERVING)):
        asked_for = health_pb.HealthCheckRequest(service=service)
        assert call(rpc, check, asked_for, health_pb.HealthCheckResponse, authority=authority).status == status
    code, _ = call(rpc, check, health_pb.HealthCheckRequest(service="wine"), health_pb.HealthCheckResponse)
    assert code is grpc.StatusCode.NOT_FOUND


def test_both_protocols_assign_a_key_alike(http: Served, rpc: Served) -> None:
    """By the sticky header, which is metadata over gRPC, and by the request's id."""
    users = [f"user-{number}" for number in range(25)]
    both = []
    for header in ("x-user-id", "x-request-id"):
        for user in users:
            post(http, "/v2/models/iris/infer", **{header: user})
            infer(rpc, "iris", (header, user))
            both.append((asked(http), asked(rpc)))
    assert all(one == other for one, other in both)
    assert set(both[-1][0]) == {"iris:3", "iris:4"}


def test_a_message_s_id_tells_requests_apart_where_nothing_else_does(rpc: Served) -> None:
    """The same id is answered by the same revision; without any, chance decides."""
    response = pb.ModelInferResponse
    for _ in range(20):
        call(rpc, V2 + "ModelInfer", question("iris", identity="7"), response)
    assert list(asked(rpc).values()) == [20]


# The model repository


def test_what_a_service_serves_is_not_loaded_by_hand(http: Served, rpc: Served) -> None:
    """It is said whose it is, before anybody is asked for a repository."""
    wanted = "model '{}' is managed by service {}; change that"
    for verb in ("load", "unload"):
        for path, name, service in (("", "iris", "default/iris"), (PREFIX, "wine", "team/wine")):
            answer = httpx.post(f"{http.url}{path}/v2/repository/models/{name}/{verb}")
            assert (answer.status_code, answer.json()) == (409, {"error": wanted.format(name, service)})
    for method, request in (
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="iris")),
        ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="iris")),
    ):
        assert call(rpc, V2 + method, request, pb.RepositoryModelLoadResponse) == (
            grpc.StatusCode.FAILED_PRECONDITION, wanted.format("iris", "default/iris"),
        )  # fmt: skip
    answer = httpx.post(f"{http.url}/v2/repository/models/plain/load")
    assert (answer.status_code, answer.json()) == (501, {"error": "this server has no model repository"})


def test_the_index_lists_services(http: Served, rpc: Served) -> None:
    """An entry for each model version that can be asked for, and why there is none."""
    latest = http.plane.routes.services.find(ServiceName("default", "iris")).revisions[4].backend
    assert isinstance(latest, IdentityBackend)
    latest.state = Readiness(False, "its process ended")
    index = httpx.post(f"{http.url}/v2/repository/index").json()
    assert [(each["name"], each["version"], each["state"], each["reason"]) for each in index] == [
        ("iris", "1", "READY", ""),
        ("iris", "2", "UNAVAILABLE", "its process ended"),
        ("rose", "", "UNAVAILABLE", "revision 1 fails: no memory"),
    ]
    wine = httpx.post(f"{http.url}{PREFIX}/v2/repository/index").json()
    assert [(each["name"], each["version"]) for each in wine] == [("wine", "1"), ("wine", "2")]
    entries = call(rpc, V2 + "RepositoryIndex", pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse, authority=WINE)
    assert [(each.name, each.version, each.state) for each in entries.models] == [
        ("wine", "1", "READY"), ("wine", "2", "READY"),
    ]  # fmt: skip
    ready = httpx.post(f"{http.url}/v2/repository/index", json={"ready": True}).json()
    assert [(each["name"], each["version"]) for each in ready] == [("iris", "1")]
