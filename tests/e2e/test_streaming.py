"""Streams through the whole server: the model in its worker, Triton's clients, and readers that are slow or leave."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidegate.testing.process import PATIENCE, Serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gevent's and grpc's own, at import
    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.utils import InferenceServerException

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

Start = Callable[..., AbstractContextManager[Serving]]
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
WAIT = 60.0


class Streaming:
    """Triton's client with a stream; ``next`` is what its callback was told next."""

    def __init__(self, address: str) -> None:
        self.client = tritonclient.grpc.InferenceServerClient(address)
        self._told: Queue[tuple[Any, Any]] = Queue()

    def __enter__(self) -> Streaming:
        self.client.start_stream(lambda result, error: self._told.put((result, error)))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_stream()
        self.client.close()

    def ask(self, rows: npt.NDArray[Any] = ROWS, model: str = "m", **words: Any) -> None:
        self.client.async_stream_infer(model, [tensor(rows)], **words)

    def next(self) -> Any:
        result, error = self._told.get(timeout=WAIT)
        return result if error is None else error

    def row(self) -> list[float]:
        answer = self.next()
        assert not isinstance(answer, Exception), answer
        row: list[float] = answer.as_numpy("x").tolist()[0]
        return row


def tensor(rows: npt.NDArray[Any]) -> Any:
    tensor = tritonclient.grpc.InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    return tensor


def final(answer: Any) -> bool:
    return bool(answer.get_response().parameters["triton_final_response"].bool_param)


def tally(path: Path, lines: int = 1) -> list[int]:
    """How many responses each stream made, once so many of them are over."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert time.monotonic() < deadline
        time.sleep(0)
    return [int(line) for line in path.read_text().splitlines()]


def post(server: Serving, path: str, **body: Any) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE)
    connection.request("POST", f"/v2/models/m/{path}", json.dumps(body))
    return connection.getresponse()


def events(answer: http.client.HTTPResponse) -> list[dict[str, Any]]:
    chunks = answer.read().decode().split("\n\n")
    assert chunks.pop() == ""
    return [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]


def test_triton_streams(serving: Start) -> None:
    """One request, many responses, in order, with the request's id; the empty final one only where it is wished."""
    with serving(decoupled=True) as server, Streaming(server.grpc) as stream:
        stream.ask(request_id="7")
        for row in ROWS.tolist():
            answer = stream.next()
            assert answer.as_numpy("x").tolist() == [row]
            assert answer.get_response().id == "7"
            assert not final(answer)
        stream.ask(request_id="8", enable_empty_final_response=True)
        assert [stream.row() for _ in ROWS] == ROWS.tolist()
        last = stream.next()
        assert (last.get_response().id, len(last.get_response().outputs), final(last)) == ("8", 0, True)


def test_an_error_leaves_the_stream_open(serving: Start) -> None:
    """Before the first response and after two; the next request is answered."""
    with serving(decoupled=True) as server, Streaming(server.grpc) as stream:
        stream.ask(parameters={"raise": "no", "after": 2})
        assert [stream.row(), stream.row()] == ROWS[:2].tolist()
        error = stream.next()
        assert isinstance(error, InferenceServerException)
        assert error.message() == "ValueError: no"
        stream.ask(model="unknown")
        assert stream.next().message() == "model 'unknown' is not found"
        stream.ask(ROWS[:1])
        assert stream.row() == ROWS[0].tolist()


def test_any_model_streams(serving: Start) -> None:
    """A model with one response gives it, and it is the final one."""
    with serving() as server, Streaming(server.grpc) as stream:
        for _ in range(3):
            stream.ask(enable_empty_final_response=True)
        for _ in range(3):
            answer = stream.next()
            assert (answer.as_numpy("x") == ROWS).all()
            assert final(answer)


def test_a_stream_is_cancelled(serving: Start, tmp_path: Path) -> None:
    """The model ends its work, and the replica takes the next request."""
    path = tmp_path / "tally"
    with serving(decoupled=True, tally=str(path)) as server:
        with Streaming(server.grpc) as stream:
            stream.ask(parameters={"responses": 1 << 40})
            stream.row()
            stream.client.stop_stream(cancel_requests=True)
        assert tally(path)[0] < 1 << 40
        server.until_figure(1, "tidegate_streams_total", outcome="cancelled")
        with Streaming(server.grpc) as stream:
            stream.ask(ROWS[:1])
            assert stream.row() == ROWS[0].tolist()


def test_a_reader_that_does_not_read_stops_the_model(serving: Start, tmp_path: Path) -> None:
    """The model makes no more responses than fit the window and the buffers of the way, and goes on with the reader."""
    path, rows = tmp_path / "tally", np.zeros((1, 65536), np.float32)
    with serving("--stream-responses", "4", decoupled=True, tally=str(path)) as server:
        answer = post(server, "generate_stream", x=rows[0].tolist(), responses=1 << 40)
        assert answer.status == 200
        before = -1.0
        while (now := server.figure("tidegate_stream_responses_total")) != before:
            before = now  # each look takes longer than a response
        assert answer.fp.readline()
        answer.close()
        assert tally(path)[0] < 1000


