"""The status port: metrics, liveness, readiness and load."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tidegate.gateway.backend import Readiness
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.rest import decode_request
from tidegate.testing.backends import IdentityBackend, identity_route
from tidegate.testing.requests import BODY, head, infer, plain
from tidegate.testing.served import Served, served


@pytest.fixture
def server() -> Iterator[Served]:
    """The status port of a data plane with model ``m``."""
    with served(identity_route("m"), status=True) as running:
        yield running


def backend_of(server: Served) -> IdentityBackend:
    backend = server.plane.routes.resolve("m").backend
    assert isinstance(backend, IdentityBackend)
    return backend


def a_request() -> InferRequest:
    return decode_request(BODY, None, model="m", version="1", limits=DEFAULT_LIMITS, metadata=None)


def test_metrics_are_scraped(server: Served) -> None:
    """The text format 0.0.4, as Prometheus' own parser reads it."""
    route = server.plane.routes.resolve("m")
    server.do(lambda: server.plane.answered(route, "http", InvalidRequest("no"), 0.5))
    answer = httpx.get(server.url + "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    counted = [sample for sample in families["tidegate_requests"].samples if sample.name.endswith("_total")]
    assert [(sample.labels["code"], sample.value) for sample in counted] == [("400", 1.0)]


def test_it_is_alive(server: Served) -> None:
    """Liveness says only that the process answers."""
    answer = httpx.get(server.url + "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_it_is_ready_with_its_models(server: Served) -> None:
    """Readiness lists the models."""
    models = [{"name": "m", "version": "1", "ready": True, "reason": ""}]
    answer = httpx.get(server.url + "/readyz/")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "leaving": False, "models": models})


def test_it_is_not_ready_and_says_which_model(server: Served) -> None:
    """503, and the reason stands beside the model that has it."""
    backend_of(server).state = Readiness(False, "it is loading")
    models = [{"name": "m", "version": "1", "ready": False, "reason": "it is loading"}]
    answer = httpx.get(server.url + "/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "leaving": False, "models": models})


def test_it_is_not_ready_while_it_leaves(server: Served) -> None:
    """A server on its way out is not ready, whatever its models are."""
    server.do(server.plane.leave)
    answer = httpx.get(server.url + "/readyz")
    assert (answer.status_code, answer.json()["leaving"]) == (503, True)


def test_the_load_is_what_is_in_flight(server: Served) -> None:
    """Requests accepted and not yet answered, per model and version."""
    assert httpx.get(server.url + "/load").json() == {"inflight": {}}
    backend = backend_of(server)
    backend.gate = asyncio.Event()
    route = server.plane.routes.resolve("m")

    async def hold() -> None:
        (await server.plane.infer(route, a_request(), asyncio.get_running_loop().time() + 60)).release()

    held = server.begin(hold())
    server.until(lambda: bool(backend.requests))
    assert httpx.get(server.url + "/load").json() == {"inflight": {"m": {"1": 1}}}
    server.do(backend.gate.set)
    held.result(20)
    assert httpx.get(server.url + "/load").json() == {"inflight": {"m": {"1": 0}}}


@pytest.mark.parametrize(
    ("raw", "status", "message"),
    [
        pytest.param(infer(BODY), 404, "there is no '/v2/models/m/infer' here", id="no-inference"),
        pytest.param(plain(b"GET", b"/v2"), 404, "there is no '/v2' here", id="no-metadata"),
        pytest.param(
            plain(b"POST", b"/metrics"),
            405,
            "method POST is not allowed for '/metrics'; allowed: GET, HEAD",
            id="nothing-is-written",
        ),
        pytest.param(
            head(*[b"A: b"] * 101, method=b"GET", path=b"/healthz"),
            431,
            "the request has 102 headers, the limit is 100",
            id="the-same-bounds",
        ),
        pytest.param(b"nonsense\r\n\r\n", 400, "malformed HTTP request: Invalid method encountered", id="no-http"),
    ],
)
def test_it_does_nothing_else(server: Served, raw: bytes, status: int, message: str) -> None:
    """No data plane, no writes, and the bounds of the data port."""
    answer = server.ask(raw)
    assert (answer.status, answer.error) == (status, message)


def test_its_refusals_are_not_the_data_planes(server: Served) -> None:
    """Noise on the status port does not show as refused inferences."""
    server.ask(b"nonsense\r\n\r\n")
    labels = {"protocol": "http", "code": "400"}
    assert server.plane.metrics.registry.get_sample_value("tidegate_refused_requests_total", labels) is None
