"""Malformed gRPC calls: each with the status and the sentence that the caller reads, and the server alive after it."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from tidegate.gateway.dataplane import GatewaySettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import GrpcStatus
from tidegate.protocol.limits import Limits
from tidegate.testing.backends import identity_route
from tidegate.testing.served import PATIENCE, Served
from tidegate.testing.served_grpc import RawHttp2, data, framed, served_grpc

Request = service_pb2.ModelInferRequest
Status = grpc.StatusCode

LIMITS = Limits(
    max_body_bytes=64 * 1024,
    max_inflated_bytes=64 * 1024,
    max_header_bytes=16 * 1024,
    max_tensors=3,
    max_parameters=2,
    max_rank=4,
    max_elements=10_000,
    max_name_bytes=16,
)
SERVICE = "/inference.GRPCInferenceService/"
INFER = SERVICE + "ModelInfer"
READY = SERVICE + "ModelReady"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    routes = [identity_route("m", Datatype.FP32), identity_route("b", Datatype.BYTES)]
    with served_grpc(*routes, gateway=GatewaySettings("0", LIMITS)) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as made:
        yield made


def alive(server: Served) -> None:
    with RawHttp2(server.port) as client:
        reply = client.call(1)
        assert (reply.status, reply.body) == (GrpcStatus.OK, framed(b"\x08\x01"))


def infer(**changed: object) -> Any:
    """One raw FP32 input of one row of two, changed as told."""
    fields: dict[str, object] = {"name": "fp32", "datatype": "FP32", "shape": [1, 2], **changed}
    message = Request(model_name="m", raw_input_contents=[bytes(8)])
    message.inputs.add(**fields)
    return message


def typed(field: str, values: list[object], **changed: object) -> Any:
    message = infer(**changed)
    del message.raw_input_contents[:]
    getattr(message.inputs[0].contents, field).extend(values)
    return message


def changed(message: Any, **fields: object) -> Any:
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(message, name)[:]
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


def parameter(name: str, **value: object) -> Any:
    message = infer()
    message.parameters[name].SetInParent()
    for kind, content in value.items():
        setattr(message.parameters[name], kind, content)
    return message


def asking(*names: str) -> Any:
    message = infer()
    for name in names:
        message.outputs.add(name=name)
    return message


NOT_A_REQUEST = "the message is not a valid ModelInferRequest: broken protobuf, or a text that is not UTF-8"
NOT_A_MODEL = "the message is not a valid ModelReadyRequest: broken protobuf, or a text that is not UTF-8"
NOT_EMPTY = "the message is not a valid ServerLiveRequest: broken protobuf, or a text that is not UTF-8"
KINDS = "BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES"
NO_VALUE = "has no value; expected one of bool_param, int64_param, string_param, double_param, uint64_param"
INVALID, MISSING = Status.INVALID_ARGUMENT, Status.NOT_FOUND

MESSAGES: list[object] = [
    pytest.param(INFER, b"\xff", INVALID, NOT_A_REQUEST, id="no protobuf"),
    pytest.param(INFER, b"\x0a\x7fm", INVALID, NOT_A_REQUEST, id="truncated protobuf"),
    pytest.param(INFER, b"\x0a\x01\xff", INVALID, NOT_A_REQUEST, id="model name not UTF-8"),
    pytest.param(INFER, b"\x0a\x01m\x1a\x01\xff", INVALID, NOT_A_REQUEST, id="request id not UTF-8"),
    pytest.param(INFER, b"\x0b" * 200, INVALID, NOT_A_REQUEST, id="nested groups"),
    pytest.param(INFER, b"", INVALID, "model_name is empty", id="empty request"),
    pytest.param(INFER, changed(infer(), model_name="x"), MISSING, "model 'x' is not found", id="unknown model"),
    pytest.param(
        INFER, changed(infer(), model_name="x\n%ü"), MISSING, "model 'x\\n%ü' is not found", id="an odd model name"
    ),
    pytest.param(
        INFER,
        changed(infer(), model_version="9"),
        MISSING,
        "model 'm' has no version '9'; it has 1",
        id="unknown version",
    ),
    pytest.param(
        INFER,
        Request(model_name="m"),
        INVALID,
        "model 'm' needs input 'fp32', which the request does not have",
        id="no inputs",
    ),
    pytest.param(INFER, infer(name="y"), INVALID, "model 'm' has no input 'y'; expected 'fp32'", id="unknown input"),
    pytest.param(INFER, infer(name=""), INVALID, "inputs[0].name is empty", id="input without a name"),
    pytest.param(
        INFER,
        infer(name="n" * 17),
        INVALID,
        "inputs[0].name: 'nnnnnnnnnnnnnnnnn' has 17 bytes, at most 16 are allowed",
        id="long input name",
    ),
    pytest.param(
        INFER,
        changed(infer(), id="i" * 17),
        INVALID,
        "id: 'iiiiiiiiiiiiiiiii' has 17 bytes, at most 16 are allowed",
        id="long id",
    ),
    pytest.param(
        INFER,
        changed(infer(), inputs=[*infer().inputs] * 2, raw_input_contents=[bytes(8)] * 2),
        INVALID,
        "input 'fp32' is given twice",
        id="input twice",
    ),
    pytest.param(
        INFER,
        changed(infer(), inputs=[*infer().inputs] * 4, raw_input_contents=[bytes(8)] * 4),
        INVALID,
        "inputs: has 4 entries, at most 3 are allowed",
        id="too many inputs",
    ),
    pytest.param(
        INFER,
        infer(datatype="FP33"),
        INVALID,
        f"input 'fp32': datatype 'FP33' is not known, expected one of {KINDS}",
        id="unknown datatype",
    ),
    pytest.param(
        INFER,
        infer(datatype="INT64", shape=[1, 1]),
        INVALID,
        "input 'fp32': datatype is INT64, the model expects FP32",
        id="the datatype of another model",
    ),
    pytest.param(
        INFER,
        infer(shape=[2]),
        INVALID,
        "input 'fp32': shape is [2], the model expects [-1, -1]",
        id="rank of another model",
    ),
    pytest.param(
        INFER,
        infer(shape=[-1, 2]),
        INVALID,
        "input 'fp32': shape[0] is -1, expected an integer >= 0",
        id="negative size",
    ),
    pytest.param(
        INFER,
        infer(shape=[1] * 5),
        INVALID,
        "input 'fp32': shape has 5 dimensions, at most 4 are allowed",
        id="too many dimensions",
    ),
    pytest.param(
        INFER,
        infer(shape=[1 << 31, 1 << 31]),
        INVALID,
        "input 'fp32': shape [2147483648, 2147483648] has more than 10000 elements of FP32",
        id="a shape that ends Triton",
    ),
    pytest.param(
        INFER,
        infer(shape=[0, 1 << 62]),
        INVALID,
        "input 'fp32': shape [0, 4611686018427387904] has more than 10000 elements of FP32",
        id="a huge size beside a zero",
    ),
    pytest.param(
        INFER,
        infer(shape=[1, 3]),
        INVALID,
        "input 'fp32': has 8 bytes of binary data, its 3 elements of FP32 are 12",
        id="raw too short",
    ),
    pytest.param(
        INFER,
        infer(shape=[1, 1]),
        INVALID,
        "input 'fp32': has 8 bytes of binary data, its 1 elements of FP32 are 4",
        id="raw too long",
    ),
    pytest.param(
        INFER,
        changed(infer(), raw_input_contents=[bytes(8), b""]),
        INVALID,
        "raw_input_contents has 2 entries for 1 inputs, expected one each",
        id="more raw than inputs",
    ),
    pytest.param(
        INFER,
        changed(infer(), inputs=[]),
        INVALID,
        "raw_input_contents has 1 entries for 0 inputs, expected one each",
        id="raw without inputs",
    ),
    pytest.param(
        INFER,
        changed(typed("fp32_contents", [1.0, 2.0]), raw_input_contents=[bytes(8)]),
        INVALID,
        "input 'fp32': has contents beside raw contents; a message uses one of them for all its tensors",
        id="raw and typed",
    ),
    pytest.param(
        INFER,
        typed("fp32_contents", [1.0]),
        INVALID,
        "input 'fp32': has 1 elements in fp32_contents, its shape has 2",
        id="too few typed",
    ),
    pytest.param(
        INFER,
        typed("fp64_contents", [1.0, 2.0]),
        INVALID,
        "input 'fp32': has fp64_contents, FP32 is sent in fp32_contents",
        id="the wrong typed field",
    ),
    pytest.param(
        INFER,
        typed("fp32_contents", [1.0, 2.0], datatype="FP16"),
        INVALID,
        "input 'fp32': FP16 has no typed contents; send it as raw contents",
        id="typed FP16",
    ),
    pytest.param(
        INFER,
        typed("fp32_contents", [1.0, 2.0], datatype="BF16"),
        INVALID,
        "input 'fp32': BF16 has no typed contents; send it as raw contents",
        id="typed BF16",
    ),
    pytest.param(
        INFER,
        typed("int_contents", [1, 200], datatype="INT8"),
        INVALID,
        "input 'fp32': element 1 is 200, INT8 holds -128 to 127",
        id="INT8 out of range",
    ),
    pytest.param(
        INFER,
        typed("uint_contents", [70_000, 1], datatype="UINT16"),
        INVALID,
        "input 'fp32': element 0 is 70000, UINT16 holds 0 to 65535",
        id="UINT16 out of range",
    ),
    pytest.param(
        INFER,
        Request(
            model_name="m",
            inputs=[Request.InferInputTensor(name="fp32", datatype="BOOL", shape=[1, 2])],
            raw_input_contents=[b"\x01\x02"],
        ),
        INVALID,
        "input 'fp32': element 1 of its BOOL data is 2, expected 0 or 1",
        id="BOOL of 2",
    ),
    pytest.param(
        INFER,
        Request(
            model_name="b",
            inputs=[Request.InferInputTensor(name="bytes", datatype="BYTES", shape=[1, 1])],
            raw_input_contents=[struct.pack("<I", 1 << 31) + b"a"],
        ),
        INVALID,
        "input 'bytes': element 0 claims 2147483648 bytes, but only 1 are left",
        id="BYTES of 2 GiB",
    ),
    pytest.param(
        INFER,
        Request(
            model_name="b",
            inputs=[Request.InferInputTensor(name="bytes", datatype="BYTES", shape=[1, 2])],
            raw_input_contents=[struct.pack("<I", 1) + b"a"],
        ),
        INVALID,
        "input 'bytes': BYTES data ends before the length of element 1 of 2",
        id="BYTES too few",
    ),
    pytest.param(
        INFER,
        Request(
            model_name="b",
            inputs=[Request.InferInputTensor(name="bytes", datatype="BYTES", shape=[1, 1])],
            raw_input_contents=[struct.pack("<I", 1) + b"ab"],
        ),
        INVALID,
        "input 'bytes': 1 bytes are left over after its 1 elements",
        id="BYTES with a rest",
    ),
    pytest.param(INFER, asking("z"), INVALID, "model 'm' has no output 'z'; expected 'fp32'", id="unknown output"),
    pytest.param(INFER, asking(""), INVALID, "outputs[0].name is empty", id="output without a name"),
    pytest.param(INFER, asking("fp32", "fp32"), INVALID, "output 'fp32' is given twice", id="output twice"),
    pytest.param(INFER, parameter("p"), INVALID, f"parameters: 'p' {NO_VALUE}", id="parameter without a value"),
    pytest.param(
        INFER,
        parameter("p" * 17, int64_param=1),
        INVALID,
        "parameters: 'ppppppppppppppppp' has 17 bytes, at most 16 are allowed",
        id="long parameter name",
    ),
    pytest.param(
        INFER,
        parameter("timeout", string_param="soon"),
        INVALID,
        "parameters: 'timeout' is \"soon\", expected a whole number of microseconds",
        id="timeout as text",
    ),
    pytest.param(
        INFER,
        parameter("timeout", double_param=1.5),
        INVALID,
        "parameters: 'timeout' is 1.5, expected a whole number of microseconds",
        id="timeout with a fraction",
    ),
    pytest.param(
        INFER,
        parameter("timeout", bool_param=True),
        INVALID,
        "parameters: 'timeout' is true, expected a whole number of microseconds",
        id="timeout as a truth",
    ),
    pytest.param(
        INFER,
        parameter("timeout", int64_param=-1),
        INVALID,
        "parameters: 'timeout' is -1, expected a whole number of microseconds",
        id="negative timeout",
    ),
    pytest.param(
        INFER,
        changed(infer(), id="x" * (LIMITS.max_body_bytes + 1)).SerializeToString(),
        INVALID,
        "the message has 65572 bytes, at most 65536 are allowed",
        id="message over the limit",
    ),
    pytest.param(READY, b"", INVALID, "name is empty; expected the name of a model", id="readiness of no model"),
    pytest.param(READY, b"\x0a\x01x", MISSING, "model 'x' is not found", id="readiness of an unknown model"),
    pytest.param(
        READY,
        b"\x0a\x01m\x12\x017",
        MISSING,
        "model 'm' has no version '7'; it has 1",
        id="readiness of an unknown version",
    ),
    pytest.param(READY, b"\x0a\x02\xc3\x28", INVALID, NOT_A_MODEL, id="readiness of a name not UTF-8"),
    pytest.param(
        SERVICE + "ModelMetadata", b"\x0a\x01x", MISSING, "model 'x' is not found", id="metadata of an unknown model"
    ),
    pytest.param(SERVICE + "ModelMetadata", b"\xff", INVALID, NOT_A_MODEL, id="metadata of garbage"),
    pytest.param(SERVICE + "ServerLive", b"\xff", INVALID, NOT_EMPTY, id="live with garbage"),
    pytest.param(SERVICE + "ServerReady", b"\x0a", INVALID, NOT_EMPTY, id="ready with garbage"),
    pytest.param(SERVICE + "ServerMetadata", b"\x08", INVALID, NOT_EMPTY, id="server metadata with garbage"),
    pytest.param(
        "/grpc.health.v1.Health/Check", b"\x0a\x01x", MISSING, "model 'x' is not found", id="health of an unknown model"
    ),
    pytest.param(
        "/grpc.health.v1.Health/Check",
        b"\xff",
        INVALID,
        "the message is not a valid HealthCheckRequest: broken protobuf, or a text that is not UTF-8",
        id="health of garbage",
    ),
    pytest.param(
        SERVICE + "TraceSetting",
        b"",
        Status.UNIMPLEMENTED,
        "there is no method '/inference.GRPCInferenceService/TraceSetting'",
        id="a method of Triton's",
    ),
    pytest.param("/a/b", b"", Status.UNIMPLEMENTED, "there is no method '/a/b'", id="an unknown service"),
]


@pytest.mark.parametrize(("path", "message", "status", "text"), MESSAGES)
def test_a_malformed_message(
    server: Served, channel: grpc.Channel, path: str, message: Any, status: grpc.StatusCode, text: str
) -> None:
    """grpcio's client reads the status and a sentence that names the place, the value and what was expected."""
    content = message if isinstance(message, bytes) else message.SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(content, timeout=PATIENCE)
    assert (caught.value.code(), caught.value.details()) == (status, text)
    alive(server)


