"""Third-party clients against the whole server: `tidegate serve` with an identity model of every datatype."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.testing.process import Serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gevent's and grpc's own, at import
    import tritonclient.grpc
    import tritonclient.grpc.aio
    import tritonclient.http
    import tritonclient.http.aio

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

EVERY = [pytest.param(kind, id=kind.value) for kind in Datatype]
IN_JSON = [pytest.param(kind, id=kind.value) for kind in Datatype if not kind.raw_only]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One identity model per datatype, named after it, and one with two inputs."""
    models = tmp_path_factory.mktemp("models")
    for kind in Datatype:
        write_model(models / f"{kind.value}.fake.json", x=kind)
    write_model(models / "pair.fake.json", a=Datatype.FP32, b=Datatype.INT64)
    with Serving.start(models) as serving:
        serving.until("ready")
        yield serving


def write_model(path: Path, **inputs: Datatype) -> None:
    specs = [{"name": name, "datatype": kind.value, "shape": [-1, -1]} for name, kind in inputs.items()]
    path.write_text(json.dumps({"inputs": specs}))


def values(kind: Datatype) -> npt.NDArray[Any]:
    """Six elements of a datatype with its extremes among them."""
    if kind is Datatype.BYTES:
        return np.array([[b"", b"text", "ünïcode".encode()], [b"a,b", b'"', b"\\"]], dtype=np.object_)
    if kind is Datatype.BOOL:
        return np.array([[True, False, True], [False, False, True]])
    if kind is Datatype.BF16:
        return np.array([[0, 1.5, -2], [3.0e38, 1.0e-38, np.inf]], dtype=ml_dtypes.bfloat16)
    if kind.is_float:
        info = np.finfo(kind.stored.name)
        return np.array([[0, 1.5, -2], [info.max, info.tiny, info.min]], dtype=kind.stored)
    whole = np.iinfo(kind.stored.name)
    return np.array([[0, 1, 2], [whole.max, whole.min, 3]], dtype=kind.stored)


@pytest.mark.parametrize("kind", EVERY)
def test_http_binary_both_ways(server: Serving, kind: Datatype) -> None:
    """tritonclient's default form over HTTP: binary inputs, binary outputs."""
    with tritonclient.http.InferenceServerClient(server.http) as client:
        tensor = tritonclient.http.InferInput("x", [2, 3], kind.value)
        tensor.set_data_from_numpy(values(kind), binary_data=True)
        answer = client.infer(kind.value, [tensor], request_id="7")
    np.testing.assert_array_equal(answer.as_numpy("x"), values(kind))
    assert answer.get_response()["id"] == "7"


@pytest.mark.parametrize(("binary_in", "binary_out"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("kind", IN_JSON)
def test_http_json_in_either_direction(server: Serving, kind: Datatype, binary_in: bool, binary_out: bool) -> None:
    """Each direction is JSON or binary on its own."""
    with tritonclient.http.InferenceServerClient(server.http) as client:
        tensor = tritonclient.http.InferInput("x", [2, 3], kind.value)
        tensor.set_data_from_numpy(values(kind), binary_data=binary_in)
        wanted = tritonclient.http.InferRequestedOutput("x", binary_data=binary_out)
        answer = client.infer(kind.value, [tensor], outputs=[wanted])
    found = answer.as_numpy("x")
    if kind is Datatype.BYTES:
        found = np.array([x.encode() if isinstance(x, str) else x for x in found.reshape(-1)], object).reshape(2, 3)
    np.testing.assert_array_equal(found, values(kind))


@pytest.mark.parametrize("kind", EVERY)
def test_grpc_raw(server: Serving, kind: Datatype) -> None:
    """tritonclient's form over gRPC: raw contents both ways."""
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        tensor = tritonclient.grpc.InferInput("x", [2, 3], kind.value)
        tensor.set_data_from_numpy(values(kind))
        answer = client.infer(kind.value, [tensor], request_id="7")
    np.testing.assert_array_equal(answer.as_numpy("x"), values(kind))
    assert answer.get_response().id == "7"


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_the_aio_clients(server: Serving, transport: str) -> None:
    """tritonclient's asyncio clients, fifty requests at once, each with its own data."""
    module: Any = tritonclient.http.aio if transport == "http" else tritonclient.grpc.aio
    address = server.http if transport == "http" else server.grpc

    async def main() -> None:
        async with module.InferenceServerClient(address) as client:
            assert await client.is_server_ready()

            async def one(number: int) -> None:
                data = np.full((1, 4), number, dtype=np.float32)
                tensor = module.InferInput("x", [1, 4], "FP32")
                tensor.set_data_from_numpy(data)
                answer = await client.infer("FP32", [tensor])
                np.testing.assert_array_equal(answer.as_numpy("x"), data)

            await asyncio.gather(*map(one, range(50)))

    asyncio.run(main())


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_requested_outputs(server: Serving, transport: str) -> None:
    """Only the outputs that were asked for come back."""
    module: Any = tritonclient.http if transport == "http" else tritonclient.grpc
    inputs = []
    for name, kind in (("a", "FP32"), ("b", "INT64")):
        tensor = module.InferInput(name, [2, 3], kind)
        tensor.set_data_from_numpy(values(Datatype(kind)))
        inputs.append(tensor)
    with module.InferenceServerClient(server.http if transport == "http" else server.grpc) as client:
        answer = client.infer("pair", inputs, outputs=[module.InferRequestedOutput("b")])
    assert answer.as_numpy("a") is None
    np.testing.assert_array_equal(answer.as_numpy("b"), values(Datatype.INT64))


def test_metadata_and_health_over_http(server: Serving) -> None:
    """The calls that tools make before they infer."""
    with tritonclient.http.InferenceServerClient(server.http) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("BF16")
        assert not client.is_model_ready("absent")
        assert client.get_server_metadata()["name"] == "tidegate"
        metadata = client.get_model_metadata("pair")
    assert metadata["name"] == "pair"
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [-1, -1]},
        {"name": "b", "datatype": "INT64", "shape": [-1, -1]},
    ]


def test_metadata_and_health_over_grpc(server: Serving) -> None:
    """The same over gRPC, with the same answers."""
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("BF16", "1")
        assert client.get_server_metadata().name == "tidegate"
        metadata = client.get_model_metadata("pair", as_json=True)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["a", "b"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression_over_http(server: Serving, algorithm: str) -> None:
    """Requests and responses go compressed when the client asks for it."""
    data = np.zeros((64, 256), dtype=np.float32)
    with tritonclient.http.InferenceServerClient(server.http) as client:
        tensor = tritonclient.http.InferInput("x", [64, 256], "FP32")
        tensor.set_data_from_numpy(data)
        answer = client.infer(
            "FP32", [tensor], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
        )
    np.testing.assert_array_equal(answer.as_numpy("x"), data)


def test_curl(server: Serving) -> None:
    """curl with no header of its own: its form content type means nothing."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    body = '{"id": "c", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "INT32", "data": [1, 2]}]}'
    url = f"http://{server.http}/v2/models/INT32/infer"
    output = subprocess.run([curl, "-s", "-d", body, url], capture_output=True, check=True, timeout=60).stdout
    assert json.loads(output) == {
        "model_name": "INT32",
        "model_version": "1",
        "id": "c",
        "outputs": [{"name": "x", "shape": [1, 2], "datatype": "INT32", "data": [1, 2]}],
    }
