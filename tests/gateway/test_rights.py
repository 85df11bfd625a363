"""Who may do what, over HTTP and gRPC: one table, held against real listeners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as pb

from tidegate.gateway.access import tenant_of
from tidegate.gateway.services import Service
from tidegate.identity import key, scope, token
from tidegate.identity.identity import Identity
from tidegate.identity.quota import Quota
from tidegate.identity.settings import TokenSettings
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import ModelNotFound, Unauthenticated, Unsupported
from tidegate.protocol.generated import health as health_pb
from tidegate.protocol.repository import IndexEntry, ModelState
from tidegate.resources import document
from tidegate.testing.backends import IdentityBackend, identity_route, identity_service
from tidegate.testing.guests import Guests
from tidegate.testing.requests import BODY
from tidegate.testing.served import Served, served
from tidegate.testing.served_grpc import served_grpc

V2 = "/inference.GRPCInferenceService/"

SCOPES = {
    "nobody": "",
    "user": "infer:iris infer:team/wine",
    "team": "infer:team/*",
    "plain": "infer:*",
    "viewer": "metadata:*/*",
    "operator": "control:iris control:team/*",
    "other": "infer:Iris infer:iris-2 infer:te?/wine infer:team/win",
    "all": "infer:*/* control:*/*",
    "root": "admin:*",
}
"""Who has which scopes."""

MODELS = {
    "iris": "default/iris: a model of the repository",
    "cat": "default/cat: a service",
    "wine": "team/wine: a service",
    "rose": "default/rose: a model that is known, and not loaded",
}

TABLE: dict[str, dict[str, str]] = {
    #             iris   cat    wine   rose     m: metadata, i: infer, c: control
    "nobody": {"iris": "", "cat": "", "wine": "", "rose": ""},
    "user": {"iris": "mi", "cat": "", "wine": "mi", "rose": ""},
    "team": {"iris": "", "cat": "", "wine": "mi", "rose": ""},
    "plain": {"iris": "mi", "cat": "mi", "wine": "", "rose": "mi"},
    "viewer": {"iris": "m", "cat": "m", "wine": "m", "rose": "m"},
    "operator": {"iris": "mc", "cat": "", "wine": "mc", "rose": ""},
    "other": {"iris": "", "cat": "", "wine": "", "rose": ""},
    "all": {"iris": "mic", "cat": "mic", "wine": "mic", "rose": "mic"},
    "root": {"iris": "mic", "cat": "mic", "wine": "mic", "rose": "mic"},
}
"""THE TABLE: what each may do with each. Everything else is, for him, not there."""

CELLS = [(who, model) for who in TABLE for model in MODELS]


class Shelf:
    """A repository that has models, and does nothing but remember what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def index(self) -> Sequence[IndexEntry]:
        return [IndexEntry(name, "1", ModelState.READY, "") for name in ("iris", "rose")]

    async def load(self, model: str) -> None:
        self._told("load", model)

    async def unload(self, model: str) -> None:
        self._told("unload", model)

    def configuration(self, model: str, version: str) -> ModelConfiguration:
        raise Unsupported("nothing is told here")

    def _told(self, verb: str, model: str) -> None:
        if model not in ("iris", "rose"):
            raise ModelNotFound(model)
        self.told.append((verb, model))


def services() -> list[Service]:
    return [
        identity_service("cat", {1: 100}),
        identity_service("wine", {1: 50, 2: 50}, namespace="team", versions={1: "7", 2: "8"}),
    ]


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    door = Guests(**SCOPES).access()
    with served(identity_route("iris"), services=services(), access=door, repository=Shelf()) as running:
        _unloaded(running)
        yield running


@pytest.fixture(scope="module")
def rpc() -> Iterator[Served]:
    door = Guests(**SCOPES).access()
    with served_grpc(identity_route("iris"), services=services(), access=door, repository=Shelf()) as running:
        _unloaded(running)
        yield running


def _unloaded(server: Served) -> None:
    """Let ``rose`` be known and not loaded."""
    table = type(server.plane.routes).of(
        *(route for route in server.plane.routes if route.revision is None),
        unavailable={"rose": "it is loading"},
        services=services(),
    )
    server.do(lambda: setattr(server.plane, "routes", table))


