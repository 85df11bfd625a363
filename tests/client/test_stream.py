"""Streams of answers: the same for both faces and both protocols, from a real server and from scripted ones."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidegate.client import Client, ConnectionLost, RetryPolicy
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InvalidRequest,
    InvalidResponse,
    InvalidTensor,
    NotFound,
    RequestCancelled,
    SequenceLost,
    Unavailable,
    Unsupported,
)
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.testing.process import PATIENCE, Serving

WORDS: dict[str, Any] = {"text": [b"once", b"upon", "a tïme"]}
MANY = {"responses": 1_000_000}


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model ``words`` tells how many responses each stream had."""
    return tmp_path_factory.mktemp("tally") / "tally"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tally: Path) -> Iterator[Serving]:
    """Models that stream texts, numbers of two free sizes, and FP16; and one that does not stream."""
    models = tmp_path_factory.mktemp("models")

    def spec(name: str, kind: str, *shape: int, **more: Any) -> None:
        inputs = [{"name": "text" if kind == "BYTES" else "x", "datatype": kind, "shape": shape}]
        (models / f"{name}.fake.json").write_text(json.dumps({"inputs": inputs, **more}))

    spec("words", "BYTES", -1, decoupled=True, tally=str(tally))
    spec("numbers", "FP32", -1, -1, decoupled=True)
    spec("half", "FP16", -1, decoupled=True)
    spec("one", "INT64", -1, 2)
    with Serving.start(models) as serving:
        serving.until("ready")
        yield serving


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, server: Serving) -> str:
    return f"grpc://{server.grpc}" if request.param == "grpc" else server.url


@pytest.fixture
def client(url: str, face: Any) -> Any:
    return face(url, grace=PATIENCE, retries=RetryPolicy(max_attempts=1))


def texts(results: Any) -> list[bytes]:
    return [result.outputs["text"].item() for result in results]


@pytest.mark.e2e
def test_answers_come_one_by_one(client: Any) -> None:
    """With the model, its version and the request's id; of a model that does not stream it is one."""
    results = list(client.stream("words", WORDS, request_id="7"))
    assert texts(results) == [b"once", b"upon", "a tïme".encode()]
    assert {(each.model_name, each.model_version, each.id) for each in results} == {("words", "1", "7")}
    assert all(dict(each.parameters) == {} for each in results)
    [result] = client.stream("one", {"x": np.array([[1, 2], [3, 4]])})
    assert result.outputs["x"].tolist() == [[1, 2], [3, 4]]
    rows = np.array([[1.5, 0.1], [-2, np.finfo(np.float32).max]], np.float32)
    results = list(client.stream("numbers", {"x": rows}, version="1", priority=1, tenant="a"))
    assert [each.outputs["x"].tolist() for each in results] == [[row] for row in rows.tolist()]


@pytest.mark.e2e
def test_an_answer_is_there_before_the_next_is_made(client: Any, tmp_path: Path) -> None:
    """The model waits, and the first is read."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    results = client.stream("words", WORDS, parameters={"gate": str(gate), "after": 1})
    assert texts([next(results)]) == [b"once"]
    with gate.open("wb"):
        pass
    assert texts(results) == [b"upon", "a tïme".encode()]


@pytest.mark.e2e
def test_closing_the_iterator_ends_the_model_s_work(client: Any, tally: Path) -> None:
    """Long before it has made all; the client goes on."""
    before = len(tally.read_text().splitlines()) if tally.exists() else 0
    results = client.stream("words", WORDS, parameters=MANY)
    assert texts([next(results)]) == [b"once"]
    results.close()
    deadline = time.monotonic() + PATIENCE
    while len(lines := tally.read_text().splitlines() if tally.exists() else []) <= before:
        assert time.monotonic() < deadline
    assert int(lines[-1]) < MANY["responses"]
    assert texts(client.stream("words", {"text": [b"on"]})) == [b"on"]


@pytest.mark.e2e
@pytest.mark.parametrize("after", [0, 2])
def test_an_error_is_raised_where_it_comes(client: Any, after: int) -> None:
    """Before the first answer or after some: of the class that it has everywhere, with the server's words."""
    results = client.stream("words", WORDS, parameters={"raise": "too hot", "after": after})
    assert len([next(results) for _ in range(after)]) == after
    with pytest.raises(ExecutionFailed, match="too hot"):
        next(results)
    results = client.stream("words", WORDS, parameters={"slow": 1, "after": after}, timeout=0.3)
    assert len([next(results) for _ in range(after)]) == after
    with pytest.raises(DeadlineExceeded, match="the request's deadline passed while"):
        next(results)


