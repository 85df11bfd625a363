"""The HTTP client against a real listener."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from tidegate.client import HttpClient
from tidegate.client.answers import ServerUnreachable
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import DeadlineExceeded, InternalError, InvalidRequest, NotFound, Unavailable
from tidegate.protocol.messages import InferRequest, RequestedOutput
from tidegate.protocol.tensors import Tensor
from tidegate.testing.backends import IdentityBackend, identity_route
from tidegate.testing.served import PATIENCE, Served, served

NAME = "a model with ümlaut"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(identity_route(NAME, Datatype.FP32, Datatype.BYTES), identity_route("half", Datatype.FP16)) as server:
        yield server


@pytest.fixture(params=[False, True], ids=["json", "binary"])
def client(request: pytest.FixtureRequest, server: Served) -> Iterator[HttpClient]:
    with HttpClient(server.url, binary=request.param) as client:
        yield client


def asked(**changes: object) -> InferRequest:
    inputs = (
        Tensor.from_numpy("fp32", np.array([[0.5, -1.0]], np.float32)),
        Tensor.from_numpy("bytes", np.array([["ü"]], dtype=object)),
    )
    return InferRequest(**{"model_name": NAME, "inputs": inputs, "id": "q1", **changes})  # type: ignore[arg-type]


def test_an_answer_comes_back_whole(client: HttpClient) -> None:
    """Values, datatypes, id, and a name that must be escaped in a path."""
    answer = client.infer(asked())
    assert (answer.model_name, answer.id) == (NAME, "q1")
    outputs = {tensor.name: tensor for tensor in answer.outputs}
    assert outputs["fp32"].numpy().tolist() == [[0.5, -1.0]]
    assert outputs["bytes"].numpy().tolist() == [["ü".encode()]]


def test_named_outputs_alone_come_back(client: HttpClient) -> None:
    """Over JSON and over bytes alike."""
    answer = client.infer(asked(outputs=(RequestedOutput("bytes"),)))
    assert [tensor.name for tensor in answer.outputs] == ["bytes"]


def test_the_metadata_is_the_model_s_signature(client: HttpClient) -> None:
    """With and without a version."""
    for version in ("", "1"):
        metadata = client.model_metadata(NAME, version)
        assert [(spec.name, spec.datatype, spec.shape) for spec in metadata.inputs] == [
            ("fp32", Datatype.FP32, (-1, -1)),
            ("bytes", Datatype.BYTES, (-1, -1)),
        ]


def test_the_models_are_listed(client: HttpClient) -> None:
    """By name."""
    assert sorted(client.models()) == sorted([NAME, "half"])


def test_errors_come_back_with_the_server_s_words(client: HttpClient) -> None:
    """As the error of their status."""
    with pytest.raises(NotFound, match="model 'none' is not found"):
        client.infer(asked(model_name="none"))
    with pytest.raises(NotFound, match=f"model '{NAME}' has no version '7'; it has 1"):
        client.infer(asked(model_version="7"))
    with pytest.raises(InvalidRequest, match="needs input 'bytes', which the request does not have"):
        client.infer(asked(inputs=asked().inputs[:1]))


def test_retry_after_comes_back(server: Served, client: HttpClient) -> None:
    """In seconds."""
    backend = server.plane.routes.resolve("half").backend
    assert isinstance(backend, IdentityBackend)
    backend.error = Unavailable("come back", retry_after=7.0)
    try:
        with HttpClient(server.url, binary=True) as binary, pytest.raises(Unavailable, match="come back") as caught:
            binary.infer(InferRequest("half", (Tensor.from_numpy("fp16", np.zeros((1, 1), np.float16)),)))
        assert caught.value.retry_after == 7.0
    finally:
        backend.error = None


def test_nobody_listens() -> None:
    """The address is named."""
    url = "http://127.0.0.1:1"
    with HttpClient(url) as client, pytest.raises(ServerUnreachable, match=f"^{url} is not reachable"):
        client.infer(asked())


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8080", "http://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequest, match="is not an address"), HttpClient(url) as client:
        client.infer(asked())


def test_a_server_that_says_nothing_ends_with_the_deadline() -> None:
    """In the client's own words: there are none of the server's."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            HttpClient(url, grace=0.0) as client,
            pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.05 s"),
        ):
            client.infer(asked(), timeout=0.05)


def test_a_model_that_does_not_answer_ends_with_the_server_s_word(server: Served) -> None:
    """The client gives the server time to say so, here for ever."""
    backend = server.plane.routes.resolve(NAME).backend
    assert isinstance(backend, IdentityBackend)
    backend.gate = asyncio.Event()
    try:
        with (
            HttpClient(server.url, grace=PATIENCE) as client,
            pytest.raises(DeadlineExceeded, match="did not answer before"),
        ):
            client.infer(asked(), timeout=0.05)
    finally:
        backend.gate = None


def test_an_answer_that_is_not_v2_is_shown_by_its_status() -> None:
    """The page of a proxy in between."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def answer() -> None:
            connection, _ = proxy.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 508 Loop Detected\r\ncontent-length: 6\r\n\r\n<html>")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        with HttpClient(url) as client, pytest.raises(InternalError, match="the server answered 508 Loop Detected"):
            client.model_metadata("m")
        thread.join()
