"""The HTTP listener's life, and a request's: deadlines, disconnects, draining, compression, counting."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import zlib

import httpx
import pytest
import uvloop

from tidegate.gateway.backend import ANYBODY, Caller
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.http.server import CannotListen, HttpServer, HttpSettings
from tidegate.gateway.routes import Route, RouteTable
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import Overloaded
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.nan import NanPolicy
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import FakeAnswer, IdentityBackend, identity_metadata, identity_route
from tidegate.testing.served import Served, served

BODY = json.dumps({"inputs": [{"name": "fp32", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}).encode()
INFER = "/v2/models/m/infer"


def request(body: bytes = BODY, *headers: bytes, path: str = INFER) -> bytes:
    head = [b"POST %s HTTP/1.1" % path.encode(), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join((*head, b"", body))


def holding(server: Served) -> IdentityBackend:
    """The server's backend, made to hold every request."""
    backend = server.plane.routes.resolve("m").backend
    assert isinstance(backend, IdentityBackend)
    backend.gate = asyncio.Event()
    return backend


def open_gate(server: Served, backend: IdentityBackend) -> None:
    assert backend.gate is not None
    server.do(backend.gate.set)


def counted(server: Served, code: int) -> float | None:
    labels = {"model": "m", "version": "1", "protocol": "http", "code": str(code)}
    return server.plane.metrics.registry.get_sample_value("tidegate_requests_total", labels)


def refused(server: Served, code: int) -> float | None:
    labels = {"protocol": "http", "code": str(code)}
    return server.plane.metrics.registry.get_sample_value("tidegate_refused_requests_total", labels)


# Starting and stopping


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_it_answers_on_the_port_it_tells(new_loop: type[asyncio.AbstractEventLoop]) -> None:
    """Port 0 takes a free port, and an inference sent there is answered, on either event loop."""
    with served(identity_route("m"), new_loop=new_loop) as server:
        answer = httpx.post(server.url + INFER, content=BODY)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["outputs"][0]["data"] == [1.0, 2.0]
        assert "server" not in answer.headers
        assert "date" not in answer.headers
        assert repr(server.listener).startswith(f"<HttpServer 127.0.0.1:{server.port}, ")