@pytest.mark.e2e
def test_what_cannot_be_asked_is_refused(client: Any, url: str) -> None:
    """By the server or, where only gRPC carries it, by the client, which says so."""
    with pytest.raises(NotFound, match="model 'none' is not found"):
        list(client.stream("none", WORDS))
    with pytest.raises(InvalidTensor if "http" in url else InvalidRequest, match="input 'y'"):
        list(client.stream("words", {"y": [b"x"]}))
    with pytest.raises(InvalidRequest, match="tenant is 'ü'"):
        list(client.stream("words", WORDS, tenant="ü"))
    halves = {"x": np.array([1.5], np.float16)}
    if "grpc" in url:
        assert [each.outputs["x"].tolist() for each in client.stream("half", halves)] == [[1.5]]
        assert texts(client.stream("words", WORDS, outputs=["text"]))[0] == b"once"
        return
    with pytest.raises(Unsupported, match=r"generate_stream cannot carry the input: 'x' is FP16.*; ask over gRPC"):
        list(client.stream("half", halves))
    with pytest.raises(Unsupported, match="no choice of outputs; ask over gRPC"):
        list(client.stream("words", WORDS, outputs=["text"]))


@pytest.mark.e2e
def test_closing_the_client_ends_its_streams(url: str, tmp_path: Path) -> None:
    """One that another thread waits in, and one that nobody reads at the moment."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    client = Client(url)
    idle, waiting = client.stream("words", WORDS, parameters=MANY), client.stream(
        "numbers", {"x": np.ones((1, 1), np.float32)}, parameters={"gate": str(gate)})  # fmt: skip
    assert texts([next(idle)]) == [b"once"]
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(next, waiting)
        with gate.open("wb"):  # which waits for the model to read: the call is there
            client.close()
            with pytest.raises(RequestCancelled, match="the client was closed before the answer came"):
                asked.result()
    with pytest.raises(RuntimeError, match="the client is closed"):
        next(idle)
    idle.close()


X = TensorSpec("x", Datatype.FP32, (-1,))
SIGNATURE = ModelMetadata("m", "p", (X,), (X,))
ROW = {"x": np.ones(1, np.float32)}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n"


def events(*documents: bytes) -> bytes:
    body = b"".join(b"data: %b\n\n" % document for document in documents)
    return HEAD.replace(b"1000", b"%d" % len(body)) + body


@pytest.mark.parametrize(
    ("document", "kind", "message"),
    [
        pytest.param(b'{"error": "no"}', ExecutionFailed, "^no$", id="a-server-without-status"),
        pytest.param(b'{"error": "no", "status": 409}', SequenceLost, "^no$", id="ours"),
        pytest.param(b'{"x": "no"}', InvalidResponse, "output 'x'", id="another-type"),
        pytest.param(b'{"x": [[1]]}', InvalidResponse, "output 'x': nests", id="nested"),
        pytest.param(b"[", InvalidResponse, "the server's answer is not valid", id="no-json"),
        pytest.param(b"1" * 3000, InvalidResponse, "an event has more than 2000 bytes", id="too-large"),
    ],
)
def test_a_foreign_server_s_events(
    face: Any, scripted: Any, document: bytes, kind: type[Exception], message: str
) -> None:
    """What came before is given; asking again would repeat it."""
    server = scripted(events(b'{"x": 1, "model_name": "m"}', document))
    results = face(server.url, limits=Limits(max_inflated_bytes=2000)).stream("m", ROW, signature=SIGNATURE)
    assert next(results).outputs["x"].tolist() == [1.0]
    with pytest.raises(kind, match=message):
        next(results)
    assert len(server.requests) == 1


def test_a_stream_that_breaks_is_lost(face: Any, scripted: Any) -> None:
    """After its first answer it is not asked for again; before it is."""
    server = scripted(None, HEAD + b'data: {"x": [1, 2]}\n\n', None)
    client = face(server.url, retries=RetryPolicy(initial_backoff=0.0))
    results = client.stream("m", ROW, signature=SIGNATURE)
    assert next(results).outputs["x"].tolist() == [1.0, 2.0]
    for connection, _ in server.open:
        with suppress(OSError):  # the first has been closed
            connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionLost):
        next(results)
    assert len(server.requests) == 2


def test_an_answer_that_is_no_stream(face: Any, scripted: Any, answer: Any) -> None:
    """An error by its status; anything else breaks the protocol."""
    client = face(scripted(answer(503, b'{"error": "busy"}'), answer(200)).url, retries=RetryPolicy(max_attempts=1))
    with pytest.raises(Unavailable, match=r"^busy$"):
        list(client.stream("m", ROW, signature=SIGNATURE))
    with pytest.raises(InvalidResponse, match="of type 'application/json', expected text/event-stream"):
        list(client.stream("m", ROW, signature=SIGNATURE))
