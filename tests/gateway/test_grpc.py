"""The gRPC listener's life, and a call's, with the real grpcio and tritonclient clients against real sockets."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import ml_dtypes
import msgspec
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import uvloop
from hyperframe.frame import DataFrame, Frame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from tidegate.gateway.backend import ANYBODY, Caller, Readiness
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.grpc.server import CannotListen, GrpcServer, GrpcSettings
from tidegate.gateway.routes import Route, RouteTable
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, GrpcStatus, ModelNotReady, Overloaded
from tidegate.protocol.generated import health as health_pb
from tidegate.protocol.generated import reflection as reflection_pb
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import IdentityBackend, identity_metadata, identity_route
from tidegate.testing.served import PATIENCE, Served
from tidegate.testing.served_grpc import PREFACE, RawHttp2, data, framed, served_grpc

SERVICE = "/inference.GRPCInferenceService/"
INFER = SERVICE + "ModelInfer"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"


@pytest.fixture
def server() -> Iterator[Served]:
    with served_grpc(identity_route("m"), identity_route("all", *Datatype)) as running:
        yield running


def client(server: Served) -> Any:
    return triton.InferenceServerClient(f"127.0.0.1:{server.port}")


def backend(server: Served, model: str = "m") -> IdentityBackend:
    found = server.plane.routes.resolve(model).backend
    assert isinstance(found, IdentityBackend)
    return found


def holding(server: Served) -> IdentityBackend:
    """The server's backend, made to hold every request."""
    found = backend(server)
    found.gate = asyncio.Event()
    return found


def message(**changed: object) -> bytes:
    fields: dict[str, object] = {"model_name": "m", "raw_input_contents": [bytes(8)], **changed}
    request = service_pb2.ModelInferRequest(**fields)
    request.inputs.add(name="fp32", datatype="FP32", shape=[1, 2])
    return bytes(request.SerializeToString())


def large(size: int) -> bytes:
    """A request of one row of so many numbers."""
    request = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=[bytes(4 * size)])
    request.inputs.add(name="fp32", datatype="FP32", shape=[1, size])
    return bytes(request.SerializeToString())


def counted(server: Served, code: int) -> float:
    labels = {"model": "m", "version": "1", "protocol": "grpc", "code": str(code)}
    return server.plane.metrics.registry.get_sample_value("tidegate_requests_total", labels) or 0


def sample(kind: Datatype) -> np.ndarray[Any, Any]:
    if kind is Datatype.BYTES:
        return np.array([[b"", b"ab", b"\x00\xff"]], dtype=object)
    if kind is Datatype.BF16:
        return np.array([[1.5, -2.0, np.inf]], dtype=ml_dtypes.bfloat16)
    return np.array([[0, 1, 1]]).astype(kind.stored)


# Answers


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_it_answers_on_the_port_it_tells(new_loop: type[asyncio.AbstractEventLoop]) -> None:
    """Port 0 takes a free port, and an inference sent there is answered, on either event loop."""
    with served_grpc(identity_route("m"), new_loop=new_loop) as server, client(server) as c:
        tensor = triton.InferInput("fp32", [1, 2], "FP32").set_data_from_numpy(np.array([[1, 2]], np.float32))
        answer = c.infer("m", [tensor], request_id="7")
        np.testing.assert_array_equal(answer.as_numpy("fp32"), [[1, 2]])
        assert (answer.get_response().id, answer.get_response().model_name) == ("7", "m")
        assert repr(server.listener).startswith(f"<GrpcServer 127.0.0.1:{server.port}, 1 connections, ")


@pytest.mark.parametrize("kind", Datatype)
def test_every_datatype_passes_through(kind: Datatype) -> None:
    """tritonclient gets back the array that it sent, of each datatype."""
    with served_grpc(identity_route("m", kind)) as server, client(server) as c:
        array = sample(kind)
        name = kind.value.lower()
        answer = c.infer("m", [triton.InferInput(name, [1, 3], kind.value).set_data_from_numpy(array)])
        np.testing.assert_array_equal(answer.as_numpy(name), array)
        assert answer.as_numpy(name).dtype == array.dtype


