"""The data plane without a socket: route, check, execute, count, drain."""

from __future__ import annotations

import asyncio
import logging
from math import sqrt
from random import Random

import msgspec
import numpy as np
import pytest

from tidegate.gateway.access import Access
from tidegate.gateway.addressee import PLAIN
from tidegate.gateway.backend import ANYBODY, Caller, Readiness
from tidegate.gateway.caller import CallerSettings
from tidegate.gateway.dataplane import DataPlane, GatewaySettings, translated
from tidegate.gateway.routes import Route, RouteTable
from tidegate.gateway.services import Service
from tidegate.identity.authenticator import Authenticator
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InternalError,
    InvalidRequest,
    InvalidTensor,
    ModelNotReady,
    Overloaded,
    RequestCancelled,
    ShuttingDown,
    Unauthenticated,
)
from tidegate.protocol.messages import InferRequest, ModelMetadata
from tidegate.protocol.tensors import Tensor
from tidegate.resources.actuator import RevisionId
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import IdentityBackend, identity_metadata, identity_route, identity_service
from tidegate.testing.clock import run_virtual

REQUEST = InferRequest("m", (Tensor.from_numpy("fp32", np.ones((3, 2), np.float32)),))

DEFAULT = GatewaySettings("0")


def backend() -> IdentityBackend:
    return IdentityBackend(identity_metadata("m"))


def plane(*backends: IdentityBackend, settings: GatewaySettings = DEFAULT) -> DataPlane:
    routes = (Route("m", str(number), each) for number, each in enumerate(backends, 1))
    return DataPlane(RouteTable.of(*routes), Metrics("0"), settings)


def sample(plane: DataPlane, name: str, **labels: str) -> float | None:
    return plane.metrics.registry.get_sample_value(name, labels)


def far() -> float:
    return asyncio.get_running_loop().time() + 60


def test_an_answer_comes_through() -> None:
    """A request that fits is executed, and its rows are counted."""
    gateway = plane(backend())
    route = gateway.routes.resolve("m")

    async def main() -> None:
        answer = await gateway.infer(route, REQUEST, far())
        assert answer.response.outputs[0].data == REQUEST.inputs[0].data
        answer.release()

    asyncio.run(main())
    assert sample(gateway, "tidegate_rows_total", model="m", version="1") == 3
    assert repr(gateway) == "<DataPlane serving, 1 models, 0 in flight>"


@pytest.mark.parametrize(
    ("error", "success", "fail"),
    [
        (None, 1, 0),
        (ExecutionFailed("boom"), 0, 1),
        (Overloaded("full"), 0, 1),
        (DeadlineExceeded("late"), 0, 1),
        (ValueError("a fault"), 0, 1),
        (asyncio.CancelledError(), 0, 1),
    ],
    ids=repr,
)
def test_a_request_is_a_success_or_a_failure(error: Exception | None, success: int, fail: int) -> None:
    """As Triton has it: whatever is no result is a failure, a caller that went away included, count and time alike."""
    asked = backend()
    gateway = plane(asked)

    async def main() -> None:
        asked.gate = asyncio.Event()
        task = asyncio.ensure_future(gateway.infer(gateway.routes.resolve("m"), REQUEST, far()))
        await asyncio.sleep(2)
        if isinstance(error, asyncio.CancelledError):
            task.cancel()
        else:
            asked.error = error
            asked.gate.set()
        await asyncio.wait({task})
        assert not error or task.cancelled() or task.exception()

    run_virtual(main())
    [told] = gateway.statistics("m", "1")
    stats = told.inference_stats
    assert (stats.success.count, stats.fail.count, stats.queue.count) == (success, fail, success)
    assert (stats.success.ns > 0, stats.fail.ns > 0) == (bool(success), bool(fail))


def test_what_does_not_fit_the_model_is_no_failure_of_it() -> None:
    """Nor is what comes while the server drains: neither has reached the model."""
    gateway = plane(backend())

    async def main() -> None:
        route = gateway.routes.resolve("m")
        with pytest.raises(InvalidRequest):
            await gateway.infer(route, msgspec.structs.replace(REQUEST, inputs=()), far())
        await gateway.drain()
        with pytest.raises(ShuttingDown):
            await gateway.infer(route, REQUEST, far())

    asyncio.run(main())
    assert gateway.statistics("m", "1")[0].inference_stats.fail.count == 0


