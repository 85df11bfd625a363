"""Streams through the listeners, over HTTP and gRPC, from a backend without a process."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing
from queue import Queue
from typing import Any, Literal

import grpc
import msgspec
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from tidegate.gateway.backend import Answer
from tidegate.gateway.cache import CachedBackend, CacheSettings
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.routes import Route, RouteTable
from tidegate.protocol.errors import ExecutionFailed, InternalError, ShuttingDown, Unsupported
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import IdentityBackend, identity_metadata
from tidegate.testing.clock import run_virtual
from tidegate.testing.served import PATIENCE, Served, served
from tidegate.testing.served_grpc import served_grpc

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


def decoupled() -> IdentityBackend:
    return IdentityBackend(msgspec.structs.replace(identity_metadata("m"), decoupled=True))


def backend(server: Served) -> IdentityBackend:
    found = server.plane.routes.resolve("m").backend
    assert isinstance(found, IdentityBackend)
    return found


class Turnstile(asyncio.Event):
    """A gate through which one response goes each time that it is opened."""

    async def wait(self) -> Literal[True]:
        await super().wait()
        self.clear()
        return True


def counted(server: Served, protocol: str, code: int) -> float | None:
    labels = {"model": "m", "version": "1", "protocol": protocol, "code": str(code)}
    return server.plane.metrics.registry.get_sample_value("tidegate_requests_total", labels)


# The data plane


def request(rows: int) -> InferRequest:
    return InferRequest("m", (Tensor.from_numpy("fp32", ROWS[:rows]),), id="7")


async def read(stream: AsyncGenerator[Answer, None], seen: list[Answer]) -> None:
    async with aclosing(stream) as answers:
        async for answer in answers:
            seen.append(answer)


def plane(model: IdentityBackend) -> tuple[DataPlane, Route]:
    route = Route("m", "1", model)
    return DataPlane(RouteTable.of(route), Metrics("0"), GatewaySettings("0")), route


@pytest.mark.parametrize("rows", [1, 2])
def test_infer_takes_exactly_one_answer(rows: int) -> None:
    """It outlives the memory that it came in; of several the stream is ended."""

    async def main() -> None:
        model = decoupled()
        gateway, route = plane(model)
        if rows == 1:
            answer = await gateway.infer(route, request(1), 60.0)
            assert (answer.response.id, answer.response.outputs[0].numpy().tolist()) == ("7", ROWS[:1].tolist())
            answer.release()
        else:
            with pytest.raises(Unsupported, match="several responses"):
                await gateway.infer(route, request(rows), 60.0)
        assert [answer.released for answer in model.answers] == [True] * rows

    run_virtual(main())


@pytest.mark.parametrize(("error", "kind"), [(ExecutionFailed("no"), ExecutionFailed), (KeyError(), InternalError)])
def test_a_stream_counts_once(error: Exception, kind: type[Exception]) -> None:
    """As failed, also after some answers; foreign errors become ours."""

    async def main() -> None:
        model = decoupled()
        model.error, model.before_error = error, 2
        gateway, route = plane(model)
        seen: list[Answer] = []
        with pytest.raises(kind):
            await read(gateway.stream(route, request(3), 60.0), seen)
        assert len(seen) == 2
        assert (route.outcomes.failed, route.outcomes.succeeded) == (1, 0)
        assert repr(gateway) == "<DataPlane serving, 1 models, 0 in flight>"

    run_virtual(main())


def test_draining_waits_for_a_stream() -> None:
    """And lets no other begin."""

    async def main() -> None:
        gateway, route = plane(decoupled())
        answers = gateway.stream(route, request(2), 60.0)
        await anext(answers)
        draining = asyncio.create_task(gateway.drain())
        await asyncio.sleep(1.0)
        assert not draining.done()
        with pytest.raises(ShuttingDown):
            await anext(gateway.stream(route, request(1), 60.0))
        await answers.aclose()
        await draining

    run_virtual(main())


@pytest.mark.parametrize("stateful", [False, True])
def test_the_cache_leaves_streams_and_sequences_alone(stateful: bool) -> None:
    """What is asked twice is executed twice."""

    async def main() -> None:
        model = decoupled()
        if stateful:
            model = IdentityBackend(msgspec.structs.replace(identity_metadata("m"), stateful=True))
        cache = CachedBackend(model, CacheSettings(max_bytes=1 << 20), asyncio.get_running_loop().time)
        for _ in range(2):
            if stateful:
                (await cache.infer(request(1), 60.0)).release()
            else:
                assert len([answer async for answer in cache.stream(request(2), 60.0)]) == 2
        assert len(model.requests) == 2
        await cache.close()

    run_virtual(main())


# HTTP


@pytest.fixture
def http() -> Iterator[Served]:
    with served(Route("m", "1", decoupled())) as running:
        yield running


def generate(body: object, path: str = "generate_stream") -> bytes:
    text = json.dumps(body).encode()
    return b"POST /v2/models/m/%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(text),
        text,
    )


def until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    return received


def test_an_event_is_sent_when_its_response_is_there(http: Served) -> None:
    """Before the next one is made; the head comes with the first."""
    model = backend(http)
    gate = model.gate = Turnstile()
    with http.connect() as connection:
        connection.send(generate({"fp32": ROWS.tolist()}))
        http.do(gate.set)
        first = until(connection.socket, b"\n\n")
        assert b"content-type: text/event-stream; charset=utf-8" in first
        assert b'data: {"model_name":"m","model_version":"1","fp32":[0.0,1.0]}\n\n' in first
        for row, end in ((1, b"\n\n"), (2, b"0\r\n\r\n")):
            assert len(model.answers) == row
            http.do(gate.set)
            until(connection.socket, end)
    assert all(answer.released for answer in model.answers)
    assert counted(http, "http", 200) == 1


def test_a_client_that_leaves_ends_the_stream(http: Served) -> None:
    """Whatever it has got."""
    model = backend(http)
    with http.connect() as connection:
        model.gate = asyncio.Event()
        connection.send(generate({"fp32": ROWS.tolist()}))
        http.until(lambda: len(model.requests) == 1)
    http.until(lambda: model.cancelled == 1)
    http.until(lambda: counted(http, "http", 499) == 1)


@pytest.mark.parametrize("before", [0, 1])
def test_an_error_is_a_status_or_an_event(http: Served, before: int) -> None:
    """A status before the first response, an event after it; counted by its status either way."""
    model = backend(http)
    model.error, model.before_error = ExecutionFailed("no"), before
    with http.connect() as connection:
        connection.send(generate({"fp32": ROWS.tolist()}))
        if before:
            assert b'data: {"error":"no","status":500}\n\n' in until(connection.socket, b"\r\n0\r\n\r\n")
        else:
            reply = connection.reply()
            assert (reply.status, reply.error) == (500, "no")
    assert counted(http, "http", 500) == 1


def test_a_stream_that_outlives_the_grace_is_told(http: Served) -> None:
    """By its last event."""
    model = backend(http)
    gate = model.gate = Turnstile()
    with http.connect() as connection:
        connection.send(generate({"fp32": ROWS.tolist()}))
        http.do(gate.set)
        until(connection.socket, b"\n\n")
        http.run(http.listener.stop(0.0))
        assert b'data: {"error":"the server is shutting down","status":503}' in until(
            connection.socket, b"\r\n0\r\n\r\n"
        )
    assert model.cancelled == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("generate", {"fp32": [1, 2]}, 200, ""),
        ("generate", {}, 400, "needs input 'fp32'"),
        ("generate_stream", {"fp32": "1"}, 400, "input 'fp32'"),
        ("generate", {"fp32": ROWS.tolist()}, 501, "several responses"),
        ("generate/", {"fp32": [1, 2]}, 200, ""),
    ],
)
def test_generate_answers_once(http: Served, path: str, body: object, status: int, text: str) -> None:
    """With its status, and a sentence where it is an error."""
    reply = http.ask(generate(body, path))
    assert reply.status == status
    if status == 200:
        assert json.loads(reply.body) == {"model_name": "m", "model_version": "1", "fp32": [1.0, 2.0]}
    else:
        assert text in reply.error


def test_generate_is_posted(http: Served) -> None:
    """Any other method is refused, and an unknown model or version not found."""
    assert http.ask(b"GET /v2/models/m/generate HTTP/1.1\r\nHost: x\r\n\r\n").status == 405
    assert http.ask(generate({}).replace(b"/m/", b"/other/")).status == 404
    assert http.ask(generate({}).replace(b"/m/", b"/m/versions/2/")).status == 404
    assert http.ask(generate({"fp32": [1, 2]}, "generate").replace(b"/m/", b"/m/versions/1/")).status == 200


# gRPC


@pytest.fixture
def server() -> Iterator[Served]:
    with served_grpc(Route("m", "1", decoupled()), grpc=GrpcSettings(max_stream_requests=2)) as running:
        yield running


def message(rows: int = 3, identity: str = "", **parameters: bool) -> bytes:
    asked = service_pb2.ModelInferRequest(model_name="m", id=identity, raw_input_contents=[ROWS[:rows].tobytes()])
    asked.inputs.add(name="fp32", datatype="FP32", shape=[rows, 2])
    for name, value in parameters.items():
        asked.parameters[name].bool_param = value
    return bytes(asked.SerializeToString())


class Conversing:
    """A raw call of ModelStreamInfer: what is sent is bytes, what comes is read one by one."""

    def __init__(self, server: Served, stack: ExitStack, *metadata: tuple[str, str]) -> None:
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}"))
        self._sent: Queue[bytes | None] = Queue()
        self.call: Any = channel.stream_stream(STREAM)(iter(self._sent.get, None), timeout=PATIENCE, metadata=metadata)

    def send(self, *messages: bytes) -> None:
        for each in messages:
            self._sent.put(each)

    def end(self) -> None:
        self._sent.put(None)

    def next(self) -> Any:
        return service_pb2.ModelStreamInferResponse.FromString(next(self.call))


@pytest.fixture
def conversing(server: Served) -> Iterator[Conversing]:
    with ExitStack() as stack:
        yield Conversing(server, stack)


def test_many_requests_on_one_call(server: Served, conversing: Conversing) -> None:
    """More than are answered at a time: each has its responses in order, and the call ends when all have."""
    conversing.send(*[message(3, str(number)) for number in range(20)])
    conversing.end()
    told: dict[str, list[bytes]] = {}
    for each in conversing.call:
        answer = service_pb2.ModelStreamInferResponse.FromString(each).infer_response
        told.setdefault(answer.id, []).append(answer.raw_output_contents[0])
    assert told == {str(number): [row.tobytes() for row in ROWS] for number in range(20)}
    assert conversing.call.code() is grpc.StatusCode.OK
    assert counted(server, "grpc", 200) == 20


def test_as_many_are_answered_at_a_time_as_may(server: Served, conversing: Conversing) -> None:
    """The next is not begun before one is over."""
    model = backend(server)
    gate = model.gate = asyncio.Event()
    conversing.send(*[message(1) for _ in range(3)])
    server.until(lambda: len(model.requests) == 2)
    server.do(gate.set)
    assert [conversing.next().error_message for _ in range(3)] == [""] * 3
    assert len(model.requests) == 3


def test_errors_leave_the_call_open(server: Served, conversing: Conversing) -> None:
    """Each with the request's id, as its final response."""
    unknown = service_pb2.ModelInferRequest(model_name="other", id="1").SerializeToString()
    for wrong, text in (
        (unknown, "model 'other' is not found"),
        (message(0, "1"), "has no rows"),
        (b"\xff", "is not a valid ModelInferRequest"),
        (message(1, "1", priority=True), "priority"),
    ):
        conversing.send(wrong)
        answer = conversing.next()
        assert text in answer.error_message
        assert answer.infer_response.id in ("1", "")
        assert answer.infer_response.parameters["triton_final_response"].bool_param
    conversing.send(message(1))
    assert conversing.next().infer_response.raw_output_contents[0] == ROWS[:1].tobytes()


