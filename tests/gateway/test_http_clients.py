"""Real clients against the listener: Triton's own, and httpx as any HTTP client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.testing.backends import identity_route
from tidegate.testing.served import Served, served

VALUES: dict[Datatype, npt.NDArray[Any]] = {
    Datatype.BOOL: np.array([[True, False]]),
    Datatype.UINT8: np.array([[0, 255]], np.uint8),
    Datatype.UINT16: np.array([[0, 65535]], np.uint16),
    Datatype.UINT32: np.array([[0, 2**32 - 1]], np.uint32),
    Datatype.UINT64: np.array([[0, 2**64 - 1]], np.uint64),
    Datatype.INT8: np.array([[-128, 127]], np.int8),
    Datatype.INT16: np.array([[-(2**15), 2**15 - 1]], np.int16),
    Datatype.INT32: np.array([[-(2**31), 2**31 - 1]], np.int32),
    Datatype.INT64: np.array([[-(2**63), 2**63 - 1]], np.int64),
    Datatype.FP16: np.array([[0.1, -65504]], np.float16),
    Datatype.BF16: np.array([[0.5, -2.0]], ml_dtypes.bfloat16),
    Datatype.FP32: np.array([[0.1, -3.4e38]], np.float32),
    Datatype.FP64: np.array([[0.1, -1.7e308]], np.float64),
    Datatype.BYTES: np.array([["é".encode(), b""]], np.object_),
}
BOTH_FORMS = [kind for kind in Datatype if not kind.raw_only]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """One identity model per datatype, called as it in lower case, and ``two`` with two inputs."""
    routes = [identity_route(kind.value.lower(), kind) for kind in Datatype]
    two = identity_route("two", Datatype.FP32, Datatype.BYTES)
    with served(*routes, two, http=HttpSettings(min_compress_bytes=1)) as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[Any]:
    """Triton's client, connected."""
    connected = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    yield connected
    connected.close()


def an_input(kind: Datatype, binary: bool) -> Any:
    given = triton.InferInput(kind.value.lower(), VALUES[kind].shape, kind.value)
    given.set_data_from_numpy(VALUES[kind], binary_data=binary)
    return given


def infer(client: Any, kind: Datatype, *, sent: bool, wanted: bool, **more: Any) -> npt.NDArray[Any]:
    name = kind.value.lower()
    outputs = [triton.InferRequestedOutput(name, binary_data=wanted)]
    array: npt.NDArray[Any] = client.infer(name, [an_input(kind, sent)], outputs=outputs, **more).as_numpy(name)
    return array


@pytest.mark.parametrize("kind", list(Datatype))
def test_triton_binary_both_ways(client: Any, kind: Datatype) -> None:
    """Every datatype goes there and back as raw bytes."""
    np.testing.assert_array_equal(infer(client, kind, sent=True, wanted=True), VALUES[kind])


@pytest.mark.parametrize("kind", BOTH_FORMS)
@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        pytest.param(False, False, id="json-both-ways"),
        pytest.param(True, False, id="binary-in-json-out"),
        pytest.param(False, True, id="json-in-binary-out"),
    ],
)
def test_triton_json(client: Any, kind: Datatype, sent: bool, wanted: bool) -> None:
    """Every datatype that JSON can carry goes there and back in it, alone or mixed with raw bytes."""
    answer = infer(client, kind, sent=sent, wanted=wanted)
    expected = VALUES[kind]
    if kind is Datatype.BYTES and not wanted:
        answer = np.array([[text.encode() for text in answer.reshape(-1)]], np.object_)
    np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize("request_encoding", ["gzip", "deflate", None])
@pytest.mark.parametrize("response_encoding", ["gzip", "deflate", None])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_triton_compression(
    client: Any, request_encoding: str | None, response_encoding: str | None, binary: bool
) -> None:
    """Triton's client compresses either way, in either form."""
    answer = infer(
        client,
        Datatype.FP32,
        sent=binary,
        wanted=binary,
        request_compression_algorithm=request_encoding,
        response_compression_algorithm=response_encoding,
    )
    np.testing.assert_array_equal(answer, VALUES[Datatype.FP32])