def test_without_a_batch_dimension_a_request_is_one_row() -> None:
    """Axis 0 of such a model counts no items."""
    gateway = plane(IdentityBackend(msgspec.structs.replace(identity_metadata("m"), batch_dimension=False)))

    async def main() -> None:
        (await gateway.infer(gateway.routes.resolve("m"), REQUEST, far())).release()

    asyncio.run(main())
    assert sample(gateway, "tidegate_rows_total", model="m", version="1") == 1


def test_what_does_not_fit_the_model_never_reaches_it() -> None:
    """Shapes are checked before the backend is asked."""
    asked = backend()
    gateway = plane(asked)
    request = InferRequest("m", (Tensor.from_numpy("fp32", np.ones((3,), np.float32)),))

    async def main() -> None:
        with pytest.raises(InvalidTensor, match=r"^input 'fp32': shape is \[3\], the model expects \[-1, -1\]$"):
            await gateway.infer(gateway.routes.resolve("m"), request, far())

    asyncio.run(main())
    assert asked.requests == []


def test_a_model_that_has_not_loaded_has_no_signature() -> None:
    """Until the first load has told the signature, the caller reads why and when to come back."""
    loading = backend()
    loading._metadata = None
    loading.state = Readiness(False, "it is loading")
    gateway = plane(loading)
    with pytest.raises(ModelNotReady, match=r"^model 'm' is not ready: it is loading$") as caught:
        asyncio.run(gateway.model_metadata(gateway.routes.resolve("m")))
    assert caught.value.retry_after == 1.0


def test_metadata_lists_the_versions_in_order_of_number() -> None:
    """Version 10 comes after version 9."""
    gateway = plane(*(backend() for _ in range(10)))
    metadata = asyncio.run(gateway.model_metadata(gateway.routes.resolve("m")))
    assert metadata.versions == tuple(str(number) for number in range(1, 11))


def test_an_error_of_ours_passes_unchanged() -> None:
    """A backend's TidegateError is the answer."""
    failing = IdentityBackend(identity_metadata("m"), Overloaded("the queue is full", retry_after=2.0))
    gateway = plane(failing)

    async def main() -> None:
        with pytest.raises(Overloaded, match=r"^the queue is full$"):
            await gateway.infer(gateway.routes.resolve("m"), REQUEST, far())

    asyncio.run(main())