BAD, NONE = GrpcStatus.INVALID_ARGUMENT, GrpcStatus.UNIMPLEMENTED
TIMEOUT = "expected at most eight digits and one of H, M, S, m, u, n"

HEADERS = [
    pytest.param({":path": None}, BAD, "the header ':path' is missing", id="no path"),
    pytest.param({":path": ""}, BAD, "the header ':path' is missing", id="empty path"),
    pytest.param({":path": "/"}, NONE, "there is no method '/'", id="root path"),
    pytest.param(
        {":path": b"/inference.\xff\xfe/ModelInfer"},
        NONE,
        "there is no method '/inference.ÿþ/ModelInfer'",
        id="a path that ends grpc.aio",
    ),
    pytest.param({":path": b"/\x00\x01"}, NONE, "there is no method '/\\x00\\x01'", id="a path of control bytes"),
    pytest.param({":path": "/" + "x" * 4000}, NONE, "there is no method '/" + "x" * 126 + "…'", id="a long path"),
    pytest.param({":method": "GET"}, NONE, "method 'GET' is not allowed, gRPC calls are sent with POST", id="GET"),
    pytest.param({":method": None}, NONE, "method '' is not allowed, gRPC calls are sent with POST", id="no method"),
    pytest.param({"content-type": None}, BAD, "content-type is '', expected application/grpc", id="no content type"),
    pytest.param(
        {"content-type": "application/json"},
        BAD,
        "content-type is 'application/json', expected application/grpc",
        id="JSON",
    ),
    pytest.param(
        {"content-type": "application/grpc-web"},
        BAD,
        "content-type is 'application/grpc-web', expected application/grpc",
        id="gRPC-Web",
    ),
    pytest.param(
        {"content-type": "application/grpc+json"},
        BAD,
        "content-type is 'application/grpc+json', expected application/grpc",
        id="gRPC with JSON",
    ),
    pytest.param({"grpc-timeout": ""}, BAD, f"grpc-timeout is '', {TIMEOUT}", id="empty timeout"),
    pytest.param({"grpc-timeout": "5"}, BAD, f"grpc-timeout is '5', {TIMEOUT}", id="timeout without a unit"),
    pytest.param({"grpc-timeout": "S"}, BAD, f"grpc-timeout is 'S', {TIMEOUT}", id="timeout without a number"),
    pytest.param({"grpc-timeout": "-1S"}, BAD, f"grpc-timeout is '-1S', {TIMEOUT}", id="negative timeout"),
    pytest.param({"grpc-timeout": "1.5S"}, BAD, f"grpc-timeout is '1.5S', {TIMEOUT}", id="fractional timeout"),
    pytest.param({"grpc-timeout": "5X"}, BAD, f"grpc-timeout is '5X', {TIMEOUT}", id="timeout of an unknown unit"),
    pytest.param(
        {"grpc-timeout": "123456789S"}, BAD, f"grpc-timeout is '123456789S', {TIMEOUT}", id="timeout of nine digits"
    ),
    pytest.param({"grpc-timeout": b"\xb2S"}, BAD, f"grpc-timeout is '²S', {TIMEOUT}", id="timeout of a superscript"),
    pytest.param(
        {"grpc-encoding": "br"},
        NONE,
        "grpc-encoding 'br' is not supported, expected one of identity, deflate, gzip",
        id="unknown compression",
    ),
    pytest.param(
        {"grpc-encoding": b"\xff"},
        NONE,
        "grpc-encoding 'ÿ' is not supported, expected one of identity, deflate, gzip",
        id="compression not ASCII",
    ),
    pytest.param(
        {"x-big": "y" * 17_000}, BAD, "the metadata has 17347 bytes, at most 16384 are allowed", id="big metadata"
    ),
]