def test_triton_takes_all_outputs_by_default(client: Any) -> None:
    """Who names no output gets all, and the request's id comes back."""
    inputs = [an_input(Datatype.FP32, True), an_input(Datatype.BYTES, False)]
    answer = client.infer("two", inputs, request_id="seven")
    assert answer.get_response()["id"] == "seven"
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["fp32", "bytes"]
    np.testing.assert_array_equal(answer.as_numpy("fp32"), VALUES[Datatype.FP32])


def test_triton_takes_one_output(client: Any) -> None:
    """Who names one output gets that one."""
    inputs = [an_input(Datatype.FP32, True), an_input(Datatype.BYTES, True)]
    answer = client.infer("two", inputs, outputs=[triton.InferRequestedOutput("bytes")])
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["bytes"]


def test_triton_names_a_version(client: Any) -> None:
    """A version in the path is taken, and stands in the answer."""
    answer = client.infer("fp32", [an_input(Datatype.FP32, True)], model_version="1")
    assert answer.get_response()["model_version"] == "1"


def test_triton_reads_health_and_metadata(client: Any) -> None:
    """Liveness, readiness and metadata, as Triton's client asks for them."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fp32")
    assert client.is_model_ready("fp32", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "tidegate"
    assert client.get_model_metadata("fp32") == {
        "name": "fp32",
        "versions": ["1"],
        "platform": "tidegate_fake",
        "inputs": [{"name": "fp32", "datatype": "FP32", "shape": [-1, -1]}],
        "outputs": [{"name": "fp32", "datatype": "FP32", "shape": [-1, -1]}],
    }


def test_triton_shows_our_errors(client: Any) -> None:
    """The text of an error reaches the one who called."""
    given = triton.InferInput("fp32", [1, 2], "INT8").set_data_from_numpy(VALUES[Datatype.INT8])
    with pytest.raises(InferenceServerException, match=r"input 'fp32': datatype is INT8, the model expects FP32"):
        client.infer("fp32", [given])
    with pytest.raises(InferenceServerException, match=r"model 'other' is not found"):
        client.infer("other", [an_input(Datatype.FP32, True)])


def test_triton_asks_asynchronously(client: Any) -> None:
    """Several requests in flight on one client each get their own answer."""
    pending = [client.async_infer("fp32", [an_input(Datatype.FP32, True)], request_id=str(n)) for n in range(4)]
    assert [each.get_result().get_response()["id"] for each in pending] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain", None],
)
def test_the_content_type_decides_nothing(server: Served, content_type: str | None) -> None:
    """JSON is read whatever it is called; curl -d calls it a form."""
    body = {"inputs": [{"name": "fp32", "datatype": "FP32", "shape": [1, 2], "data": [[1, 2]]}], "id": "a"}
    headers = {"Content-Type": content_type} if content_type else {}
    answer = httpx.post(f"{server.url}/v2/models/fp32/infer", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "fp32",
        "model_version": "1",
        "id": "a",
        "outputs": [{"name": "fp32", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}],
    }


def test_a_raw_request_is_one_tensor(server: Served) -> None:
    """With a JSON length of 0 the whole body is the model's one input, and the answer is raw too."""
    answer = httpx.post(
        f"{server.url}/v2/models/fp32/infer",
        content=np.array([1, 2, 3], "<f4").tobytes(),
        headers={"Inference-Header-Content-Length": "0"},
    )
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert np.frombuffer(answer.content[length:], "<f4").tolist() == [1, 2, 3]
    assert json.loads(answer.content[:length])["outputs"][0]["shape"] == [1, 3]


@pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
@pytest.mark.parametrize(
    "body",
    [{"instances": [[1, 2]]}, {"instances": [{"fp32": [1, 2]}]}, {"inputs": [[1, 2]]}, {"inputs": {"fp32": [[1, 2]]}}],
    ids=["rows", "named-rows", "columns", "named-columns"],
)
def test_v1_predicts(server: Served, colon: str, body: dict[str, Any]) -> None:
    """v1's forms of a request all give the predictions."""
    answer = httpx.post(f"{server.url}/v1/models/fp32{colon}predict", json=body)
    assert answer.json() == {"predictions": [[1.0, 2.0]]}
    assert answer.headers["content-type"] == "application/json"