def ask(server: Served, who: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    """The status and the text of one answer."""
    prefix = "/serving/team/wine" if "wine" in path else ""
    found = {"host": "x", "authorization": f"Bearer {who}", "content-length": str(len(body))} | headers
    lines = [f"{method} {prefix}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in found.items())]
    answer = server.ask("\r\n".join([*lines, "", ""]).encode() + body)
    return answer.status, answer.body.decode()


def like_nothing(model: str, server: Served, method: str, path: str, body: bytes) -> tuple[int, str]:
    """What ``root`` is answered for a model that there is not, with this one's name in place of that one's."""
    other = "abcd" if model == "wine" else "a" * len(model)
    prefix = f"/serving/team/{other}" if model == "wine" else ""
    status, text = ask(server, "root", method, prefix + path.replace(model, other), body)
    return status, text.replace(other, model)


ASKED = {
    "m": [
        ("GET", "/v2/models/{}", b""),
        ("GET", "/v2/models/{}/", b""),
        ("GET", "/v2/models/{}/versions/1", b""),
        ("GET", "/v2/models/{}/ready", b""),
        ("GET", "/v2/models/{}/versions/nope/ready", b""),
        ("GET", "/v2/models/{}/stats", b""),
        ("GET", "/v2/models/{}/config", b""),
        ("GET", "/v1/models/{}", b""),
    ],
    "i": [
        ("POST", "/v2/models/{}/infer", BODY),
        ("POST", "/v2/models/{}/infer/", BODY),
        ("POST", "/v2/models/{}/versions/1/infer", BODY),
        ("POST", "/v2/models/{}/versions/latest/infer", BODY),
        ("POST", "/v2/models/{}/versions/nope/infer", BODY),
        ("POST", "/v2/models/{}/generate", b'{"fp32": [[1.0]]}'),
        ("POST", "/v2/models/{}/generate_stream", b'{"fp32": [[1.0]]}'),
        ("POST", "/v1/models/{}:predict", b'{"instances": [[1.0, 2.0]]}'),
        ("POST", "/v1/models/{}:explain", b'{"instances": [[1.0, 2.0]]}'),
    ],
    "c": [("POST", "/v2/repository/models/{}/load", b""), ("POST", "/v2/repository/models/{}/unload", b"")],
}
"""The requests of each right."""


@pytest.mark.parametrize(("who", "model"), CELLS)
def test_over_http(http: Served, who: str, model: str) -> None:
    """What one may is answered as for the administrator; what one may not, as if it were not there, to the letter."""
    for right, requests in ASKED.items():
        for method, form, body in requests:
            path = form.format(model)
            answer = ask(http, who, method, path, body)
            if right in TABLE[who][model]:
                assert answer[0] == ask(http, "root", method, path, body)[0], path
                assert answer[0] != 401
            else:
                assert answer == like_nothing(model, http, method, path, body), path
                assert answer[0] == 404


def test_the_right_answers_are_good_ones(http: Served) -> None:
    """The administrator's, with whom the others are compared, are not all errors."""
    assert ask(http, "root", "GET", "/v2/models/iris")[0] == 200
    assert ask(http, "root", "POST", "/v2/models/wine/infer", BODY)[0] == 200
    assert ask(http, "root", "POST", "/v2/models/rose/infer", BODY)[0] == 503
    assert ask(http, "root", "POST", "/v2/repository/models/iris/load")[0] == 200
    assert ask(http, "root", "POST", "/v2/repository/models/wine/load")[0] == 409


def visible(who: str) -> list[str]:
    return [model for model, rights in TABLE[who].items() if rights]


@pytest.mark.parametrize("who", TABLE)
def test_lists_have_what_one_may_see(http: Served, rpc: Served, who: str) -> None:
    """Models, the index and the statistics, over HTTP and gRPC."""
    seen = visible(who)
    plain = sorted(model for model in seen if model != "wine")
    loaded = sorted(model for model in plain if model != "rose")
    headers = {"authorization": f"Bearer {who}"}
    assert httpx.get(f"{http.url}/v2/models", headers=headers).json() == {"models": loaded}
    assert httpx.get(f"{http.url}/v1/models", headers=headers).json() == {"models": loaded}
    index = httpx.post(f"{http.url}/v2/repository/index", headers=headers).json()
    assert [entry["name"] for entry in index] == plain
    stats = httpx.get(f"{http.url}/v2/models/stats", headers=headers).json()["model_stats"]
    assert {entry["name"] for entry in stats} == {"team/wine" if m == "wine" else m for m in seen if m != "rose"}
    indexed = call(rpc, who, "RepositoryIndex", pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse)
    assert [entry.name for entry in indexed.models] == plain
    told = call(rpc, who, "ModelStatistics", pb.ModelStatisticsRequest(), pb.ModelStatisticsResponse)
    assert {entry.name for entry in told.model_stats} == {entry["name"] for entry in stats}
    under = httpx.get(f"{http.url}/serving/team/wine/v2/models", headers=headers)
    assert under.json() == ({"models": ["wine"]} if "wine" in seen else {"error": "service 'team/wine' is not found"})


# gRPC


def call(server: Served, who: str, method: str, request: Any, answer: Any, authority: str = "x") -> Any:
    """The answer to one call, or its status and message."""
    path = method if method.startswith("/") else V2 + method
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.default_authority", authority)]) as channel:
        rpc = channel.unary_unary(path, pb.ServerLiveRequest.SerializeToString, answer.FromString)
        try:
            return rpc(request, metadata=[("authorization", f"Bearer {who}")] if who else [], timeout=20)
        except grpc.RpcError as error:
            return error.code(), error.details()


def question(model: str) -> Any:
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=[bytes(8)])
    request.inputs.add(name="fp32", datatype="FP32", shape=[1, 2])
    return request


def calls(model: str) -> dict[str, list[tuple[str, Any, Any]]]:
    """The calls of each right."""
    check = health_pb.HealthCheckRequest(service=model)
    return {
        "m": [
            ("ModelMetadata", pb.ModelMetadataRequest(name=model), pb.ModelMetadataResponse),
            ("ModelReady", pb.ModelReadyRequest(name=model), pb.ModelReadyResponse),
            ("ModelStatistics", pb.ModelStatisticsRequest(name=model), pb.ModelStatisticsResponse),
            ("ModelConfig", pb.ModelConfigRequest(name=model), pb.ModelConfigResponse),
            ("/grpc.health.v1.Health/Check", check, health_pb.HealthCheckResponse),
        ],
        "i": [("ModelInfer", question(model), pb.ModelInferResponse)],
        "c": [
            (
                "RepositoryModelLoad",
                pb.RepositoryModelLoadRequest(model_name=model),
                pb.RepositoryModelLoadResponse,
            ),
            (
                "RepositoryModelUnload",
                pb.RepositoryModelUnloadRequest(model_name=model),
                pb.RepositoryModelUnloadResponse,
            ),
        ],
    }


def status(answer: Any) -> Any:
    return answer[0] if isinstance(answer, tuple) else grpc.StatusCode.OK


@pytest.mark.parametrize(("who", "model"), CELLS)
def test_over_grpc(rpc: Served, who: str, model: str) -> None:
    """As over HTTP."""
    other = "a" * len(model)
    authority = "wine-team.example.com" if model == "wine" else "x"
    for right, asked in calls(model).items():
        for (method, request, answer), (_, gone, _) in zip(asked, calls(other)[right], strict=True):
            got = call(rpc, who, method, request, answer, authority)
            if right in TABLE[who][model]:
                assert status(got) == status(call(rpc, "root", method, request, answer, authority)), method
                assert status(got) is not grpc.StatusCode.UNAUTHENTICATED
            else:
                code, text = call(rpc, "root", method, gone, answer)
                assert got == (code, text.replace(other, model)), method
                assert code is grpc.StatusCode.NOT_FOUND


def test_every_message_of_a_stream_is_judged(rpc: Served) -> None:
    """A call that one may begin is no door to what one may not use."""
    with grpc.insecure_channel(f"127.0.0.1:{rpc.port}") as channel:
        converse = channel.stream_stream(
            V2 + "ModelStreamInfer", pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
        )
        messages = [question("iris"), question("cat"), question("iris")]
        answers = list(converse(iter(messages), metadata=[("authorization", "Bearer user")], timeout=20))
    assert sorted(answer.error_message for answer in answers) == ["", "", "model 'cat' is not found"]


# Doors


OPEN = ["/", "/v2/health/live", "/v2/health/ready", "/v2/health/ready/"]
CLOSED = [
    "/v2",
    "/v2/models",
    "/v2/models/iris",
    "/v1/models",
    "/nothing",
    "/v2/health",
    "/v2/health/%6cive",
    "//v2/health/live",
]


def test_whoever_watches_the_server_needs_no_credentials(http: Served, rpc: Served) -> None:
    """It tells whether it lives and is ready, and no names."""
    assert [httpx.get(http.url + path).status_code for path in OPEN] == [200] * 4
    assert {httpx.get(http.url + path).status_code for path in CLOSED} == {401}
    for method, request, answer in (
        ("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse),
        ("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse),
        ("/grpc.health.v1.Health/Check", health_pb.HealthCheckRequest(), health_pb.HealthCheckResponse),
    ):
        assert status(call(rpc, "", method, request, answer)) is grpc.StatusCode.OK
    closed = [
        ("ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse),
        ("/grpc.health.v1.Health/Check", health_pb.HealthCheckRequest(service="iris"), health_pb.HealthCheckResponse),
        ("/grpc.health.v1.Health/Check", health_pb.HealthCheckRequest(service="none"), health_pb.HealthCheckResponse),
        *(each for group in calls("iris").values() for each in group),
    ]
    for method, request, answer in closed:
        expected = (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated().message)
        assert call(rpc, "", method, request, answer) == expected, method


def test_reflection_and_streams_ask_who_it_is(rpc: Served) -> None:
    """Before the first message."""
    for path in ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", V2 + "ModelStreamInfer"):
        with grpc.insecure_channel(f"127.0.0.1:{rpc.port}") as channel:
            converse = channel.stream_stream(path)
            with pytest.raises(grpc.RpcError) as caught:
                list(converse(iter([]), timeout=20))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_server_that_is_not_ready_names_nobody(http: Served) -> None:
    """To whom it does not know."""
    (route,) = (route for route in http.plane.routes if route.model == "iris")
    assert isinstance(route.backend, IdentityBackend)
    before = route.backend.state
    route.backend.state = type(before)(False, "it is loading")
    try:
        assert httpx.get(f"{http.url}/v2/health/ready").json() == {"ready": False}
    finally:
        route.backend.state = before


# The path that is authorised is the path that is served

FORMS = [
    "/v2/models/wine/infer",
    "/serving/team/wine/v2/models/wine/infer",
    "/serving/team%2Fwine/v2/models/wine/infer",
    "/serving/team/w%69ne/v2/models/wine/infer",
    "/serving/team/w%2569ne/v2/models/wine/infer",
    "/serving/./team/wine/v2/models/wine/infer",
    "/serving/default/../team/wine/v2/models/wine/infer",
    "/serving/default/iris/../../team/wine/v2/models/wine/infer",
    "/serving/default/cat/v2/models/wine/infer",
    "/serving/default/iris/v2/models/wine/infer",
    "/SERVING/team/wine/v2/models/wine/infer",
    "/serving/Team/Wine/v2/models/wine/infer",
    "/serving/team/wine/serving/team/wine/v2/models/wine/infer",
    "//serving/team/wine/v2/models/wine/infer",
    "/serving/team/wine//v2/models/wine/infer",
    "/serving/team/wine;x/v2/models/wine/infer",
    "/v2/models/iris/../wine/infer",
    "/v2/models/iris%2F..%2Fwine/infer",
    "/v2/models/team%2Fwine/infer",
    "/v2/models/wine/infer/",
    "/v2/models/wine/versions/7/infer",
    "/v2/models/wine/versions/latest/infer",
    "/v2/models/wine%00/infer",
    "/v2/models/wine?model=iris/infer",
    "/v1/models/wine:predict",
    "/v1/models/iris:predict/../wine:predict",
    "/v2/models/wine/generate",
]
"""Ways to write a path to ``wine``, most of which lead nowhere."""

HOSTS = [
    "x",
    "wine-team",
    "WINE-TEAM.example.com:80",
    "latest-wine-team",
    "iris-default",
    "cat-default",
    "wine-team@x",
    "x/wine-team",
]


@pytest.mark.parametrize("path", FORMS)
def test_no_way_to_write_it_leads_to_what_one_may_not_use(http: Served, path: str) -> None:
    """``plain`` may infer with everything in default. Whatever he writes, ``wine`` was never asked; and who may use it
    is answered with a different status only where the path leads there."""
    body = (
        b'{"instances": [[1.0, 2.0]]}'
        if path.startswith("/v1")
        else b'{"fp32": [[1.0]]}'
        if "generate" in path
        else BODY
    )
    for host in HOSTS:
        for header in (b"", b"X-Original-URL: /v2/models/iris/infer\r\n", b"X-Forwarded-Host: iris-default\r\n"):
            before = wine_asked(http)
            assert raw(http, path, host, "plain", body, header) in (404, 400, 405), (path, host)
            assert wine_asked(http) == before
            answered = raw(http, path, host, "team", body, header)
            assert (answered == 200) == (wine_asked(http) > before), (path, host)


def wine_asked(server: Served) -> int:
    return sum(
        len(route.backend.requests)
        for route in server.plane.routes
        if route.model == "team/wine" and isinstance(route.backend, IdentityBackend)
    )


def raw(server: Served, path: str, host: str, who: str, body: bytes, header: bytes) -> int:
    """The status of one answer to a request as it is written here."""
    head = b"POST %s HTTP/1.1\r\nHost: %s\r\n" % (path.encode(), host.encode())
    rest = b"Authorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n" % (who.encode(), header, len(body))
    return server.ask(head + rest + body).status


@pytest.mark.parametrize(
    "authority", ["wine-team", "WINE-team:443", "latest-wine-team.x", "wine-team.default", "wine-team@cat-default"]
)
def test_no_authority_leads_to_what_one_may_not_use(rpc: Served, authority: str) -> None:
    """The same over gRPC, with a host in the metadata besides."""
    before = wine_asked(rpc)
    code, text = call(rpc, "plain", "ModelInfer", question("wine"), pb.ModelInferResponse, authority)
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, "model 'wine' is not found")
    assert wine_asked(rpc) == before


def test_a_host_of_a_hidden_service_is_nobodys_host(http: Served) -> None:
    """Who may not see ``wine`` is answered by ``iris`` under its host, as under any that means nothing."""
    for host in ("wine-team", "nothing-at-all"):
        assert ask(http, "plain", "POST", "/v2/models/iris/infer", BODY, host=host)[0] == 200
    assert ask(http, "team", "POST", "/v2/models/iris/infer", BODY, host="wine-team")[0] == 404


def test_a_scope_without_a_namespace_is_of_the_services_that_are_asked_for_by_name_alone() -> None:
    """Identity and resources know nothing of each other, and mean the same namespace."""
    assert scope.DEFAULT_NAMESPACE == document.DEFAULT_NAMESPACE


# Tenants and quotas


def test_requests_count_for_the_tenant_of_the_caller() -> None:
    """Whatever tenant the request names, unless the caller speaks for others."""
    guests = Guests(ann="infer:*", proxy="infer:*")
    guests.change("proxy", proxy=True)
    route = identity_route("m")
    assert isinstance(route.backend, IdentityBackend)
    with served(route, access=guests.access()) as server:
        for who in ("ann", "proxy"):
            assert ask(server, who, "POST", "/v2/models/m/infer", BODY, **{"x-tenant-id": "red"})[0] == 200
            assert (
                ask(server, who, "POST", "/v2/models/m/generate", b'{"fp32": [[1]]}', **{"x-tenant-id": "red"})[0]
                == 200
            )
    assert [caller.tenant for caller in route.backend.callers] == ["ann", "ann", "red", "red"]


def test_nobody_speaks_for_others_by_his_name() -> None:
    """A star is a name as any, in a key and in each claim of a token; it is an option of a key that makes a proxy."""
    settings = TokenSettings(issuer="i", audience="a", keys="k")

    def entry(name: str, tenant: str = "") -> Identity:
        return key.identity_of(key.Key(id="a" * 12, name=name, tenant=tenant, certificate="URI:a"))

    assert [
        tenant_of(identity, "red")
        for identity in (
            entry("*"),
            entry("*", "blue"),
            token.identity_of({"sub": "*"}, settings),
            token.identity_of({"sub": "ann", "tenant": "*"}, settings),
            entry("proxy", "*"),
        )
    ] == ["*", "blue", "*", "*", "red"]


def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    """With 429 and Retry-After, before his body is read; others are not held up."""
    guests = Guests(ann="infer:* metadata:*", bob="infer:*")
    guests.change("ann", quota=Quota(rate=0.01, burst=2))
    with served(identity_route("m"), access=guests.access()) as server:
        asked = [ask(server, "ann", "POST", "/v2/models/m/infer", BODY)[0] for _ in range(3)]
        assert asked == [200, 200, 429]
        answer = httpx.post(f"{server.url}/v2/models/m/infer", content=BODY, headers={"x-api-key": "ann"})
        assert answer.json() == {"error": "this caller may make 0.01 requests per second"}
        assert 90 <= int(answer.headers["retry-after"]) <= 100
        assert ask(server, "ann", "GET", "/v2/models/m")[0] == 200
        assert ask(server, "bob", "POST", "/v2/models/m/infer", BODY)[0] == 200


def converse(server: Served, who: str, *models: str) -> list[str]:
    """The errors of one ModelStreamInfer's answers, "" for none."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stream = channel.stream_stream(
            V2 + "ModelStreamInfer", pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
        )
        messages = [question(model) for model in models]
        answers = list(stream(iter(messages), metadata=[("authorization", f"Bearer {who}")], timeout=20))
    return sorted(answer.error_message for answer in answers)


GENERATE = b'{"fp32": [[1.0]]}'


def test_every_way_to_infer_counts_once() -> None:
    """v1, v2, generate, streams and gRPC draw from one bucket; what is refused for another reason counts, too."""
    guests = Guests(ann="infer:*")
    guests.change("ann", quota=Quota(rate=0.001, burst=3))

    def passed(*paths: tuple[str, bytes]) -> list[int]:
        with served(identity_route("m"), access=guests.access()) as server:
            return [ask(server, "ann", "POST", f"/v2/models/m/{path}", body)[0] for path, body in paths]

    assert passed(*[("infer", BODY)] * 4) == [200, 200, 200, 429]
    assert passed(*[("generate", GENERATE)] * 4) == [200, 200, 200, 429]
    assert passed(*[("generate_stream", GENERATE)] * 4) == [200, 200, 200, 429]
    assert passed(("infer", b"{"), ("generate", b"{"), ("generate_stream", GENERATE), ("infer", BODY)) == [
        400,
        400,
        200,
        429,
    ]
    with served_grpc(identity_route("m"), access=guests.access()) as server:
        assert status(call(server, "ann", "ModelInfer", question("m"), pb.ModelInferResponse)) is grpc.StatusCode.OK
        assert converse(server, "ann", "m", "m", "m") == ["", "", "this caller may make 0.001 requests per second"]


def test_what_is_answered_is_no_longer_in_flight() -> None:
    """However it ends, one after the other comes through on every way."""
    guests = Guests(ann="infer:*")
    guests.change("ann", quota=Quota(concurrent=1))
    with served(identity_route("m"), access=guests.access()) as server:
        for path, body, expected in (
            ("infer", BODY, 200), ("infer", b"{", 400), ("generate", GENERATE, 200), ("generate", b"{", 400),
            ("generate_stream", GENERATE, 200), ("infer", BODY, 200),
        ):  # fmt: skip
            assert ask(server, "ann", "POST", f"/v2/models/m/{path}", body)[0] == expected, path
    with served_grpc(identity_route("m"), access=guests.access()) as server:
        for model, code in (("m", grpc.StatusCode.OK), ("n", grpc.StatusCode.NOT_FOUND), ("m", grpc.StatusCode.OK)):
            assert status(call(server, "ann", "ModelInfer", question(model), pb.ModelInferResponse)) is code
        for _ in range(2):
            assert converse(server, "ann", "m") == [""]
            assert converse(server, "ann", "n") == ["model 'n' is not found"]


def test_a_change_of_the_routes_is_a_change_of_everybodys() -> None:
    """Whoever has asked before sees what is new, and no longer what is gone."""
    with served(identity_route("m"), access=Guests(ann="infer:*").access()) as server:
        assert ask(server, "ann", "GET", "/v2/models") == (200, '{"models":["m"]}')
        table = type(server.plane.routes).of(identity_route("n"))
        server.do(lambda: setattr(server.plane, "routes", table))
        assert ask(server, "ann", "GET", "/v2/models") == (200, '{"models":["n"]}')
        assert ask(server, "ann", "POST", "/v2/models/m/infer", BODY)[0] == 404


def test_who_asks_for_too_much_at_once_is_told_so() -> None:
    """What is in flight counts until it is answered, also with an error; over gRPC it is RESOURCE_EXHAUSTED."""
    with served_grpc(identity_route("m"), access=Guests(ann="infer:*").access(Quota(rate=0.01, burst=1))) as server:
        asked = [status(call(server, "ann", "ModelInfer", question("m"), pb.ModelInferResponse)) for _ in range(2)]
        assert asked == [grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED]
    guests = Guests(ann="infer:*")
    guests.change("ann", quota=Quota(concurrent=1))
    with served(identity_route("m"), access=guests.access()) as server:
        head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\nContent-Length: %d\r\n\r\n"
        with server.connect() as slow:
            slow.send(head % len(BODY))
            server.until(lambda: "1 requests" in server.state)
            assert ask(server, "ann", "POST", "/v2/models/m/infer", BODY)[0] == 429
            slow.send(BODY)
            assert slow.reply().status == 200
        for body in (BODY, b"{", BODY):
            assert ask(server, "ann", "POST", "/v2/models/m/infer", body)[0] in (200, 400)
