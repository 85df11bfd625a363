"""Malformed requests against the whole server, on the way that every request takes: none does it any harm."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from tidegate.protocol.errors import GrpcStatus
from tidegate.testing.process import Serving
from tidegate.testing.requests import head, infer, json_length, plain, tensor
from tidegate.testing.served import RawConnection
from tidegate.testing.served_grpc import LIVE, PREFACE, RawHttp2, data, framed, raw_frame

pytestmark = pytest.mark.e2e

MIB = 1 << 20
GROWTH = 64 * MIB
"""Bytes by which a process may grow over all of these requests; a bomb among them would take far more."""
INFER = "/inference.GRPCInferenceService/ModelInfer"
READY = "/inference.GRPCInferenceService/ModelReady"
INVALID, MISSING, UNKNOWN = GrpcStatus.INVALID_ARGUMENT, GrpcStatus.NOT_FOUND, GrpcStatus.UNIMPLEMENTED


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for all requests. In the end its worker is the one that it began with, and nothing has grown."""
    models = tmp_path_factory.mktemp("models")
    (models / "m.fake.json").write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]}))
    with Serving.start(models) as serving:
        serving.until("ready")
        good(serving)
        processes = [psutil.Process(serving.process.pid), *serving.workers]
        before = [process.memory_info().rss for process in processes]
        yield serving
        assert serving.workers == processes[1:]
        grown = [process.memory_info().rss - size for process, size in zip(processes, before, strict=True)]
        assert max(grown) < GROWTH


def http(server: Serving) -> RawConnection:
    return RawConnection(int(server.http.rpartition(":")[2]))


def grpc(server: Serving, *, greet: bool = True) -> RawHttp2:
    return RawHttp2(int(server.grpc.rpartition(":")[2]), greet=greet)


def good(server: Serving) -> None:
    """The model answers a proper request, over both protocols."""
    with http(server) as client:
        client.send(infer(request(b'"data":[1,2,3,4]')))
        assert client.reply().status == 200
    with grpc(server) as client:
        reply = client.call(1, b"\x0a\x01m", {":path": READY})
        assert (reply.status, reply.body) == (GrpcStatus.OK, framed(b"\x08\x01"))


def request(members: bytes, name: bytes = b"x") -> bytes:
    return b'{"inputs":[{"name":"%s","datatype":"FP32","shape":[1,4],%s}]}' % (name, members)


