"""What a client is, whichever face and protocol: the same calls to a real `tidegate serve` mean the same everywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from tidegate.client import Client
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InvalidRequest,
    NotFound,
    OutOfMemory,
    RequestCancelled,
    Unsupported,
)
from tidegate.testing.process import Serving

pytestmark = pytest.mark.e2e

WAYS = ("http", "json", "grpc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """An identity model per datatype, one with two inputs, and one with memory for three rows."""
    models = tmp_path_factory.mktemp("models")
    specs: dict[str, dict[str, Any]] = {kind.value: {"inputs": [spec("x", kind)]} for kind in Datatype}
    specs["pair"] = {"inputs": [spec("a", Datatype.FP32), spec("b", Datatype.INT64)]}
    specs["small"] = {"inputs": [spec("x", Datatype.FP32)], "memory_rows": 0}
    for name, content in specs.items():
        (models / f"{name}.fake.json").write_text(json.dumps(content))
    with Serving.start(models) as serving:
        serving.until("ready")
        yield serving


def spec(name: str, kind: Datatype) -> dict[str, Any]:
    return {"name": name, "datatype": kind.value, "shape": [-1, -1]}


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest, server: Serving, face: Any) -> Any:
    url = f"grpc://{server.grpc}" if request.param == "grpc" else server.url
    return face(url, binary=request.param != "json")


@pytest.fixture(params=["http", "grpc"])
def patient(request: pytest.FixtureRequest, server: Serving, face: Any) -> Any:
    return face(f"grpc://{server.grpc}" if request.param == "grpc" else server.url, grace=60.0)


def values(kind: Datatype) -> npt.NDArray[Any]:
    """Six elements, the extremes among them."""
    if kind is Datatype.BYTES:
        return np.array([[b"", b"text", "ünïcode".encode()], [b"a,b", b'"', b"\\"]], dtype=object)
    if kind is Datatype.BOOL:
        return np.array([[True, False, True], [False, False, True]])
    if kind is Datatype.BF16:
        return np.array([[0, 1.5, -2], [3.0e38, 1.0e-38, 5]], dtype=ml_dtypes.bfloat16)
    if kind.is_float:
        info = np.finfo(kind.stored.name)
        return np.array([[0, 1.5, -2], [info.max, info.tiny, info.min]], dtype=kind.stored)
    whole = np.iinfo(kind.stored.name)
    return np.array([[0, 1, 2], [whole.max, whole.min, 3]], dtype=kind.stored)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.value) for kind in Datatype])
def test_arrays_come_back_as_they_went(client: Any, request: pytest.FixtureRequest, kind: Datatype) -> None:
    """Every datatype, exactly; what has no JSON form cannot come back as JSON."""
    if kind.raw_only and "json" in request.node.name.split("[")[1].split("-"):
        with pytest.raises(InvalidRequest, match="JSON"):
            client.infer(kind.value, {"x": values(kind)})
        return
    result = client.infer(kind.value, {"x": values(kind)}, request_id="7")
    np.testing.assert_array_equal(result.outputs["x"], values(kind))
    assert (result.model_name, result.model_version, result.id) == (kind.value, "1", "7")


def test_values_become_the_model_s_datatypes(client: Any) -> None:
    """Where its signature is given; else the server says what it expects."""
    inputs = {"a": [[1, 2]], "b": [[3.0]]}
    signature = client.model_metadata("pair")
    result = client.infer("pair", inputs, signature=signature)
    assert [result.outputs[name].dtype.name for name in ("a", "b")] == ["float32", "int64"]
    with pytest.raises(InvalidRequest, match="input 'a': datatype is INT64, the model expects FP32"):
        client.infer("pair", inputs)


def test_wishes_reach_the_server(client: Any) -> None:
    """Outputs, version, parameters, priority and tenant."""
    result = client.infer(
        "pair", {"a": np.ones((1, 1), np.float32), "b": np.ones((1, 1), np.int64)},
        outputs=["b"], version="1", parameters={"repeat": 2}, priority=1, tenant="team a",
    )  # fmt: skip
    assert {name: array.tolist() for name, array in result.outputs.items()} == {"b": [[1, 1]]}
    with pytest.raises(InvalidRequest, match="'priority' is 99"):
        client.infer("FP32", {"x": np.ones((1, 1), np.float32)}, priority=99)
    with pytest.raises(InvalidRequest, match="tenant is 'ü', expected printable ASCII"):
        client.infer("FP32", {"x": np.ones((1, 1), np.float32)}, tenant="ü")


def test_megabytes_pass(client: Any) -> None:
    """More than any window of flow control, both ways."""
    array = np.random.default_rng(0).random((256, 2048), dtype=np.float32)
    np.testing.assert_array_equal(client.infer("FP32", {"x": array}).outputs["x"], array)


@pytest.mark.parametrize(
    ("model", "words", "kind", "message"),
    [
        pytest.param("none", {}, NotFound, "model 'none' is not found", id="no-model"),
        pytest.param("FP32", {"version": "9"}, NotFound, "model 'FP32' has no version '9'; it has 1", id="no-version"),
        pytest.param("FP32", {"parameters": {"raise": "too hot"}}, ExecutionFailed, "too hot", id="the-model-raises"),
        pytest.param("small", {}, OutOfMemory, "no memory for 1 rows", id="out-of-memory"),
        pytest.param("FP32", {"outputs": ["y"]}, InvalidRequest, "'y'", id="no-output"),
    ],
)
def test_an_error_is_the_server_s(
    client: Any, model: str, words: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """The class that the tree has for it, with the server's words."""
    with pytest.raises(kind, match=message) as caught:
        client.infer(model, {"x": np.ones((1, 1), np.float32)}, **words)
    assert type(caught.value) is kind