def test_the_asynchronous_client_is_answered(server: Served) -> None:
    """tritonclient's aio client makes many calls at once on one connection, and each gets its own answer."""

    async def main() -> None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as c:

            async def one(number: int) -> float:
                tensor = triton.InferInput("fp32", [1, 1], "FP32")
                tensor.set_data_from_numpy(np.array([[number]], np.float32))
                return float((await c.infer("m", [tensor])).as_numpy("fp32")[0, 0])

            assert await asyncio.gather(*(one(n) for n in range(50))) == list(range(50))
            assert await c.is_server_live()
            assert (await c.get_model_metadata("m")).platform == "tidegate_fake"

    asyncio.run(main())


@pytest.mark.parametrize("size", [1, 100_000, 5_000_000], ids=["small", "several frames", "beyond the window"])
def test_tensors_of_any_size_pass(server: Served, size: int) -> None:
    """Flow control carries what is larger than its windows, both ways."""
    array = np.arange(size, dtype=np.float32).reshape(1, size)
    with client(server) as c:
        answer = c.infer("m", [triton.InferInput("fp32", [1, size], "FP32").set_data_from_numpy(array)])
        np.testing.assert_array_equal(answer.as_numpy("fp32"), array)


def test_only_requested_outputs_come_back(server: Served) -> None:
    """Who asks for one output of two gets one."""
    with served_grpc(identity_route("m", Datatype.FP32, Datatype.INT64)) as two, client(two) as c:
        inputs = [
            triton.InferInput("fp32", [1, 1], "FP32").set_data_from_numpy(np.ones((1, 1), np.float32)),
            triton.InferInput("int64", [1, 1], "INT64").set_data_from_numpy(np.ones((1, 1), np.int64)),
        ]
        answer = c.infer("m", inputs, outputs=[triton.InferRequestedOutput("int64")])
        assert [output.name for output in answer.get_response().outputs] == ["int64"]