def test_an_error_ends_the_call_where_that_is_wished(server: Served) -> None:
    """With its status, after the answers before it; requests that were answered beside it are withdrawn."""
    model = backend(server)
    model.error, model.before_error = ExecutionFailed("no"), 1
    with ExitStack() as stack:
        conversing = Conversing(server, stack, ("triton_grpc_error", "true"))
        conversing.send(message(3, "7"))
        assert conversing.next().infer_response.raw_output_contents[0] == ROWS[:1].tobytes()
        with pytest.raises(grpc.RpcError) as ended:
            conversing.next()
    assert (ended.value.code(), ended.value.details()) == (grpc.StatusCode.INTERNAL, "no")
    server.until(lambda: counted(server, "grpc", 500) == 1)


def test_the_empty_final_response(conversing: Conversing) -> None:
    """Where it is wished, after the last response, without outputs and with the request's id; the model does not see
    the wish.
    """
    conversing.send(message(1, "7", triton_enable_empty_final_response=True))
    first, last = conversing.next().infer_response, conversing.next().infer_response
    assert not first.parameters["triton_final_response"].bool_param
    assert last.parameters["triton_final_response"].bool_param
    assert (last.id, last.model_name, last.model_version, len(last.outputs)) == ("7", "m", "1", 0)


def test_a_call_that_is_cancelled_ends_its_streams(server: Served, conversing: Conversing) -> None:
    """All of them, and each is counted."""
    model = backend(server)
    model.gate = asyncio.Event()
    conversing.send(message(), message())
    server.until(lambda: len(model.requests) == 2)
    conversing.call.cancel()
    server.until(lambda: model.cancelled == 2)
    server.until(lambda: counted(server, "grpc", 499) == 2)