def test_a_foreign_error_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What a backend should not raise is logged with its cause; the caller learns nothing of it."""
    gateway = plane(IdentityBackend(identity_metadata("m"), ValueError("secret")))

    async def main() -> None:
        with pytest.raises(InternalError, match=r"^internal error; the server's log has the cause$"):
            await gateway.infer(gateway.routes.resolve("m"), REQUEST, far())

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert "secret" in caplog.text


def test_the_backend_keeps_the_deadline() -> None:
    """It is told the deadline and answers by then; the data plane sets no timer of its own."""
    holding = backend()
    gateway = plane(holding)

    async def main() -> None:
        holding.gate = asyncio.Event()
        loop = asyncio.get_running_loop()
        with pytest.raises(DeadlineExceeded, match=r"^model 'm' did not answer before the request's deadline$"):
            await gateway.infer(gateway.routes.resolve("m"), REQUEST, 30.0)
        assert loop.time() == 30.0

    run_virtual(main())
    assert sample(gateway, "tidegate_inflight_requests", model="m", version="1") == 0


def test_the_backend_hears_who_asks() -> None:
    """The caller reaches it as it was given, and is anybody where none was."""
    asked = backend()
    gateway = plane(asked)
    route = gateway.routes.resolve("m")
    acme = Caller("acme", 2.0, 1)

    async def main() -> None:
        (await gateway.infer(route, REQUEST, far(), acme)).release()
        (await gateway.infer(route, REQUEST, far())).release()

    asyncio.run(main())
    assert asked.callers == [acme, ANYBODY]


def test_a_request_that_says_nothing_is_of_the_default_caller() -> None:
    """All such requests share one value, so that the common case costs nothing."""
    gateway = plane(settings=GatewaySettings("0", caller=CallerSettings(default_priority=3)))
    caller = gateway.caller(REQUEST, "")
    assert caller == Caller("", 1.0, 3)
    assert gateway.caller(REQUEST, "") is caller


def test_a_request_says_who_asks() -> None:
    """By its parameter and by the tenant that its listener has read."""
    gateway = plane(settings=GatewaySettings("0", caller=CallerSettings(tenant_weights={"acme": 2.0})))
    urgent = msgspec.structs.replace(REQUEST, parameters={"priority": 1})
    assert gateway.caller(urgent, "") == Caller("", 1.0, 1)
    assert gateway.caller(REQUEST, "acme") == Caller("acme", 2.0, 5)
    assert gateway.caller(urgent, "acme") == Caller("acme", 2.0, 1)


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        pytest.param((), 60.0, id="the-default"),
        pytest.param((None, None), 60.0, id="nothing-wished"),
        pytest.param((5.0, None), 5.0, id="one-wish"),
        pytest.param((5.0, 2.0), 2.0, id="the-earlier-wish"),
        pytest.param((90.0,), 90.0, id="longer-than-the-default"),
        pytest.param((1e9,), 100.0, id="cut-to-the-longest"),
    ],
)
def test_the_deadline_is_the_earliest_wish(wishes: tuple[float | None, ...], expected: float) -> None:
    """Wishes are seconds from now; without one the default holds, and no wish is longer than the longest."""
    settings = GatewaySettings("0", default_timeout=60.0, max_timeout=100.0)
    assert plane(settings=settings).deadline(1000.0, *wishes) == 1000.0 + expected


def test_draining_waits_for_what_is_in_flight_and_refuses_the_rest() -> None:
    """drain() returns after the last answer, and takes nothing new meanwhile."""
    holding = backend()
    gateway = plane(holding)
    route = gateway.routes.resolve("m")

    async def main() -> None:
        holding.gate = asyncio.Event()
        first = asyncio.create_task(gateway.infer(route, REQUEST, far()))
        while not holding.requests:  # noqa: ASYNC110 - the backend sets no event
            await asyncio.sleep(0)
        assert repr(gateway) == "<DataPlane serving, 1 models, 1 in flight>"
        drained = asyncio.create_task(gateway.drain())
        await asyncio.sleep(0)
        assert not drained.done()
        with pytest.raises(ShuttingDown, match=r"^the server is shutting down$"):
            await gateway.infer(route, REQUEST, far())
        holding.gate.set()
        (await first).release()
        await drained

    asyncio.run(main())
    assert repr(gateway) == "<DataPlane draining, 1 models, 0 in flight>"


def test_a_server_that_leaves_is_not_ready_but_answers() -> None:
    """Between leaving and draining, load balancers may still send."""
    gateway = plane(backend())
    assert gateway.ready
    gateway.leave()
    assert not gateway.ready

    async def main() -> None:
        (await gateway.infer(gateway.routes.resolve("m"), REQUEST, far())).release()

    asyncio.run(main())
    assert repr(gateway) == "<DataPlane leaving, 1 models, 0 in flight>"


def test_one_model_that_is_not_ready_makes_the_server_not_ready() -> None:
    """The server is ready when all of its models are."""
    waiting = backend()
    gateway = plane(backend(), waiting)
    waiting.state = Readiness(False, "it is loading")
    assert not gateway.ready


def test_a_model_that_sleeps_does_not_hold_the_server_up() -> None:
    """Also where it could not be woken."""
    sleeping = backend()
    gateway = plane(backend(), sleeping)
    sleeping.state = Readiness(False, "it is broken", asleep=True)
    assert gateway.ready


def test_a_signature_that_comes_by_waking_is_waited_for() -> None:
    """By the first request, which is then held against it; the end of the server waits for it, too."""

    class Sleeping(IdentityBackend):
        waited: tuple[float, int] = (0.0, 0)

        async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
            self.waited = (deadline, nbytes)
            await asyncio.sleep(2)
            self._metadata = identity_metadata("m")
            return self._metadata

    async def main() -> None:
        sleeping = Sleeping(identity_metadata("m"))
        sleeping._metadata = None
        gateway = plane(sleeping)
        asked = asyncio.create_task(gateway.infer(gateway.routes.resolve("m"), REQUEST, 50.0))
        await asyncio.sleep(1)
        ending = asyncio.create_task(gateway.drain())
        await asyncio.sleep(0)
        assert not ending.done()
        sleeping.gate = asyncio.Event()
        await asyncio.sleep(2)
        assert not ending.done()
        sleeping.gate.set()
        (await asked).release()
        await ending
        assert sleeping.waited == (50.0, REQUEST.inputs[0].nbytes)
        with pytest.raises(ShuttingDown):
            await gateway.infer(gateway.routes.resolve("m"), REQUEST, far())

    run_virtual(main())


def test_answers_are_counted_by_outcome() -> None:
    """Success is 200, an error its HTTP status, and what reached no model is counted apart."""
    gateway = plane(backend())
    route = gateway.routes.resolve("m")
    gateway.answered(route, "http", None, 0.1)
    gateway.answered(route, "grpc", InvalidRequest("no"), 0.1)
    gateway.answered(None, "http", InvalidRequest("no"), 0.1)
    labels = {"model": "m", "version": "1"}
    assert sample(gateway, "tidegate_requests_total", protocol="http", code="200", **labels) == 1
    assert sample(gateway, "tidegate_requests_total", protocol="grpc", code="400", **labels) == 1
    assert sample(gateway, "tidegate_refused_requests_total", protocol="http", code="400") == 1


def test_cancellation_is_the_callers_leaving(caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled request is told as such, and is no error of ours."""
    error = translated(asyncio.CancelledError())
    assert isinstance(error, RequestCancelled)
    assert error.http_status == 499
    assert caplog.text == ""


