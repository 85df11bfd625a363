"""The gRPC client against a real listener."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from tidegate.client import GrpcClient
from tidegate.client.answers import ServerUnreachable
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.grpc.server import GrpcServer
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.routes import RouteTable
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InvalidRequest,
    NotFound,
    Overloaded,
    TidegateError,
    Unavailable,
)
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Tensor
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import IdentityBackend, identity_route

PATIENCE = 20.0


class Server:
    """A gRPC listener in a thread with an event loop of its own."""

    def __init__(self, port: int, backend: IdentityBackend) -> None:
        self.address = f"127.0.0.1:{port}"
        self.backend = backend


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    route = identity_route("m", Datatype.FP32, Datatype.BYTES)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> GrpcServer:
        plane = DataPlane(RouteTable.of(route), Metrics("0"), GatewaySettings("0"))
        server = GrpcServer(plane, GrpcSettings(port=0))
        await server.start()
        return server

    listener = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE)
    assert isinstance(route.backend, IdentityBackend)
    yield Server(listener.port, route.backend)
    asyncio.run_coroutine_threadsafe(listener.stop(0.0), loop).result(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


@pytest.fixture
def client(server: Server) -> Iterator[GrpcClient]:
    with GrpcClient(server.address) as client:
        yield client


def asked(**changes: object) -> InferRequest:
    inputs = (
        Tensor.from_numpy("fp32", np.array([[0.5, -1.0]], np.float32)),
        Tensor.from_numpy("bytes", np.array([["ü"]], dtype=object)),
    )
    return InferRequest(**{"model_name": "m", "inputs": inputs, "id": "q1", **changes})  # type: ignore[arg-type]


def test_an_answer_comes_back_whole(client: GrpcClient) -> None:
    """Twice over one channel: values, datatypes, id."""
    for _ in range(2):
        answer = client.infer(asked())
        assert (answer.model_name, answer.id) == ("m", "q1")
        outputs = {tensor.name: tensor for tensor in answer.outputs}
        assert outputs["fp32"].numpy().tolist() == [[0.5, -1.0]]
        assert outputs["bytes"].numpy().tolist() == [["ü".encode()]]


def test_megabytes_pass_the_flow_control(client: GrpcClient) -> None:
    """More than any window, both ways."""
    values = np.random.default_rng(0).random((1024, 2048), dtype=np.float32)
    inputs = (Tensor.from_numpy("fp32", values), Tensor.from_numpy("bytes", np.full((1024, 1), "b", dtype=object)))
    answer = client.infer(asked(inputs=inputs))
    assert np.array_equal(answer.outputs[0].numpy(), values)


def test_named_outputs_alone_come_back(client: GrpcClient) -> None:
    """As over HTTP."""
    answer = client.infer(asked(outputs=(RequestedOutput("bytes"),)))
    assert [tensor.name for tensor in answer.outputs] == ["bytes"]


def test_the_metadata_is_the_model_s_signature(client: GrpcClient) -> None:
    """With and without a version."""
    for version in ("", "1"):
        metadata = client.model_metadata("m", version)
        assert [(spec.name, spec.datatype, spec.shape) for spec in metadata.inputs] == [
            ("fp32", Datatype.FP32, (-1, -1)),
            ("bytes", Datatype.BYTES, (-1, -1)),
        ]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        pytest.param(ExecutionFailed("too hot"), ExecutionFailed, id="execution"),
        pytest.param(Unavailable("too hot"), Unavailable, id="unavailable"),
        pytest.param(Overloaded("too hot"), Unavailable, id="overloaded"),
        pytest.param(InvalidRequest("too hot"), InvalidRequest, id="invalid"),
    ],
)
def test_errors_come_back_by_their_status(
    server: Server, client: GrpcClient, raised: TidegateError, kind: type[TidegateError]
) -> None:
    """With the server's words."""
    server.backend.error = raised
    try:
        with pytest.raises(kind, match="too hot"):
            client.infer(asked())
    finally:
        server.backend.error = None


def test_an_unknown_model_is_not_found(client: GrpcClient) -> None:
    """And the channel goes on."""
    with pytest.raises(NotFound, match="model 'none' is not found"):
        client.model_metadata("none")
    assert client.model_metadata("m").name == "m"


def test_a_model_that_does_not_answer_ends_with_the_server_s_word(server: Server) -> None:
    """The client gives the server time to say so, here for ever."""
    server.backend.gate = asyncio.Event()
    try:
        with (
            GrpcClient(server.address, grace=PATIENCE) as client,
            pytest.raises(DeadlineExceeded, match="model 'm' did not answer before the request's deadline"),
        ):
            client.infer(asked(), timeout=0.05)
    finally:
        server.backend.gate = None


@pytest.mark.parametrize(
    ("own", "told"), [(None, 7_000_000), (0, 7_000_000), (8_000_000, 7_000_000), (5, 5), ("soon", "soon")], ids=str
)
def test_the_earlier_deadline_is_told(server: Server, client: GrpcClient, own: object, told: object) -> None:
    """The request may have one of its own; what is none is the server's to refuse."""
    server.backend.requests.clear()
    parameters = {} if own is None else {"timeout": own}
    if isinstance(own, str):
        with pytest.raises(InvalidRequest, match="'timeout' is \"soon\""):
            client.infer(asked(parameters=parameters), timeout=7.0)
    else:
        client.infer(asked(parameters=parameters), timeout=7.0)
        assert server.backend.requests[0].parameters == {"timeout": told}


def test_a_server_that_says_nothing_ends_with_the_deadline() -> None:
    """In the client's own words: there are none of the server's."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            GrpcClient(address, grace=0.0) as client,
            pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.05 s"),
        ):
            client.infer(asked(), timeout=0.05)


def test_nobody_listens() -> None:
    """The address is named."""
    with (
        GrpcClient("127.0.0.1:1") as client,
        pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:1 is not reachable"),
    ):
        client.infer(asked())


@pytest.mark.parametrize("address", ["127.0.0.1", ":8081", "http://127.0.0.1", "host:port", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    """Before anything is sent."""
    with GrpcClient(address) as client, pytest.raises(InvalidRequest, match="is not an address; expected HOST:PORT"):
        client.infer(asked())


def test_closing_an_unused_client_is_quiet() -> None:
    """It has opened nothing."""
    with GrpcClient("127.0.0.1:1"):
        pass