def test_a_typed_request_gets_a_typed_answer(server: Served) -> None:
    """The answer has the form of the question: typed fields for those who sent them."""
    request = service_pb2.ModelInferRequest(model_name="m")
    request.inputs.add(name="fp32", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([1, 2])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        answer = service_pb2.ModelInferResponse.FromString(channel.unary_unary(INFER)(request.SerializeToString()))
        assert list(answer.outputs[0].contents.fp32_contents) == [1, 2]
        assert not answer.raw_output_contents


def test_metadata_and_readiness(server: Served) -> None:
    """tritonclient's questions about server and models are answered as the plane's state has it."""
    with client(server) as c:
        assert c.is_server_live()
        assert c.is_server_ready()
        assert c.is_model_ready("m")
        assert c.is_model_ready("m", "1")
        about = c.get_server_metadata()
        assert (about.name, about.version) == ("tidegate", "0")
        model = c.get_model_metadata("m")
        assert (model.name, list(model.versions)) == ("m", ["1"])
        assert (model.inputs[0].name, model.inputs[0].datatype, list(model.inputs[0].shape)) == (
            "fp32",
            "FP32",
            [-1, -1],
        )
        backend(server).state = Readiness(False, "loading")
        assert not c.is_model_ready("m")
        assert not c.is_server_ready()
        assert c.is_server_live()


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
@pytest.mark.parametrize("size", [2, 200_000])
def test_compressed_messages_are_read(server: Served, encoding: str, compress: Any, size: int) -> None:
    """grpc-encoding says how; a big one is inflated in a thread."""
    request = service_pb2.ModelInferRequest(
        model_name="m", raw_input_contents=[np.random.default_rng(1).bytes(4 * size)]
    )
    request.inputs.add(name="fp32", datatype="FP32", shape=[1, size])
    with RawHttp2(server.port) as raw:
        content = framed(compress(request.SerializeToString()), flag=1)
        raw.send(raw.headers(1, {":path": INFER, "grpc-encoding": encoding}))
        for start in range(0, len(content), 60_000):
            raw.send(data(1, content[start : start + 60_000]))
        raw.send(data(1, b"", end=True))
        assert raw.reply(1).status is GrpcStatus.OK


def test_grpcios_own_compression_is_read(server: Served) -> None:
    """A channel with gzip compression is served without anything said about it."""
    options = {"compression": grpc.Compression.Gzip}
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", **options) as channel:
        assert channel.unary_unary(INFER)(message())


# Errors


@pytest.mark.parametrize(
    ("error", "status", "text", "pushback"),
    [
        pytest.param(
            Overloaded("the queue is full", retry_after=1.25), "UNAVAILABLE", "the queue is full", "1250", id="overload"
        ),
        pytest.param(Overloaded("full"), "UNAVAILABLE", "full", None, id="overload without a time"),
        pytest.param(
            ModelNotReady("m", "loading", retry_after=2),
            "UNAVAILABLE",
            "model 'm' is not ready: loading",
            "2000",
            id="not ready",
        ),
        pytest.param(ExecutionFailed("bad ünit 100%\n"), "INTERNAL", "bad ünit 100%\n", None, id="the model's error"),
        pytest.param(
            ValueError("secret"), "INTERNAL", "internal error; the server's log has the cause", None, id="our fault"
        ),
    ],
)
def test_an_error_has_its_status(
    server: Served, error: Exception, status: str, text: str, pushback: str | None
) -> None:
    """Status, percent-encoded text and the time to come back reach the client; foreign errors stay in the log."""
    backend(server).error = error
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(INFER)(message())
        assert (caught.value.code().name, caught.value.details()) == (status, text)
        assert dict(caught.value.trailing_metadata()).get("grpc-retry-pushback-ms") == pushback


def test_a_model_that_has_not_told_its_signature_is_not_ready() -> None:
    """Before the first load nobody can check a request: come back later."""

    class Loading(IdentityBackend):
        def __init__(self) -> None:
            super().__init__(identity_metadata("m"))
            self._metadata = None
            self.state = Readiness(False, "loading")

    with served_grpc(Route("m", "1", Loading())) as server, client(server) as c:
        with pytest.raises(InferenceServerException, match="model 'm' is not ready: loading"):
            c.get_model_metadata("m")
        assert not c.is_model_ready("m")


def test_outcomes_are_counted_once(server: Served) -> None:
    """Every inference ends in exactly one count, under the code that HTTP would have."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(INFER)
        call(message())
        backend(server).error = Overloaded("full")
        for _ in range(2):
            with pytest.raises(grpc.RpcError):
                call(message())
        backend(server).error = None
        with pytest.raises(grpc.RpcError):
            call(message(raw_input_contents=[b""]))
    assert [counted(server, code) for code in (200, 503, 400)] == [1, 2, 1]
    assert [answer.released for answer in backend(server).answers] == [True]


def test_an_answer_that_cannot_be_encoded_is_released(server: Served) -> None:
    """The replica gets its memory back whatever happens to the answer, and the caller reads no Python."""

    class Wrong(IdentityBackend):
        async def infer(self, request: Any, deadline: float, caller: Caller = ANYBODY) -> Any:
            answer = await super().infer(request, deadline, caller)
            answer.response = msgspec.structs.replace(answer.response, parameters={"n": 1 << 70})
            return answer

    wrong = Wrong(identity_metadata("m"))
    with served_grpc(Route("m", "1", wrong)) as broken, grpc.insecure_channel(f"127.0.0.1:{broken.port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(INFER)(message())
        assert caught.value.details() == "internal error; the server's log has the cause"
        assert [answer.released for answer in wrong.answers] == [True]
        assert counted(broken, 500) == 1


# Deadlines and cancellation


def test_the_callers_deadline_reaches_the_backend(server: Served) -> None:
    """grpc-timeout is the deadline that it keeps, and the answer is DEADLINE_EXCEEDED."""
    holding(server)
    with RawHttp2(server.port) as raw:
        reply = raw.call(1, message(), {":path": INFER, "grpc-timeout": "20m"})
        assert (reply.status, reply.text) == (
            GrpcStatus.DEADLINE_EXCEEDED,
            "model 'm' did not answer before the request's deadline",
        )
    assert counted(server, 504) == 1


def test_the_timeout_parameter_is_a_deadline_too(server: Served) -> None:
    """Triton's parameter, in microseconds; the earlier of the two wishes counts."""
    holding(server)
    request = service_pb2.ModelInferRequest.FromString(message())
    request.parameters["timeout"].int64_param = 20_000
    with RawHttp2(server.port) as raw:
        reply = raw.call(1, request.SerializeToString(), {":path": INFER, "grpc-timeout": "1H"})
        assert reply.status is GrpcStatus.DEADLINE_EXCEEDED


def test_a_deadline_holds_for_a_message_that_does_not_come(server: Served) -> None:
    """The call ends with its own deadline, not with the server's patience."""
    with RawHttp2(server.port) as raw:
        raw.send(raw.headers(1, {":path": INFER, "grpc-timeout": "20m"}), data(1, b"\x00\x00"))
        reply = raw.reply(1)
        assert (reply.status, reply.text) == (
            GrpcStatus.DEADLINE_EXCEEDED,
            "the call's deadline passed before its message had arrived",
        )


def test_a_message_that_does_not_come_is_not_waited_for() -> None:
    """A caller without a deadline that sends no message is refused after the server's own time."""
    settings = GrpcSettings(message_timeout=0.02)
    with served_grpc(identity_route("m"), grpc=settings) as server, RawHttp2(server.port) as raw:
        raw.send(raw.headers(1))
        reply = raw.reply(1)
        assert (reply.status, reply.text) == (
            GrpcStatus.INVALID_ARGUMENT,
            "the call's message did not arrive within 0.02 s",
        )


def test_a_cancelled_call_withdraws_its_request(server: Served) -> None:
    """RST_STREAM cancels the backend's task; nothing is sent, and it counts as 499."""
    held = holding(server)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(INFER).future(message())
        server.until(lambda: len(held.requests) == 1)
        call.cancel()
        server.until(lambda: held.cancelled == 1 and server.state == "1 connections, 0 calls")
    assert counted(server, 499) == 1


def test_a_lost_connection_withdraws_all_its_requests(server: Served) -> None:
    """A client that dies takes its calls with it."""
    held = holding(server)
    with RawHttp2(server.port) as raw:
        for stream in (1, 3, 5):
            raw.send(raw.headers(stream, {":path": INFER}), data(stream, framed(message()), end=True))
        server.until(lambda: len(held.requests) == 3)
    server.until(lambda: held.cancelled == 3 and server.state == "0 connections, 0 calls")
    assert counted(server, 499) == 3


# Bounds


def test_a_connection_too_many_is_closed() -> None:
    """The others keep theirs."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_connections=1)) as server,
        RawHttp2(server.port) as first,
    ):
        assert first.call(1).status is GrpcStatus.OK
        with RawHttp2(server.port) as second, pytest.raises(ConnectionError):
            second.call(1)
        assert first.call(3).status is GrpcStatus.OK


def test_a_call_too_many_is_refused_for_a_retry() -> None:
    """REFUSED_STREAM says that nothing was done, so that a client may send it again by itself."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_concurrent_streams=2)) as server,
        RawHttp2(server.port) as raw,
    ):
        raw.send(raw.headers(1), raw.headers(3))
        assert raw.call(5).reset == 7
        raw.send(data(1, framed(b""), end=True))
        assert raw.reply(1).status is GrpcStatus.OK
        assert raw.call(7).status is GrpcStatus.OK