def test_a_deadline_is_the_server_s_word(patient: Any) -> None:
    """It is told, and has a moment more to say so: here a minute, so that no busy machine takes it away."""
    with pytest.raises(DeadlineExceeded, match="the request's deadline passed while "):
        patient.infer("FP32", {"x": np.ones((1, 1), np.float32)}, parameters={"slow": 2}, timeout=0.1)


def test_what_a_server_and_a_model_say_of_themselves(client: Any) -> None:
    """Health, metadata, statistics."""
    assert client.server_live()
    assert client.server_ready()
    assert client.model_ready("pair")
    assert client.model_ready("pair", "1")
    server = client.server_metadata()
    assert server.name == "tidegate"
    assert "binary_tensor_data" in server.extensions
    metadata = client.model_metadata("pair", "1")
    assert [(spec.name, spec.datatype, spec.shape) for spec in metadata.inputs] == [
        ("a", "FP32", (-1, -1)),
        ("b", "INT64", (-1, -1)),
    ]
    [statistics] = client.statistics("pair")
    assert (statistics.name, statistics.version) == ("pair", "1")
    assert len(client.statistics()) == len(Datatype) + 2
    for call in (client.model_ready, client.model_metadata, client.statistics):
        with pytest.raises(NotFound, match="model 'none' is not found"):
            call("none")


def test_the_models_are_listed(client: Any, request: pytest.FixtureRequest) -> None:
    """Over HTTP, which has a list."""
    if "grpc" in request.node.name:
        with pytest.raises(Unsupported, match="no list of models"):
            client.models()
    else:
        assert sorted(client.models()) == sorted([*Datatype, "pair", "small"])


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_threads_share_a_client(server: Serving, scheme: str) -> None:
    """Each gets its own answer."""
    with Client(f"{scheme}://{server.grpc if scheme == 'grpc' else server.http}") as client:

        def ask(number: int) -> int:
            outputs = client.infer("INT64", {"x": np.array([[number]])}).outputs
            return int(outputs["x"][0, 0])

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(ask, range(100))) == list(range(100))


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_closing_gives_up_what_other_threads_ask(server: Serving, tmp_path: Path, scheme: str) -> None:
    """They read why; afterwards there is no client."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    client = Client(f"{scheme}://{server.grpc if scheme == 'grpc' else server.http}")
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.infer, "UINT8", {"x": np.ones((1, 1), np.uint8)}, parameters={"gate": str(gate)})
        with gate.open("wb"):  # which waits for the model to read: the call is there
            client.close()
            with pytest.raises(RequestCancelled, match="the client was closed before the answer came"):
                asked.result()
    client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.server_live()


def test_an_unused_client_is_closed_quietly() -> None:
    """It has opened nothing."""
    for url in ("http://127.0.0.1:1", "grpc://127.0.0.1:1"):
        with Client(url):
            pass
