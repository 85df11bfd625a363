"""The client against servers that are not ours: JSON alone, empty bodies, and what gRPC's own servers send."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

from tidegate.client import RetryPolicy
from tidegate.protocol.errors import InvalidRequest, ModelLoadFailed, NotFound, OutOfMemory, QuotaExceeded, Unavailable
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc.wire import length_delimited
from tidegate.protocol.repository import IndexEntry

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import grpc

ROW = np.array([[1.0, 2.0]])
INDEX = (IndexEntry("m", "1", "READY"), IndexEntry("n", "", "UNAVAILABLE", "unloaded"))
AT_ONCE = RetryPolicy(initial_backoff=0.0)

GETS: dict[str, Any] = {
    "/v2/health/live": None,
    "/v2/health/ready": None,
    "/v2/models/m/ready": None,
    "/v2": {"name": "foreign", "version": "9", "extensions": None},
    "/v2/models/m": {"name": "m", "platform": None, "versions": None, "inputs": [], "outputs": None},
    "/v2/models/stats": {"model_stats": [{"name": "m", "version": "1", "inference_count": 3, "response_stats": {}}]},
}


class Foreign(BaseHTTPRequestHandler):
    """A v2 server in the manner of MLServer and Triton: no binary data, nulls, empty bodies, 400 for "not ready"."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path in GETS:
            self._answer(200, GETS[self.path])
        elif self.path.endswith("/ready"):
            self._answer(400, None)
        else:
            self._answer(404, {"error": "no such thing"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if "inference-header-content-length" in self.headers:
            self._answer(422, {"detail": [{"msg": "JSON decode error"}]})
            return
        message = json.loads(body)
        if self.path == "/v2/models/m/infer":
            [tensor] = message["inputs"]
            output = {"name": "y", "datatype": "FP64", "shape": [2], "data": tensor["data"], "parameters": None}
            self._answer(200, {"model_name": "m", "model_version": None, "outputs": [output]})
        elif self.path == "/v2/repository/index":
            models: list[dict[str, Any]] = [{"name": "m", "version": "1", "state": "READY"}]
            if not message["ready"]:
                models.append({"name": "n", "version": None, "state": "UNAVAILABLE", "reason": "unloaded"})
            self._answer(200, models)
        elif self.path == "/v2/repository/models/m/load":
            assert message == {"parameters": {"config": "{}", "file:1/model": "AAE="}}
            self._answer(200, None)
        elif self.path == "/v2/repository/models/m/unload":
            self._answer(200, None)
        else:
            self._answer(404, {"error": "no such model"})

    def _answer(self, status: int, document: Any) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def foreign() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_of_json_alone(face: Any, foreign: str) -> None:
    """Asked in JSON it is understood; bytes it refuses in a form of its own, which is shown."""
    client = face(foreign, binary=False)
    result = client.infer("m", {"x": ROW})
    assert (result.outputs["y"].tolist(), result.model_version) == ([1.0, 2.0], "")
    with pytest.raises(InvalidRequest, match="JSON decode error"):
        face(foreign).infer("m", {"x": ROW})


def test_what_a_foreign_server_says_of_itself(face: Any, foreign: str) -> None:
    """Empty bodies, nulls and unknown members are taken as what they mean."""
    client = face(foreign)
    assert (client.server_live(), client.server_ready(), client.model_ready("m")) == (True, True, True)
    assert client.model_ready("loading") is False
    assert client.server_metadata().name == "foreign"
    assert client.model_metadata("m").inputs == ()
    assert client.statistics()[0].inference_count == 3
    with pytest.raises(NotFound, match="no such thing"):
        client.models()


def test_a_repository_over_http(face: Any, foreign: str) -> None:
    """Index, load with a file, unload."""
    client = face(foreign)
    assert client.repository_index() == INDEX
    assert client.repository_index(ready=True) == INDEX[:1]
    client.load_model("m", {"config": "{}", "file:1/model": b"\x00\x01"})
    client.unload_model("m")
    with pytest.raises(NotFound, match="no such model"):
        client.load_model("none")


def load(data: bytes, context: Any) -> bytes:
    request = pb.RepositoryModelLoadRequest.FromString(data)
    if request.model_name != "m":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it is broken")
    assert request.parameters["config"].string_param == "{}"
    assert request.parameters["file:1/model"].bytes_param == b"\x00\x01"
    return b""


def unload(data: bytes, context: Any) -> bytes:
    assert pb.RepositoryModelUnloadRequest.FromString(data).model_name == "m"
    return b""


def index(data: bytes, context: Any) -> bytes:
    only = pb.RepositoryIndexRequest.FromString(data).ready
    found = INDEX[:1] if only else INDEX
    models = [
        pb.RepositoryIndexResponse.ModelIndex(name=m.name, version=m.version, state=m.state, reason=m.reason)
        for m in found
    ]
    return pb.RepositoryIndexResponse(models=models).SerializeToString()


Refusals = Callable[[Any], None]


@pytest.fixture
def grpc_server() -> Iterator[tuple[str, list[Refusals]]]:
    """A server of gRPC's own library, and what it does with the next inferences."""
    refusals: list[Refusals] = []

    def infer(data: bytes, context: Any) -> bytes:
        if refusals:
            refusals.pop(0)(context)
        return pb.ModelInferResponse(model_name="m").SerializeToString()

    methods = {
        "ModelInfer": infer,
        "RepositoryIndex": index,
        "RepositoryModelLoad": load,
        "RepositoryModelUnload": unload,
    }
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"grpc://127.0.0.1:{port}", refusals
        server.stop(0).wait()


def test_a_repository_over_grpc(face: Any, grpc_server: tuple[str, list[Refusals]]) -> None:
    """In Triton's dialect."""
    client = face(grpc_server[0])
    assert client.repository_index() == INDEX
    assert client.repository_index(ready=True) == INDEX[:1]
    client.load_model("m", {"config": "{}", "file:1/model": b"\x00\x01"})
    client.unload_model("m")
    with pytest.raises(ModelLoadFailed, match="it is broken"):
        client.load_model("none")


def aborting(code: Any, trailers: tuple[tuple[str, Any], ...] = ()) -> Refusals:
    def abort(context: Any) -> None:
        context.set_trailing_metadata(trailers)
        context.abort(code, "no")

    return abort


def retry_info(seconds: int, nanos: int) -> bytes:
    """A google.rpc.Status with a RetryInfo, behind a detail of another kind."""
    delay = Duration(seconds=seconds, nanos=nanos).SerializeToString()
    info = AnyMessage(
        type_url="type.googleapis.com/google.rpc.RetryInfo", value=length_delimited(1, len(delay)) + delay
    )
    other = AnyMessage(type_url="type.googleapis.com/google.rpc.DebugInfo", value=b"\xff")
    details = [detail.SerializeToString() for detail in (other, info)]
    return b"".join(length_delimited(3, len(detail)) + detail for detail in details)


DETAILS = "grpc-status-details-bin"
CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "trailers", "kind", "retry_after"),
    [
        pytest.param(CODE.UNAVAILABLE, (("grpc-retry-pushback-ms", "1500"),), Unavailable, 1.5, id="pushback"),
        pytest.param(CODE.UNAVAILABLE, (("grpc-retry-pushback-ms", "-1"),), Unavailable, float("inf"), id="never"),
        pytest.param(CODE.UNAVAILABLE, ((DETAILS, retry_info(2, 500_000_000)),), Unavailable, 2.5, id="retry-info"),
        pytest.param(CODE.UNAVAILABLE, ((DETAILS, b"\xff\xff"),), Unavailable, None, id="broken-details"),
        pytest.param(CODE.RESOURCE_EXHAUSTED, ((DETAILS, retry_info(1, 0)),), QuotaExceeded, 1.0, id="a-quota"),
        pytest.param(CODE.RESOURCE_EXHAUSTED, (), OutOfMemory, None, id="out-of-memory"),
    ],
)
def test_when_to_come_back_over_grpc(
    face: Any,
    grpc_server: tuple[str, list[Refusals]],
    code: Any,
    trailers: Any,
    kind: type[Exception],
    retry_after: Any,
) -> None:
    """As gRPC's own retries and Google's error model say it."""
    url, refusals = grpc_server
    refusals.append(aborting(code, trailers))
    with pytest.raises(kind, match=r"^no$") as caught:
        face(url, retries=RetryPolicy(max_attempts=1)).infer("m", {"x": ROW})
    assert type(caught.value) is kind
    assert getattr(caught.value, "retry_after", None) == retry_after


def test_a_refusal_for_a_while_is_asked_again_over_grpc(face: Any, grpc_server: tuple[str, list[Refusals]]) -> None:
    """Unless the server forbids it."""
    url, refusals = grpc_server
    refusals += [aborting(CODE.UNAVAILABLE), aborting(CODE.UNAVAILABLE, (("grpc-retry-pushback-ms", "1"),))]
    assert face(url, retries=AT_ONCE).infer("m", {"x": ROW}).model_name == "m"
    refusals.append(aborting(CODE.UNAVAILABLE, (("grpc-retry-pushback-ms", "-1"),)))
    with pytest.raises(Unavailable):
        face(url, retries=AT_ONCE).infer("m", {"x": ROW})