def test_a_large_message_is_read() -> None:
    """As large as a unary call may have; a larger one ends the call once what came before is answered."""
    limits = msgspec.structs.replace(Limits(), max_body_bytes=1 << 20)
    settings = GatewaySettings("0", limits=limits)
    with served_grpc(Route("m", "1", decoupled()), gateway=settings) as server, ExitStack() as stack:
        conversing = Conversing(server, stack)
        large = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=[bytes(800_000)])
        large.inputs.add(name="fp32", datatype="FP32", shape=[1, 200_000])
        conversing.send(large.SerializeToString(), message(1), bytes(2 << 20))
        assert {len(conversing.next().infer_response.raw_output_contents[0]) for _ in range(2)} == {800_000, 8}
        with pytest.raises(grpc.RpcError, match="at most 1048576 are allowed"):
            conversing.next()


def test_a_server_that_leaves_answers_what_it_has_read(server: Served, conversing: Conversing) -> None:
    """Then the call ends as unavailable."""
    model = backend(server)
    gate = model.gate = asyncio.Event()
    conversing.send(message(1))
    server.until(lambda: len(model.requests) == 1)
    stopping = server.begin(server.listener.stop(PATIENCE))
    server.do(lambda: None)  # it has begun
    server.do(gate.set)
    assert conversing.next().error_message == ""
    with pytest.raises(grpc.RpcError) as ended:
        conversing.next()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    stopping.result(PATIENCE)


def test_tritons_client(server: Served) -> None:
    """As it is."""
    told: Queue[tuple[Any, Any]] = Queue()
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        client.start_stream(lambda result, error: told.put((result, error)))
        tensor = triton.InferInput("fp32", [3, 2], "FP32")
        tensor.set_data_from_numpy(ROWS)
        client.async_stream_infer("m", [tensor])
        assert [told.get(timeout=PATIENCE)[0].as_numpy("fp32").tolist() for _ in ROWS] == [
            [row] for row in ROWS.tolist()
        ]
        client.stop_stream()