def test_all_messages_together_are_bounded() -> None:
    """A call that would take more memory than the server gives to all is asked to come back."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_receiving_bytes=1000)) as server,
        RawHttp2(server.port) as raw,
    ):
        raw.send(raw.headers(1), data(1, framed(bytes(900), length=950)))
        reply = raw.call(3, bytes(200))
        assert reply.status is GrpcStatus.UNAVAILABLE
        assert reply.text == "requests of 905 bytes are being received, there is no room now"
        assert reply.headers["grpc-retry-pushback-ms"] == "1000"
        raw.send(data(1, bytes(50), end=True))
        assert raw.reply(1).status is GrpcStatus.INVALID_ARGUMENT  # zeros are no protobuf, but they had room
        assert raw.call(5).status is GrpcStatus.OK


def test_calls_of_all_connections_together_are_bounded() -> None:
    """Nor can a client have more by connecting more often."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_calls=1)) as server,
        RawHttp2(server.port) as first,
        RawHttp2(server.port) as second,
    ):
        first.send(first.headers(1))
        server.until(lambda: server.state == "2 connections, 1 calls")
        assert second.call(1).reset == 7
        first.send(data(1, framed(b""), end=True))
        assert first.reply(1).status is GrpcStatus.OK
        assert second.call(3).status is GrpcStatus.OK