@pytest.mark.parametrize(("changes", "status", "text"), HEADERS)
def test_malformed_metadata(
    server: Served, changes: dict[str, str | bytes | None], status: GrpcStatus, text: str
) -> None:
    """What is no gRPC call is told so; the connection goes on."""
    with RawHttp2(server.port) as client:
        reply = client.call(1, changed=changes)
        assert (reply.status, reply.text) == (status, text)
        assert client.call(3).status is GrpcStatus.OK


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"x-bytes": bytes(range(128, 256))}, id="values above 0x7f"),
        pytest.param({b"x-\xff".decode("latin-1"): "v"}, id="names above 0x7f"),
        pytest.param({"x-data-bin": "not base64!"}, id="binary metadata that is none"),
        pytest.param({"te": None}, id="no te"),
        pytest.param({":authority": None, ":scheme": None}, id="no authority"),
        pytest.param({"content-type": "application/grpc+proto"}, id="content type with proto"),
        pytest.param({"content-type": "application/grpc; charset=x"}, id="content type with a parameter"),
        pytest.param({"user-agent": b"\xff"}, id="user agent above 0x7f"),
    ],
)
def test_odd_metadata_does_no_harm(server: Served, changes: dict[str, str | bytes | None]) -> None:
    """What the server has no use for, it does not judge."""
    with RawHttp2(server.port) as client:
        assert client.call(1, changed=changes).status is GrpcStatus.OK