def sample(server: Serving, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels, as the status port tells it."""
    with urllib.request.urlopen(f"{server.status}/metrics") as response:
        lines = response.read().decode().splitlines()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(f"{name}{{") and all(pair in line for pair in wanted)
    )


def counted(server: Serving, protocol: str) -> tuple[float, float]:
    """Requests that reached no model, and those that did."""
    return (
        sample(server, "tidegate_refused_requests_total", protocol=protocol),
        sample(server, "tidegate_requests_total", protocol=protocol),
    )


V1 = b"/v1/models/m:predict"
BINARY = request(b'"parameters":{"binary_data_size":16}')
REFUSED, REACHED = (1, 0), (0, 1)

HTTP = [
    pytest.param(b"nonsense\r\n\r\n", 400, REFUSED, id="no-http"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, REFUSED, id="tls"),
    pytest.param(PREFACE, 400, REFUSED, id="http-2"),
    pytest.param(b"GET /v2 HTTP/9.9\r\n\r\n", 400, REFUSED, id="version"),
    pytest.param(b"GET /v2 HTTP/1.1\r\nA: " + b"x" * 70_000, 431, REFUSED, id="long-header"),
    pytest.param(head(*[b"A: b"] * 101), 431, REFUSED, id="many-headers"),
    pytest.param(head(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400, REFUSED, id="two-lengths"),
    pytest.param(head(b"Content-Length: -5"), 400, REFUSED, id="negative-length"),
    pytest.param(plain(b"GET", b"/nope"), 404, REFUSED, id="unknown-path"),
    pytest.param(plain(b"DELETE", b"/v2"), 405, REFUSED, id="wrong-method"),
    pytest.param(plain(b"GET", b"/v2/models/m/infer"), 405, REFUSED, id="infer-by-get"),
    pytest.param(plain(b"GET", b"/v2/models/..%2f..%2fetc%2fpasswd"), 404, REFUSED, id="path-traversal"),
    pytest.param(infer(b"{}", path=b"/v2/models/nope/infer"), 404, REFUSED, id="unknown-model"),
    pytest.param(infer(b"{}", path=b"/v2/models/m/versions/9/infer"), 404, REFUSED, id="unknown-version"),
    pytest.param(infer(b"{}", path=b"/v1/models/m:explain"), 501, REACHED, id="explain"),
    pytest.param(infer(b""), 400, REACHED, id="empty"),
    pytest.param(infer(b"{"), 400, REACHED, id="no-json"),
    pytest.param(infer(b"\xff\xfe"), 400, REACHED, id="no-utf-8"),
    pytest.param(infer(b"[" * 100_000), 400, REACHED, id="deep"),
    pytest.param(infer(request(b'"data":' + b"[" * 50_000)), 400, REACHED, id="deep-data"),
    pytest.param(infer(b'{"inputs":{}}'), 400, REACHED, id="inputs-no-list"),
    pytest.param(infer(b'{"inputs":[]}'), 400, REACHED, id="no-inputs"),
    pytest.param(infer(request(b'"data":[1,2,3]')), 400, REACHED, id="too-few"),
    pytest.param(infer(request(b'"data":["a","b","c","d"]')), 400, REACHED, id="text-for-numbers"),
    pytest.param(infer(request(b'"data":[1e99,2,3,4]')), 400, REACHED, id="out-of-range"),
    pytest.param(infer(request(b'"data":[1,2,3,4]', name=b"y")), 400, REACHED, id="unknown-input"),
    pytest.param(infer(tensor(name=b'"x"', shape=b"[-1,4]")), 400, REACHED, id="negative-shape"),
    pytest.param(infer(tensor(name=b'"x"', shape=b"[4611686018427387904,4]")), 400, REACHED, id="huge-shape"),
    pytest.param(infer(tensor(name=b'"x"', datatype=b'"FP31"')), 400, REACHED, id="unknown-datatype"),
    pytest.param(infer(tensor(name=b'"x"', datatype=b'"INT8"')), 400, REACHED, id="another-datatype"),
    pytest.param(infer(request(b'"parameters":{"a":null},"data":[1,2,3,4]')), 400, REACHED, id="null-parameter"),
    pytest.param(
        infer(b'{"parameters":{"timeout":-1},' + request(b'"data":[1,2,3,4]')[1:]), 400, REACHED, id="timeout"
    ),
    pytest.param(infer(BINARY + bytes(15), json_length(BINARY)), 400, REACHED, id="binary-cut-short"),
    pytest.param(
        infer(BINARY, b"Inference-Header-Content-Length: 99999"), 400, REACHED, id="json-longer-than-the-body"
    ),
    pytest.param(infer(b"{}", b"Content-Encoding: gzip"), 400, REACHED, id="no-gzip"),
    pytest.param(infer(b"{}", b"Content-Encoding: br"), 415, REACHED, id="unknown-encoding"),
    pytest.param(infer(b"{}", b"Content-Type: text/html"), 415, REACHED, id="media-type"),
    pytest.param(infer(b"{}", b"X-Request-Timeout-Ms: soon"), 400, REACHED, id="deadline-header"),
    pytest.param(head(b"Content-Length: 999999999999"), 413, REACHED, id="too-long"),
    pytest.param(infer(b'{"instances":1}', path=V1), 400, REACHED, id="v1-no-rows"),
    pytest.param(infer(b'{"instances":[[1,2],[3]]}', path=V1), 400, REACHED, id="v1-ragged"),
    pytest.param(head(b"Transfer-Encoding: chunked") + b"zz\r\n", 400, REACHED, id="chunk-size"),
]


@pytest.mark.parametrize(("raw", "status", "counts"), HTTP)
def test_a_malformed_http_request(server: Serving, raw: bytes, status: int, counts: tuple[int, int]) -> None:
    """It is refused with its status and a sentence, counted once, and the next request is answered."""
    before = counted(server, "http")
    with http(server) as client:
        client.send(raw)
        answer = client.reply()
    assert answer.status == status
    assert answer.error.isprintable()
    refused, reached = counted(server, "http")
    assert (refused - before[0], reached - before[1]) == counts
    good(server)


GRPC = [
    pytest.param(INFER, framed(b""), {}, INVALID, REFUSED, id="empty request"),
    pytest.param(INFER, framed(b"\xff"), {}, INVALID, REFUSED, id="no protobuf"),
    pytest.param(INFER, framed(b"\x0b" * 200), {}, INVALID, REFUSED, id="groups"),
    pytest.param(INFER, framed(b"\x2a\x00" * 100_000), {}, INVALID, REFUSED, id="empty inputs by the thousand"),
    pytest.param(INFER, framed(b"\x0a\x04nope"), {}, MISSING, REFUSED, id="unknown model"),
    pytest.param(INFER, framed(b"\x0a\x01m\x12\x019"), {}, MISSING, REFUSED, id="unknown version"),
    pytest.param(INFER, framed(b"\x0a\x01m"), {}, INVALID, REACHED, id="no inputs"),
    pytest.param(INFER, framed(b"\x0a\x01m\x2a\x00"), {}, INVALID, REACHED, id="input without a name"),
    pytest.param(INFER, framed(b"\x0a\x01m\x2a\x03\x0a\x01x"), {}, INVALID, REACHED, id="input without a datatype"),
    pytest.param(INFER, framed(b"\x0a\x01m\x3a\x01x"), {}, INVALID, REACHED, id="raw contents of nothing"),
    pytest.param(INFER, b"", {}, INVALID, REFUSED, id="no message"),
    pytest.param(INFER, b"\x00\x00", {}, INVALID, REFUSED, id="half a prefix"),
    pytest.param(INFER, framed(b"abc", length=9), {}, INVALID, REFUSED, id="half a message"),
    pytest.param(INFER, framed(b"", length=1 << 31), {}, INVALID, REFUSED, id="too long a message"),
    pytest.param(INFER, framed(b"") * 2, {}, INVALID, REFUSED, id="two messages"),
    pytest.param(INFER, framed(b"", flag=7), {}, INVALID, REFUSED, id="unknown flag"),
    pytest.param(INFER, framed(b"", flag=1), {}, INVALID, REFUSED, id="compressed with nothing"),
    pytest.param(INFER, framed(b"abc", flag=1), {"grpc-encoding": "gzip"}, INVALID, REFUSED, id="no gzip"),
    pytest.param(INFER, framed(b""), {"grpc-encoding": "snappy"}, UNKNOWN, REFUSED, id="unknown encoding"),
    pytest.param(INFER, framed(b""), {"grpc-timeout": "soon"}, INVALID, REFUSED, id="no timeout"),
    pytest.param(INFER, framed(b""), {"content-type": "text/html"}, INVALID, REFUSED, id="content type"),
    pytest.param(INFER, framed(b""), {":method": "GET"}, UNKNOWN, REFUSED, id="method"),
    pytest.param("/no/method", framed(b""), {}, UNKNOWN, REFUSED, id="unknown path"),
    pytest.param(LIVE, framed(b"\xff"), {}, INVALID, REFUSED, id="a broken empty message"),
    pytest.param(READY, framed(b""), {}, INVALID, REFUSED, id="no name"),
    pytest.param(READY, framed(b"\x0a\x04nope"), {}, MISSING, REFUSED, id="readiness of an unknown model"),
]


@pytest.mark.parametrize(("path", "content", "metadata", "status", "counts"), GRPC)
def test_a_malformed_call(
    server: Serving,
    path: str,
    content: bytes,
    metadata: dict[str, str | bytes | None],
    status: GrpcStatus,
    counts: tuple[int, int],
) -> None:
    """It ends with its status and a sentence, is counted once, and the next call is answered."""
    before = counted(server, "grpc")
    with grpc(server) as client:
        client.send(client.headers(1, {":path": path, **metadata}), data(1, content, end=True))
        reply = client.reply(1)
    assert (reply.status, reply.text.isprintable(), reply.text != "") == (status, True, True)
    refused, reached = counted(server, "grpc")
    assert (refused - before[0], reached - before[1]) == counts
    good(server)


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP/1"),
        pytest.param(bytes(range(256)) * 64, id="garbage"),
        pytest.param(PREFACE + b"\xff" * 4096, id="garbage after the preface"),
        pytest.param(PREFACE + raw_frame(0, 0, 1, b"x"), id="DATA of no call"),
        pytest.param(PREFACE + raw_frame(4, 0, 0, b"") + raw_frame(1, 4, 1, b"\xff" * 9), id="broken HPACK"),
        pytest.param(PREFACE + raw_frame(6, 0, 0, bytes(8)) * 10_000, id="PING flood"),
        pytest.param(PREFACE + raw_frame(1, 0, 1, b"") + raw_frame(9, 0, 1, bytes(100_000)) * 3, id="endless headers"),
    ],
)
def test_what_is_no_http2(server: Serving, opening: bytes) -> None:
    """The connection is closed and counted once, and other connections are answered."""
    before = counted(server, "grpc")
    with grpc(server, greet=False) as client:
        client.send(opening)
        client.end()
    refused, reached = counted(server, "grpc")
    assert (refused - before[0], reached - before[1]) == REFUSED
    good(server)