def test_what_a_message_is_inflated_to_counts() -> None:
    """Else a kilobyte could take a megabyte, as often as calls are allowed."""
    zeros = gzip.compress(bytes(1500))
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_receiving_bytes=1000)) as server,
        RawHttp2(server.port) as raw,
    ):
        raw.send(raw.headers(1, {"grpc-encoding": "gzip"}), data(1, framed(zeros, flag=1), end=True))
        assert raw.reply(1).status is GrpcStatus.UNAVAILABLE
        assert raw.call(3, bytes(900)).status is GrpcStatus.INVALID_ARGUMENT  # it had room


def test_an_answer_that_waits_leaves_less_room() -> None:
    """What a slow client has not taken counts: requests to come are refused, until it has."""
    content = framed(large(20_000))
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_receiving_bytes=100_000)) as server,
        RawHttp2(server.port, greet=False) as slow,
        RawHttp2(server.port) as raw,
    ):
        slow.send(PREFACE, SettingsFrame(0))
        slow.send(slow.headers(1, {":path": INFER}), data(1, content, end=True))
        server.until(lambda: len(backend(server).answers) == 1)
        assert raw.call(1, bytes(900)).status is GrpcStatus.UNAVAILABLE
        slow.send(WindowUpdateFrame(0, window_increment=100_000), WindowUpdateFrame(1, window_increment=100_000))
        assert slow.reply(1).status is GrpcStatus.OK
        assert raw.call(3, bytes(900)).status is GrpcStatus.INVALID_ARGUMENT


def test_a_call_that_streams_takes_small_messages_only() -> None:
    """It may last for ever, and would hold a part of a big one for as long."""
    with served_grpc(identity_route("m")) as server, RawHttp2(server.port) as raw:
        raw.send(raw.headers(1, {":path": WATCH}), data(1, framed(b"", length=65_537)))
        reply = raw.reply(1)
        assert reply.status is GrpcStatus.INVALID_ARGUMENT
        assert reply.text == "the message has 65537 bytes, at most 65536 are allowed"


def test_a_call_may_end_with_an_empty_frame() -> None:
    """As many clients and proxies end it; that is no flood, however many calls there are."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_control_frames=3)) as server,
        RawHttp2(server.port) as raw,
    ):
        for stream in range(1, 61, 2):
            raw.send(raw.headers(stream, {":path": "/x"}), data(stream, framed(b"")), data(stream, b"", end=True))
            assert raw.reply(stream).status is GrpcStatus.UNIMPLEMENTED


def test_a_busy_client_may_ping() -> None:
    """Go's client sends a PING for each answer, to measure the bandwidth."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(max_control_frames=5)) as server,
        RawHttp2(server.port) as raw,
    ):
        for stream in range(1, 101, 2):
            assert raw.call(stream).status is GrpcStatus.OK
            raw.send(PingFrame(0, bytes(8)), WindowUpdateFrame(0, window_increment=5))