FRAMES = [
    pytest.param([b""], "the call ended without a message", id="half-close without a message"),
    pytest.param([b"\x00\x00"], "the call ended after 2 of the 5 bytes before a message", id="cut in the prefix"),
    pytest.param(
        [framed(b"ab", length=10)], "the call ended after 2 of the 10 bytes of a message", id="cut in the message"
    ),
    pytest.param([framed(b"", length=10)], "the call ended after 0 of the 10 bytes of a message", id="prefix alone"),
    pytest.param([framed(b"") + framed(b"")], "the call has a second message, this method takes one", id="two at once"),
    pytest.param(
        [framed(b""), framed(b"")], "the call has a second message, this method takes one", id="two one by one"
    ),
    pytest.param([framed(b"") + b"\x00"], "the call has a second message, this method takes one", id="a byte too many"),
    pytest.param([framed(b"", flag=2)], "a message's compressed flag is 2, expected 0 or 1", id="flag 2"),
    pytest.param([framed(b"", flag=255)], "a message's compressed flag is 255, expected 0 or 1", id="flag 255"),
    pytest.param(
        [framed(b"", flag=1)],
        "a message is marked as compressed, but the header 'grpc-encoding' is missing",
        id="compressed without an encoding",
    ),
    pytest.param(
        [framed(b"abc", length=2**32 - 1)],
        "the message has 4294967295 bytes, at most 65536 are allowed",
        id="a length of 4 GiB",
    ),
]