def test_generate_streams_events(serving: Start) -> None:
    """Server-sent events, one for each response; an error before the first has its status, one after is an event."""
    with serving(decoupled=True) as server:
        answer = post(server, "generate_stream", x=ROWS.tolist(), id="9")
        assert answer.getheader("content-type") == "text/event-stream; charset=utf-8"
        head = {"id": "9", "model_name": "m", "model_version": "1"}
        assert events(answer) == [{**head, "x": row} for row in ROWS.tolist()]
        late = post(server, "generate_stream", x=ROWS.tolist(), parameters={"raise": "no", "after": 1})
        assert late.status == 200
        assert events(late)[1:] == [{"error": "ValueError: no", "status": 500}]
        early = post(server, "generate_stream", x=ROWS.tolist(), parameters={"raise": "no"})
        assert early.status == 500
        assert json.load(early) == {"error": "ValueError: no"}
        assert json.load(post(server, "generate", x=5)) == {"model_name": "m", "model_version": "1", "x": 5.0}
        several = post(server, "generate", x=ROWS.tolist())
        assert several.status == 501
        assert "answered with several responses" in json.load(several)["error"]


def test_infer_of_a_decoupled_model_takes_one_response(serving: Start) -> None:
    """Over HTTP and gRPC; several, or none, are an error that says how to ask instead."""
    with (
        serving(decoupled=True) as server,
        tritonclient.grpc.InferenceServerClient(server.grpc) as client,
        tritonclient.http.InferenceServerClient(server.http) as http_client,
    ):
        assert (client.infer("m", [tensor(ROWS[:1])]).as_numpy("x") == ROWS[:1]).all()
        with pytest.raises(InferenceServerException, match="several responses; ask it by generate_stream"):
            client.infer("m", [tensor(ROWS)])
        one = tritonclient.http.InferInput("x", [1, 2], "FP32").set_data_from_numpy(ROWS[:1])
        with pytest.raises(InferenceServerException, match="no response; ask it by generate_stream"):
            http_client.infer("m", [one], parameters={"responses": 0})


@pytest.mark.parametrize("after", [0, 2])
def test_a_replica_dies_in_a_stream(serving: Start, after: int, tmp_path: Path) -> None:
    """Before the first response the request runs again elsewhere; after it there is an error, for they are out."""
    spec = {} if after else {"behaviour": "crash", "once": str(tmp_path / "once")}
    with serving(decoupled=True, **spec) as server, Streaming(server.grpc) as stream:
        stream.ask(parameters={"crash": True, "after": after} if after else {})
        assert [stream.row(), stream.row()] == ROWS[:2].tolist()
        if after:
            assert "a part of its answer has gone out" in stream.next().message()
        else:
            assert stream.row() == ROWS[2].tolist()
        stream.ask(ROWS[:1])
        assert stream.row() == ROWS[0].tolist()


def test_a_deadline_holds_for_the_whole_stream(serving: Start, tmp_path: Path) -> None:
    """A model that stops in the midst of its responses is ended with the request."""
    gate, path = tmp_path / "gate", tmp_path / "tally"
    os.mkfifo(gate)
    with serving(decoupled=True, tally=str(path)) as server, Streaming(server.grpc) as stream:
        stream.ask(parameters={"gate": str(gate), "after": 1}, timeout=500_000)
        assert stream.row() == ROWS[0].tolist()
        assert "deadline passed while model 'm' executed it" in stream.next().message()
        gate.write_bytes(b"")
        assert tally(path) == [2]


def test_a_stream_in_flight_ends_before_the_server(serving: Start, tmp_path: Path) -> None:
    """SIGTERM: what was asked on an open stream is answered, and then the stream ends as unavailable."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with serving(decoupled=True) as server, Streaming(server.grpc) as stream:
        stream.ask(parameters={"gate": str(gate), "after": 1})
        assert stream.row() == ROWS[0].tolist()
        server.signal(signal.SIGTERM)
        server.until("leaving")
        gate.write_bytes(b"")
        assert [stream.row(), stream.row()] == ROWS[1:].tolist()
        assert "shutting down" in stream.next().message()
        assert server.ended() == 0


def test_statistics_tell_of_responses(serving: Start) -> None:
    """By their number in their streams."""
    with serving(decoupled=True) as server:
        events(post(server, "generate_stream", x=ROWS.tolist()))
        events(post(server, "generate_stream", x=ROWS[:1].tolist()))
        with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
            [model] = client.get_inference_statistics("m").model_stats
        counts = {number: stats.success.count for number, stats in model.response_stats.items()}
        assert counts == {"0": 2, "1": 1, "2": 1, "3": 0}
        assert {n: s.empty_response.count for n, s in model.response_stats.items()} == {"0": 0, "1": 1, "2": 0, "3": 1}
        assert server.figure("tidegate_stream_responses_total") == 4