def test_a_foreign_error_in_a_listener_is_ours(caplog: pytest.LogCaptureFixture) -> None:
    """A KeyError in a handler is an internal error whose cause only the log has."""
    with caplog.at_level(logging.ERROR):
        error = translated(KeyError("secret"))
    assert error.message == "internal error; the server's log has the cause"
    assert "secret" in caplog.text


def test_the_servers_metadata_names_what_is_served() -> None:
    """Name, version and the protocol's extensions."""
    assert msgspec.to_builtins(plane().server_metadata()) == {
        "name": "tidegate",
        "version": "0",
        "extensions": (
            "binary_tensor_data",
            "generate",
            "parameters",
            "schedule_policy",
            "sequence",
            "sequence(string_id)",
            "statistics",
        ),
    }


def with_services(*services: Service) -> DataPlane:
    """A data plane whose chance is always the same."""
    table = RouteTable.of(identity_route("plain"), services=services)
    return DataPlane(table, Metrics("0"), DEFAULT, chance=Random(1).random)


def test_a_request_without_services_says_no_more_than_a_name() -> None:
    """Nothing is made of its headers, which would be for nothing; asking for a revision is refused all the same."""
    headers = [(b"host", b"iris-team"), (b"x-request-id", b"7")]
    assert with_services().asked(headers) is PLAIN
    assert with_services().asked([*headers, (b"tidegate-revision", b"1")]).revision == "1"
    assert with_services(identity_service("m", {1: 100})).asked(headers).host == "iris-team"


def test_chance_keeps_to_the_shares() -> None:
    """Of 20,000 requests that nothing tells apart, within five standard deviations."""
    plane, number = with_services(identity_service("m", {1: 90, 2: 10})), 20_000
    hits = sum(plane.resolve("m", "", plane.asked([])).version == "2" for _ in range(number))
    assert abs(hits - number * 0.1) < 5 * sqrt(number * 0.1 * 0.9)


def test_a_request_keeps_its_revision_when_it_is_resolved_again() -> None:
    """Chance is drawn once for it, before its body is read."""
    plane = with_services(identity_service("m", {1: 50, 2: 50}))
    for _ in range(20):
        asked = plane.asked([])
        assert plane.resolve("m", "", asked) is plane.resolve("m", "", asked)


def test_a_revision_tells_how_it_is_run() -> None:
    """Its route does; the repository knows nothing of it."""
    told = ModelConfiguration(
        name="m", platform="", backend="", version_policy={}, max_batch_size=0, input=(), output=(), instance_group=()
    )
    route = Route.of_revision(RevisionId("team", "m", 3), "", backend(), lambda: told)
    assert asyncio.run(with_services().configuration(route)) is told
    assert (route.model, route.version, route.name, route.model_version) == ("team/m", "3", "m", "3")


def test_a_service_that_is_not_ready_does_not_hold_the_server_up() -> None:
    """One of many services must not take a server out of its load balancer."""
    service = identity_service("m", {1: 100})
    plane = with_services(service, identity_service("n", {}, reason="it fails"))
    failing = service.revisions[1].backend
    assert isinstance(failing, IdentityBackend)
    failing.state = Readiness(False, "its process ended")
    assert plane.ready


def test_who_was_not_asked_who_he_is_gets_nothing() -> None:
    """Where callers are to be asked, a listener that does not do so opens nothing by it."""
    guarded = plane(backend())
    assert guarded.names(PLAIN) == ["m"]
    guarded.access = Access(Authenticator())
    for ask in (lambda: guarded.resolve("m", "", PLAIN), lambda: guarded.names(PLAIN), lambda: guarded.statistics()):
        with pytest.raises(Unauthenticated):
            ask()