def test_who_ignores_a_goodbye_is_hung_up_on() -> None:
    """A refused client that keeps its end open has a moment to read why, and no more."""
    with served_grpc(identity_route("m"), grpc=GrpcSettings(linger=0.02)) as server, RawHttp2(server.port) as raw:
        raw.send(data(1, b"of no call"))
        assert raw.end() == 1
        server.until(lambda: server.state == "0 connections, 0 calls")


def test_a_silent_connection_is_closed() -> None:
    """Who connects and says nothing does not keep the socket."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(handshake_timeout=0.02)) as server,
        RawHttp2(server.port, greet=False) as raw,
    ):
        assert raw.end() == 0


def test_an_idle_connection_is_closed() -> None:
    """After the time for it, with a GOAWAY; clients connect again by themselves."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(handshake_timeout=0.02, idle_timeout=0.05)) as server,
        RawHttp2(server.port) as raw,
    ):
        assert raw.call(1).status is GrpcStatus.OK
        assert raw.end() == 0


def test_an_answer_that_is_not_taken_is_given_up() -> None:
    """A client that opens no window does not hold its answer for ever."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(write_timeout=0.02)) as server,
        RawHttp2(server.port) as raw,
    ):
        raw.send(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00")  # SETTINGS: a window of 0
        reply = raw.call(1)
        assert reply.reset == 8
        server.until(lambda: server.state == "1 connections, 0 calls")


def test_an_answer_that_is_taken_in_drops_is_given_up() -> None:
    """A window of a byte now and then does not hold an answer for ever either."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(write_timeout=0.05)) as server,
        RawHttp2(server.port, greet=False) as raw,
    ):
        raw.send(PREFACE, SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1}))
        raw.send(raw.headers(1, {":path": INFER}), data(1, framed(large(10_000)), end=True))
        ending: Frame | None = None
        while ending is None:  # at most as often as the answer has bytes
            frame = raw.frame()
            if isinstance(frame, DataFrame):
                raw.send(WindowUpdateFrame(1, window_increment=1))
            elif isinstance(frame, RstStreamFrame) or "END_STREAM" in frame.flags:
                ending = frame
        assert isinstance(ending, RstStreamFrame)


def stalled(raw: RawHttp2, calls: int) -> None:
    """Ask for more than the sockets between client and server hold, and read nothing of it."""
    content = framed(large(750_000))
    pieces = [content[start : start + 200_000] for start in range(0, len(content), 200_000)]
    for stream in range(1, 1 + 2 * calls, 2):
        raw.send(raw.headers(stream, {":path": INFER}), *(data(stream, piece) for piece in pieces))
        raw.send(data(stream, b"", end=True))


def test_who_reads_nothing_may_ask_nothing() -> None:
    """A client whose answers pile up in the socket is not read from any more, and then let go."""
    with (
        served_grpc(identity_route("m"), grpc=GrpcSettings(write_timeout=0.05)) as server,
        RawHttp2(server.port, receives=4096) as raw,
    ):
        stalled(raw, 20)
        server.until(lambda: server.state == "0 connections, 0 calls")


def test_a_closed_connection_counts_until_its_socket_is_gone() -> None:
    """While a client does not take the last words it has its socket, which max_connections is there to bound."""
    with served_grpc(identity_route("m")) as server, RawHttp2(server.port, receives=4096) as raw:
        stalled(raw, 1)
        server.until(lambda: len(backend(server).answers) == 1)
        [connection] = server.listener._listening.connections  # type: ignore[attr-defined]
        server.do(connection.leave)
        server.do(connection.cut)
        server.until(lambda: server.state == "1 connections, 0 calls")
        raw.socket.close()
        server.until(lambda: server.state == "0 connections, 0 calls")