@pytest.mark.parametrize(("pieces", "text"), FRAMES)
def test_a_malformed_body(server: Served, pieces: list[bytes], text: str) -> None:
    """Prefixes that lie and messages that are missing, cut or too many are the caller's fault."""
    with RawHttp2(server.port) as client:
        client.send(client.headers(1), *(data(1, piece) for piece in pieces), data(1, b"", end=True))
        reply = client.reply(1)
        assert (reply.status, reply.text) == (GrpcStatus.INVALID_ARGUMENT, text)
        assert client.call(3).status is GrpcStatus.OK


def test_a_long_message_is_refused_at_its_prefix(server: Served) -> None:
    """Nothing of it is waited for: the answer comes while the caller has sent five bytes."""
    with RawHttp2(server.port) as client:
        client.send(client.headers(1), data(1, framed(b"", length=65_537)))
        reply = client.reply(1)
        assert reply.status is GrpcStatus.INVALID_ARGUMENT
        assert reply.text == "the message has 65537 bytes, at most 65536 are allowed"
        client.send(data(1, bytes(1000)))
        assert client.call(3).status is GrpcStatus.OK


COMPRESSED = [
    pytest.param("gzip", b"garbage", "the body is not valid gzip: ", id="no gzip"),
    pytest.param(
        "gzip", gzip.compress(bytes(100))[:-4], "the body is not valid gzip: it ends too early", id="cut gzip"
    ),
    pytest.param("deflate", b"\x78\x9cgarbage", "the body is not valid deflate: ", id="no deflate"),
    pytest.param(
        "gzip", gzip.compress(bytes(65_537)), "the body inflates to more than 65536 bytes", id="gzip over the limit"
    ),
    pytest.param("deflate", zlib.compress(bytes(30 << 20)), "the body inflates to more than 65536 bytes", id="a bomb"),
]


