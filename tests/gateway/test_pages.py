"""The cold paths of the data port: health, metadata and lists."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tidegate.gateway.backend import Readiness
from tidegate.gateway.routes import Route
from tidegate.protocol.datatypes import Datatype
from tidegate.testing.backends import IdentityBackend, identity_metadata, identity_route
from tidegate.testing.requests import plain
from tidegate.testing.served import Served, served

METADATA = {
    "name": "m",
    "versions": ["1", "2"],
    "platform": "tidegate_fake",
    "inputs": [{"name": "int8", "datatype": "INT8", "shape": [-1, -1]}],
    "outputs": [{"name": "int8", "datatype": "INT8", "shape": [-1, -1]}],
}


@pytest.fixture
def server() -> Iterator[Served]:
    """A server of model ``m`` in versions 1 and 2, and of ``waiting``, which can be told not to be ready."""
    backends = [IdentityBackend(identity_metadata("m", Datatype.INT8)) for _ in "12"]
    versions = [Route("m", str(number), backend) for number, backend in enumerate(backends, 1)]
    with served(*versions, identity_route("waiting")) as running:
        yield running


def make_wait(server: Served, *, loaded: bool = True) -> None:
    backend = server.plane.routes.resolve("waiting").backend
    assert isinstance(backend, IdentityBackend)
    backend.state = Readiness(False, "it is loading")
    if not loaded:
        backend._metadata = None


def test_refusals_are_counted(server: Served) -> None:
    """Unknown names, unknown paths and wrong methods stand in the metrics, each once."""
    for path in ("/nope", "/v2/models/nope", "/v2/models/m/versions/9/ready", "/v2/models/m/infer"):
        httpx.get(f"{server.url}{path}")
    httpx.post(f"{server.url}/v2")
    httpx.post(f"{server.url}/v2/models/nope/infer")
    sample = server.plane.metrics.registry.get_sample_value
    counts = {
        code: sample("tidegate_refused_requests_total", {"protocol": "http", "code": code}) for code in ("404", "405")
    }
    assert counts == {"404": 4, "405": 2}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("", {"status": "alive"}),
        (
            "/v2",
            {
                "name": "tidegate",
                "version": "0",
                "extensions": [
                    "binary_tensor_data",
                    "generate",
                    "parameters",
                    "schedule_policy",
                    "sequence",
                    "sequence(string_id)",
                    "statistics",
                ],
            },
        ),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models", {"models": ["m", "waiting"]}),
        ("/v2/models/m", METADATA),
        ("/v2/models/m/versions/1", METADATA),
        ("/v2/models/%6d", METADATA),
        ("/v2/models/m/ready", {"name": "m", "ready": True}),
        ("/v2/models/m/versions/2/ready", {"name": "m", "ready": True}),
        ("/v1/models", {"models": ["m", "waiting"]}),
        ("/v1/models/m", {"name": "m", "ready": True}),
    ],
)
def test_a_page_tells_its_document(server: Served, path: str, slash: str, document: object) -> None:
    """Every page answers with JSON, with or without a slash at its end, and never redirects."""
    answer = httpx.get(server.url + path + slash)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == document


def test_head_is_get_without_the_body(server: Served) -> None:
    """HEAD tells the length of what GET would send, and sends nothing."""
    with server.connect() as connection:
        connection.send(plain(b"HEAD", b"/v2/health/live"), plain(b"GET", b"/v2/health/live"))
        answer = connection.reply(head=True)
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "13", b"")
        assert connection.reply().body == b'{"live":true}'


@pytest.mark.parametrize("path", ["/v2/models/waiting/ready", "/v1/models/waiting"])
def test_a_model_that_is_not_ready_says_why(server: Served, path: str) -> None:
    """503 with the reason, in a body that KServe's client can read."""
    make_wait(server)
    answer = httpx.get(server.url + path)
    assert answer.status_code == 503
    assert answer.json() == {"name": "waiting", "ready": False, "reason": "it is loading"}


def test_the_server_is_as_ready_as_its_models(server: Served) -> None:
    """One model that is not ready makes the server not ready, and is named; it is still alive."""
    make_wait(server)
    answer = httpx.get(server.url + "/v2/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reason": "model 'waiting' version 1: it is loading"}
    assert httpx.get(server.url + "/v2/health/live").json() == {"live": True}


def test_a_server_that_leaves_is_not_ready(server: Served) -> None:
    """Load balancers notice before the socket goes; who is already here can still read the metadata."""
    server.do(server.plane.leave)
    answer = httpx.get(server.url + "/v2/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reason": "the server is shutting down"})
    assert httpx.get(server.url + "/v2/models/m").json() == METADATA


def test_metadata_of_a_model_that_has_not_loaded_is_told_later(server: Served) -> None:
    """Nobody knows the signature yet: 503 and when to ask again."""
    make_wait(server, loaded=False)
    answer = httpx.get(server.url + "/v2/models/waiting")
    assert answer.status_code == 503
    assert answer.json() == {"error": "model 'waiting' is not ready: it is loading"}
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/models/m", "GET, HEAD"),
        ("OPTIONS", "/v2/health/live", "GET, HEAD"),
        ("GET", "/v2/models/m/infer", "POST"),
        ("HEAD", "/v1/models/m:predict", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(server: Served, method: str, path: str, allowed: str) -> None:
    """405 with the Allow header that RFC 9110 wants."""
    answer = httpx.request(method, server.url + path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_a_fault_in_a_page_is_ours(server: Served, caplog: pytest.LogCaptureFixture) -> None:
    """What breaks a page is logged once, and the caller reads nothing of it."""

    class Broken(IdentityBackend):
        @property
        def readiness(self) -> Readiness:
            raise KeyError("secret")

    routes = server.plane.routes.of(Route("broken", "1", Broken(identity_metadata("broken"))))
    server.plane.routes = routes
    answer = httpx.get(server.url + "/v2/models/broken/ready")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error; the server's log has the cause"})
    assert caplog.text.count("unexpected error in a listener") == 1
    assert "uvicorn" not in caplog.text.replace("site-packages/uvicorn", "")


@pytest.mark.parametrize("length", [5, 100_000], ids=["short", "long"])
def test_a_body_on_a_page_is_thrown_away(server: Served, length: int) -> None:
    """A body that no page wants is read if it is short; else the connection ends with the answer."""
    with server.connect() as connection:
        connection.send(plain(b"GET", b"/v2").replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % length))
        connection.send(b"x" * length)
        answer = connection.reply()
        assert (answer.status, answer.closes) == (200, length > 65536)