# Stopping


def test_a_taken_port_is_one_clear_sentence() -> None:
    """Who starts a second server reads which address is taken."""

    async def main(port: int) -> None:
        plane = DataPlane(RouteTable(), Metrics("0"), GatewaySettings("0"))
        server = GrpcServer(plane, GrpcSettings(port=port))
        with pytest.raises(CannotListen, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"):
            await server.start()
        await server.stop(0)

    with served_grpc() as server:
        asyncio.run(main(server.port))


def test_stopping_lets_calls_end(server: Served) -> None:
    """The listener closes at once; what is in flight is answered within the grace."""
    held = holding(server)
    with RawHttp2(server.port) as raw:
        raw.send(raw.headers(1, {":path": INFER}), data(1, framed(message()), end=True))
        server.until(lambda: len(held.requests) == 1)
        stopping = server.begin(server.listener.stop(PATIENCE))
        goaway = raw.frame()
        while type(goaway).__name__ != "GoAwayFrame":
            goaway = raw.frame()
        with pytest.raises(OSError, match="refused"):
            RawHttp2(server.port)
        raw.send(raw.headers(3), data(3, framed(b""), end=True))
        assert raw.reply(3).reset == 7
        assert held.gate is not None
        server.do(held.gate.set)
        assert raw.reply(1).status is GrpcStatus.OK
        stopping.result(PATIENCE)
        assert raw.end() is None


def test_stopping_answers_what_outlives_the_grace(server: Served) -> None:
    """Not a reset connection but a sentence, and the time to come back."""
    held = holding(server)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(INFER).future(message())
        server.until(lambda: len(held.requests) == 1)
        server.run(server.listener.stop(0.01))
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert call.details() == "the server is shutting down"
    assert held.cancelled == 1
    assert counted(server, 503) == 1


def test_stopping_twice_does_nothing(server: Served) -> None:
    """The second stop finds nothing to stop."""
    server.run(server.listener.stop(0))
    server.run(server.listener.stop(0))


# Health


def health(channel: Any, service: str) -> int:
    request = health_pb.HealthCheckRequest(service=service).SerializeToString()
    return health_pb.HealthCheckResponse.FromString(channel.unary_unary(CHECK)(request)).status


def test_health_is_readiness(server: Served) -> None:
    """The server as a whole, its service, and each model by its name."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        names = ("", "inference.GRPCInferenceService", "m", "all")
        assert [health(channel, name) for name in names] == [1, 1, 1, 1]
        backend(server).state = Readiness(False, "loading")
        assert [health(channel, name) for name in names] == [2, 2, 2, 1]
        backend(server).state = Readiness(True)
        server.do(server.plane.leave)
        assert [health(channel, name) for name in names] == [2, 2, 2, 2]


def test_health_is_watched() -> None:
    """The status comes at once and again when it changes; an unknown name is a status, not an error."""
    settings = GrpcSettings(health_interval=0.005)
    with (
        served_grpc(identity_route("m"), grpc=settings) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        watch = channel.unary_stream(WATCH)
        stream = watch(health_pb.HealthCheckRequest(service="m").SerializeToString(), timeout=PATIENCE)
        statuses = (health_pb.HealthCheckResponse.FromString(answer).status for answer in stream)
        assert next(statuses) == health_pb.HealthCheckResponse.SERVING
        backend(server).state = Readiness(False)
        assert next(statuses) == health_pb.HealthCheckResponse.NOT_SERVING
        backend(server).state = Readiness(True)
        assert next(statuses) == health_pb.HealthCheckResponse.SERVING
        stream.cancel()
        unknown = watch(health_pb.HealthCheckRequest(service="x").SerializeToString(), timeout=PATIENCE)
        assert health_pb.HealthCheckResponse.FromString(next(unknown)).status == 3
        unknown.cancel()
        server.until(lambda: server.state == "1 connections, 0 calls")


def test_a_watch_does_not_hold_up_stopping(server: Served) -> None:
    """A stream without an end is ended at once, whatever the grace."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stream = channel.unary_stream(WATCH)(b"", timeout=PATIENCE)
        next(stream)
        server.run(server.listener.stop(PATIENCE))
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        assert (caught.value.code().name, caught.value.details()) == ("UNAVAILABLE", "the server is shutting down")


def test_a_watch_ends_with_its_deadline(server: Served) -> None:
    """grpc-timeout bounds a stream too."""
    with RawHttp2(server.port) as raw:
        reply = raw.call(1, b"", {":path": WATCH, "grpc-timeout": "30m"})
        assert (reply.status, reply.text) == (
            GrpcStatus.DEADLINE_EXCEEDED,
            "the call was not over before its deadline",
        )
        assert reply.body == framed(b"\x08\x01")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(b"", "the call ended without a message", id="none"),
        pytest.param(framed(b"") * 2, "Watch takes one message, got a second one", id="two"),
        pytest.param(framed(b"", length=7), "the call ended after 0 of the 7 bytes of a message", id="cut"),
    ],
)
def test_a_watch_takes_one_message(server: Served, content: bytes, text: str) -> None:
    """No fewer, no more, and a whole one."""
    with RawHttp2(server.port) as raw:
        raw.send(raw.headers(1, {":path": WATCH}), data(1, content, end=True))
        reply = raw.reply(1)
        assert (reply.status, reply.text) == (GrpcStatus.INVALID_ARGUMENT, text)