def test_a_taken_port_is_one_clear_sentence() -> None:
    """Who starts a second server reads which address is taken."""

    async def main(port: int) -> None:
        plane = DataPlane(RouteTable(), Metrics("0"), GatewaySettings("0"))
        server = HttpServer(plane, HttpSettings(port=port))
        with pytest.raises(CannotListen, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"):
            await server.start()
        await server.stop(0.0)
        assert server.port == 0

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(main(taken.getsockname()[1]))


@pytest.mark.parametrize("port", [pytest.param(70000, id="too-large"), pytest.param(-1, id="negative")])
def test_an_impossible_port_is_refused_as_such(port: int) -> None:
    """A port that cannot be does not end in a stack trace."""

    async def main() -> None:
        plane = DataPlane(RouteTable(), Metrics("0"), GatewaySettings("0"))
        with pytest.raises(CannotListen, match=rf"^cannot listen on 127\.0\.0\.1:{port}: "):
            await HttpServer(plane, HttpSettings(port=port)).start()

    asyncio.run(main())


def test_stopping_lets_requests_finish() -> None:
    """After stop() nobody can connect, an idle connection is closed, and what was asked before is answered."""
    with served(identity_route("m")) as server, server.connect() as busy, server.connect() as idle:
        backend = holding(server)
        idle.send(b"GET /v2 HTTP/1.1\r\n\r\n")
        assert idle.reply().status == 200
        busy.send(request())
        server.until(lambda: bool(backend.requests))
        port = server.port
        stopping = server.begin(server.listener.stop(20.0))
        assert idle.ended()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        open_gate(server, backend)
        answer = busy.reply()
        assert answer.status == 200
        assert answer.closes
        assert busy.ended()
        stopping.result(20)


def test_stopping_answers_what_outlives_the_grace() -> None:
    """A request that is still held when the grace ends is withdrawn and told so: it is not left without an answer."""
    with served(identity_route("m")) as server, server.connect() as busy:
        backend = holding(server)
        busy.send(request())
        server.until(lambda: bool(backend.requests))
        server.run(server.listener.stop(0.0))
        answer = busy.reply()
        assert (answer.status, answer.error) == (503, "the server is shutting down")
        assert answer.headers["retry-after"] == "1"
        assert busy.ended()
        assert backend.cancelled == 1
        assert counted(server, 503) == 1


def test_stopping_ends_half_a_request() -> None:
    """A caller that is in the middle of its body when the grace ends gets the same answer."""
    with served(identity_route("m")) as server, server.connect() as slow:
        slow.send(request()[:-5])
        server.until(lambda: server.state == "1 connections, 1 requests")
        server.run(server.listener.stop(0.0))
        assert slow.reply().error == "the server is shutting down"


def test_a_draining_plane_refuses_with_a_time_to_come_back() -> None:
    """While the data plane drains, the socket still answers, and says 503."""
    with served(identity_route("m")) as server:
        server.run(server.plane.drain())
        answer = httpx.post(server.url + INFER, content=BODY)
        assert (answer.status_code, answer.json()) == (503, {"error": "the server is shutting down"})
        assert answer.headers["retry-after"] == "1"


# One request


def test_a_caller_that_leaves_takes_its_request_along() -> None:
    """Closing the connection cancels the backend's work, and counts as 499."""
    with served(identity_route("m")) as server:
        backend = holding(server)
        with server.connect() as connection:
            connection.send(request())
            server.until(lambda: bool(backend.requests))
        server.until(lambda: backend.cancelled == 1)
        server.until(lambda: counted(server, 499) == 1)
        assert server.state == "0 connections, 0 requests"


def test_a_caller_that_leaves_after_a_large_body_is_noticed() -> None:
    """A body beyond the flow control's mark does not make the server blind to the disconnect."""
    numbers = b"1," * 200_000 + b"1"
    body = b'{"inputs":[{"name":"fp32","datatype":"FP32","shape":[1,200001],"data":[%s]}]}' % numbers
    with served(identity_route("m")) as server:
        backend = holding(server)
        with server.connect() as connection:
            connection.send(request(body))
            server.until(lambda: bool(backend.requests))
        server.until(lambda: backend.cancelled == 1)


def test_a_caller_that_leaves_in_its_body_is_counted() -> None:
    """A body that ends too early reaches no backend, and is counted once."""
    with served(identity_route("m")) as server:
        with server.connect() as connection:
            connection.send(request()[:-5])
            server.until(lambda: server.state == "1 connections, 1 requests")
        server.until(lambda: counted(server, 499) == 1)
        backend = holding(server)
        assert backend.requests == []


def test_a_deadline_in_the_header_is_kept() -> None:
    """X-Request-Timeout-Ms is the deadline that the backend keeps."""
    with served(identity_route("m")) as server:
        holding(server)
        answer = httpx.post(server.url + INFER, content=BODY, headers={"X-Request-Timeout-Ms": "1"})
        assert answer.status_code == 504
        assert answer.json() == {"error": "model 'm' did not answer before the request's deadline"}
        assert counted(server, 504) == 1


def test_a_deadline_among_the_parameters_is_kept() -> None:
    """The parameter `timeout` counts in microseconds, as Triton's schedule policy has it."""
    with served(identity_route("m")) as server:
        holding(server)
        body = json.dumps({**json.loads(BODY), "parameters": {"timeout": 1000}}).encode()
        assert httpx.post(server.url + INFER, content=body).status_code == 504


def test_the_servers_own_deadline_holds_where_none_is_wished() -> None:
    """A timeout of 0 is no wish, so the server's default ends the request."""
    with served(identity_route("m"), gateway=GatewaySettings("0", default_timeout=0.001)) as server:
        holding(server)
        body = json.dumps({**json.loads(BODY), "parameters": {"timeout": 0}}).encode()
        assert httpx.post(server.url + INFER, content=body).status_code == 504


def test_an_answer_is_given_back_once_it_is_encoded() -> None:
    """The replica's memory is released when the bytes are out of it."""
    with served(identity_route("m")) as server:
        backend = server.plane.routes.resolve("m").backend
        assert isinstance(backend, IdentityBackend)
        httpx.post(server.url + INFER, content=BODY)
        assert [answer.released for answer in backend.answers] == [True]


def test_an_answer_that_cannot_be_encoded_is_given_back_too() -> None:
    """BYTES that are no UTF-8 have no JSON form; the caller reads that, and the memory is released."""
    text = json.dumps(
        {"inputs": [{"name": "bytes", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": 5}}]}
    ).encode()
    with served(identity_route("m", Datatype.BYTES)) as server:
        backend = server.plane.routes.resolve("m").backend
        assert isinstance(backend, IdentityBackend)
        answer = httpx.post(
            server.url + INFER,
            content=text + b"\x01\0\0\0\xff",
            headers={"Inference-Header-Content-Length": str(len(text))},
        )
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("'bytes' holds bytes that are no UTF-8 (element 0)")
        assert [answer.released for answer in backend.answers] == [True]


def test_a_retry_after_is_whole_seconds_rounded_up() -> None:
    """RFC 9110 knows whole seconds only, and a caller must not come back too early."""
    backend = IdentityBackend(identity_metadata("m"), Overloaded("the queue is full", retry_after=1.2))
    with served(Route("m", "1", backend)) as server:
        answer = httpx.post(server.url + INFER, content=BODY)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_a_fault_of_ours_leaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A backend's foreign exception is a 500 without its type or text."""
    with served(Route("m", "1", IdentityBackend(identity_metadata("m"), KeyError("secret")))) as server:
        answer = httpx.post(server.url + INFER, content=BODY)
        assert answer.status_code == 500
        assert answer.json() == {"error": "internal error; the server's log has the cause"}
    assert "secret" in caplog.text


def test_a_cancellation_from_within_is_ours(caplog: pytest.LogCaptureFixture) -> None:
    """A backend that loses a task does not leave the caller without an answer."""

    class Lost(IdentityBackend):
        async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> FakeAnswer:
            raise asyncio.CancelledError

    with served(Route("m", "1", Lost(identity_metadata("m")))) as server:
        answer = httpx.post(server.url + INFER, content=BODY)
        assert (answer.status_code, answer.json()) == (500, {"error": "internal error; the server's log has the cause"})
        assert counted(server, 500) == 1
    assert "a request was cancelled from within" in caplog.text


# Compression, NaN and the log


@pytest.mark.parametrize(
    ("policy", "data"),
    [
        pytest.param(NanPolicy.NULL, b"[null,2.0]", id="null"),
        pytest.param(NanPolicy.STRING, b'["NaN",2.0]', id="string"),
        pytest.param(NanPolicy.LITERAL, b"[NaN,2.0]", id="literal"),
    ],
)
def test_a_nan_is_written_as_the_setting_says(policy: NanPolicy, data: bytes) -> None:
    """JSON has no NaN, so its form is a choice."""
    with served(identity_route("m"), http=HttpSettings(nan=policy)) as server:
        assert data in server.ask(request(BODY.replace(b"[1, 2], ", b"[1, 2],").replace(b"[1, 2]}", b"[NaN, 2]}"))).body


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [pytest.param("gzip", gzip.compress, id="gzip"), pytest.param("deflate", zlib.compress, id="deflate")],
)
def test_bodies_are_compressed_both_ways(encoding: str, pack: type[bytes]) -> None:
    """A compressed request is read, and an answer above the setting is compressed where it is asked for."""
    with served(identity_route("m"), http=HttpSettings(min_compress_bytes=1)) as server:
        answer = httpx.post(
            server.url + INFER,
            content=pack(BODY),
            headers={"Content-Encoding": encoding, "Accept-Encoding": encoding},
        )
        assert answer.status_code == 200
        assert answer.headers["content-encoding"] == encoding
        assert answer.headers["vary"] == "accept-encoding"
        assert answer.json()["outputs"][0]["data"] == [1.0, 2.0]


def test_a_large_body_is_compressed_off_the_loop() -> None:
    """Large bodies go through the same compression in a thread, to the same end."""
    numbers = list(range(200_000))
    body = {"inputs": [{"name": "int32", "datatype": "INT32", "shape": [1, len(numbers)], "data": numbers}]}
    with served(identity_route("m", Datatype.INT32)) as server:
        answer = httpx.post(
            server.url + INFER,
            content=gzip.compress(json.dumps(body).encode(), 1),
            headers={"Content-Encoding": "gzip", "Accept-Encoding": "gzip"},
        )
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.json()["outputs"][0]["data"] == numbers


def test_a_small_answer_is_not_compressed() -> None:
    """Below the setting an answer is sent as it is, though the client would take it compressed."""
    with served(identity_route("m")) as server:
        answer = httpx.post(server.url + INFER, content=BODY, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("wanted", [True, False])
def test_the_access_log_is_a_choice(caplog: pytest.LogCaptureFixture, wanted: bool) -> None:
    """One line per request if it is wanted, nothing if not."""
    with (
        caplog.at_level(logging.INFO, "uvicorn.access"),
        served(identity_route("m"), http=HttpSettings(access_log=wanted)) as server,
    ):
        httpx.post(server.url + INFER, content=BODY)
    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
    assert [line.endswith('"POST /v2/models/m/infer HTTP/1.1" 200') for line in lines] == [True] * wanted


# Counting


@pytest.mark.parametrize(
    ("raw", "code", "of_a_model"),
    [
        pytest.param(request(), 200, True, id="success"),
        pytest.param(request(b"nonsense"), 400, True, id="bad-body"),
        pytest.param(request(BODY, b"Content-Type: text/html"), 415, True, id="foreign-type"),
        pytest.param(request(path="/v2/models/other/infer"), 404, False, id="unknown-model"),
        pytest.param(request(path="/v2/models/m/versions/9/infer"), 404, False, id="unknown-version"),
        pytest.param(b"nonsense\r\n\r\n", 400, False, id="no-http"),
        pytest.param(b"POST /v2/models/m/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz", 400, True, id="chunk"),
    ],
)
def test_every_request_is_counted_once(raw: bytes, code: int, of_a_model: bool) -> None:
    """Each answer stands in the metrics exactly once, under its model if it named one."""
    with served(identity_route("m")) as server:
        assert server.ask(raw).status == code
        assert (counted(server, code), refused(server, code)) == ((1, None) if of_a_model else (None, 1))
        labels = {"model": "m", "version": "1"}
        assert not server.plane.metrics.registry.get_sample_value("tidegate_inflight_requests", labels)