@pytest.mark.parametrize(("encoding", "content", "text"), COMPRESSED)
def test_malformed_compression(server: Served, encoding: str, content: bytes, text: str) -> None:
    """Broken and exploding messages are refused, in the event loop or in a thread alike."""
    with RawHttp2(server.port) as client:
        client.send(client.headers(1, {"grpc-encoding": encoding}), data(1, framed(content, flag=1), end=True))
        reply = client.reply(1)
        assert reply.status is GrpcStatus.INVALID_ARGUMENT
        assert reply.text.startswith(text)
    alive(server)


def test_an_unknown_compression_is_told_the_known_ones(server: Served) -> None:
    """grpc-accept-encoding lists what the client may try instead."""
    with RawHttp2(server.port) as client:
        reply = client.call(1, changed={"grpc-encoding": "zstd"})
        assert reply.headers["grpc-accept-encoding"] == "identity,deflate,gzip"


def test_what_is_no_grpc_reads_an_http_status(server: Served) -> None:
    """A browser or curl sees 415 and 405 rather than a 200."""
    with RawHttp2(server.port) as client:
        assert client.call(1, changed={"content-type": "text/html"}).headers[":status"] == "415"
        assert client.call(3, changed={":method": "GET"}).headers[":status"] == "405"
        assert client.call(5, changed={":path": "/x"}).headers[":status"] == "200"


def test_refusals_are_counted(server: Served) -> None:
    """Calls that reached no model, broken ones among them, stand in the metrics, each once."""

    def refused(code: str) -> float:
        labels = {"protocol": "grpc", "code": code}
        registry = server.plane.metrics.registry
        return registry.get_sample_value("tidegate_refused_requests_total", labels) or 0

    before = {code: refused(code) for code in ("501", "404", "400")}
    with RawHttp2(server.port) as client:
        client.call(1, changed={":path": "/x"})
        client.call(3, b"\x0a\x01x", {":path": READY})
        client.call(5, b"\x0a\x01x", {":path": INFER})
        client.call(7, b"\x0a\x01x", {":path": "/grpc.health.v1.Health/Check"})
        client.call(9, b"\xff")
        client.call(11, b"\x0a\x01m", {":path": INFER})  # reached its model
    assert {code: refused(code) - before[code] for code in before} == {"501": 1, "404": 3, "400": 1}