# Reflection


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_what_there_is(server: Served, version: str) -> None:
    """A client lists the services, fetches their descriptors and finds the messages in them."""
    asked = [
        reflection_pb.ServerReflectionRequest(list_services="*"),
        reflection_pb.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
        reflection_pb.ServerReflectionRequest(file_containing_symbol="inference.ModelInferRequest.InferInputTensor"),
        reflection_pb.ServerReflectionRequest(file_by_filename="open_inference.proto"),
        reflection_pb.ServerReflectionRequest(file_containing_symbol="no.such"),
        reflection_pb.ServerReflectionRequest(file_by_filename="no.proto"),
        reflection_pb.ServerReflectionRequest(all_extension_numbers_of_type="inference.ModelInferRequest"),
        reflection_pb.ServerReflectionRequest(all_extension_numbers_of_type="no.such"),
        reflection_pb.ServerReflectionRequest(
            file_containing_extension=reflection_pb.ExtensionRequest(containing_type="x", extension_number=1)
        ),
        reflection_pb.ServerReflectionRequest(host="h"),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        info = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        raw = list(info(iter([request.SerializeToString() for request in asked]), timeout=PATIENCE))
    answers = [reflection_pb.ServerReflectionResponse.FromString(answer) for answer in raw]
    assert [answer.original_request for answer in answers] == asked
    assert [service.name for service in answers[0].list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
    ]
    files = [list(answer.file_descriptor_response.file_descriptor_proto) for answer in answers[1:4]]
    assert files[0] == files[1] == files[2]
    assert b"ModelInferRequest" in files[0][0]
    errors = [(answer.error_response.error_code, answer.error_response.error_message) for answer in answers[4:]]
    assert errors == [
        (5, "'no.such' is not found"),
        (5, "'no.proto' is not found"),
        (0, ""),
        (5, "'no.such' is not found"),
        (5, "'x' has no extensions"),
        (3, "the reflection request asks nothing"),
    ]
    assert answers[9].valid_host == "h"


def test_a_broken_question_ends_the_reflection(server: Served) -> None:
    """Garbage is told as such, like anywhere else."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        info = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as caught:
            list(info(iter([b"\xff"]), timeout=PATIENCE))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
