"""`tidegate serve` as a process: what it says, how it ends, what it leaves behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidegate.cli.main import run

pytestmark = pytest.mark.e2e

Fake = Callable[..., Path]
PATIENCE = 60.0
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}]}


@pytest.fixture
def workers() -> Iterator[Path]:
    """A directory for replicas. A Unix socket's path holds 107 bytes, and pytest's own directories may be longer."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


class Asking(threading.Thread):
    """One request on a connection of its own; ``answer`` is None where the server broke the connection."""

    def __init__(self, url: str, parameters: dict[str, Any]) -> None:
        super().__init__()
        self._url = url
        self._parameters = parameters
        self.answer: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = httpx.post(
                self._url, json=ROW | {"parameters": self._parameters}, timeout=60, trust_env=False
            )
        except httpx.TransportError:
            self.answer = None


def test_it_says_what_it_does(serve: Any, fake: Fake) -> None:
    """Addresses first, then every model, then ready; people read the choice, the signature and what to try."""
    path = fake("echo")
    server = serve(path)
    ready = server.until("ready")
    assert [event["event"] for event in server.events] == ["listening", "found", "loaded", "ready"]
    assert server.events[1] == {
        "event": "found",
        "model": "echo",
        "version": "1",
        "path": str(path),
        "runtime": "fake",
        "format": "tidegate's fake model",
        "reason": "its name ends in .fake.json",
    }
    assert server.events[2]["metadata"]["inputs"][0]["name"] == "x"
    assert (ready["loaded"], ready["failed"]) == (1, 0)
    assert server.stop() == 0
    assert [event["event"] for event in server.events] == ["listening", "found", "loaded", "ready"]
    lines = server.told.splitlines()
    assert f"echo version 1: {path} → runtime fake (tidegate's fake model: its name ends in .fake.json)" in lines
    assert any("ready after" in line and line.endswith("; x FP32[-1, 2] → x FP32[-1, 2]") for line in lines)
    ports = f"serving HTTP on {server.url}, gRPC on {server.grpc}, admin on {server.admin}, status on {server.status}"
    assert ports in lines
    assert lines[-1] == "stopped"


def test_the_lines_that_it_offers_work(serve: Any, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """Pasted into a shell, both are answered."""
    server = serve(fake("echo"))
    server.until("ready")
    curl, infer = (shlex.split(line) for line in server.told.splitlines() if line.startswith("  "))
    form = {"content-type": "application/x-www-form-urlencoded"}  # what curl -d says of its body
    answer = httpx.post(curl[1], content=curl[3], headers=form, trust_env=False)
    assert answer.json()["outputs"][0]["data"] == [0.5, 0.5]
    assert run(infer[1:]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"][0]["data"] == [[0.5, 0.5]]
    assert server.stop() == 0


def test_a_request_in_flight_is_answered(serve: Any, fake: Fake, tmp_path: Path) -> None:
    """After SIGTERM readiness is down and nobody new is let in, but who was in gets the answer."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    server = serve(fake("echo"))
    server.until("ready")
    asking = Asking(f"{server.url}/v2/models/echo/infer", {"gate": str(gate)})
    with gate.open("wb"):  # returns when the model has opened it, too
        assert httpx.get(f"{server.status}/readyz", trust_env=False).status_code == 200
        server.signal(signal.SIGTERM)
        leaving = server.until("leaving")
        assert (leaving["signal"], leaving["grace"]) == ("SIGTERM", 30.0)
        assert httpx.get(f"{server.status}/readyz", trust_env=False).status_code == 503
        late = Asking(f"{server.url}/v2/models/echo/infer", {})
        late.join()
        assert late.answer is None or late.answer.status_code == 503
    asking.join()
    assert asking.answer is not None
    assert asking.answer.json()["outputs"][0]["data"] == [1.5, 2.5]
    assert server.until("stopped")["clean"] is True
    assert server.ended() == 0


@pytest.mark.parametrize(
    ("second", "code"),
    [pytest.param(signal.SIGINT, 130, id="SIGINT"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
)
def test_a_second_signal_ends_at_once(
    serve: Any, fake: Fake, tmp_path: Path, workers: Path, second: signal.Signals, code: int
) -> None:
    """With the shell's code for it, though a request hangs for ever, and without leaving its replica behind."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    times = ("--shutdown-grace", "600", "--stop-timeout", "600")
    server = serve(fake("echo"), *times, "--worker-directory", workers)
    server.until("ready")
    asking = Asking(f"{server.url}/v2/models/echo/infer", {"gate": str(gate), "hang": True})
    gate.open("wb").close()  # the request is at the model now
    server.signal(signal.SIGTERM)
    server.until("leaving")
    server.signal(second)
    assert server.until("stopped")["clean"] is False
    assert server.ended() == code
    assert list(workers.iterdir()) == []
    asking.join()
    assert asking.answer is None or asking.answer.status_code == 503


def test_what_outlives_the_grace_is_cut(serve: Any, fake: Fake, tmp_path: Path) -> None:
    """The request is answered 503, and the end is told as not clean."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    server = serve(fake("echo"), "--shutdown-grace", "0.05", "--stop-timeout", "0.05")
    server.until("ready")
    asking = Asking(f"{server.url}/v2/models/echo/infer", {"gate": str(gate), "hang": True})
    gate.open("wb").close()
    server.signal(signal.SIGINT)
    assert server.until("stopped")["clean"] is False
    assert server.ended() == 0
    asking.join()
    assert asking.answer is None or asking.answer.status_code == 503


def test_a_model_that_cannot_be_loaded_ends_it(serve: Any, fake: Fake) -> None:
    """With 1 and the reason."""
    server = serve(fake("broken", {"load": {"refuse": "the file is of another version"}}))
    failed = server.until("loadfailed")
    assert (failed["model"], failed["reason"]) == ("broken", "the file is of another version")
    assert server.ended() == 1
    assert "broken version 1: failed: the file is of another version" in server.told
    assert server.told.splitlines()[-2:] == [
        "error: no model could be loaded; the reasons stand above",
        "hint: `tidegate doctor` lists what this machine can serve",
    ]
    assert "Traceback" not in server.told


def test_a_model_that_crashes_while_it_loads_ends_it(serve: Any, fake: Fake) -> None:
    """After a few attempts, each of which is told."""
    server = serve(fake("crashing", {"load": {"crash": True}}))
    failed = server.until("loadfailed")
    assert failed["reason"].startswith("model 'crashing' is not ready: it failed 5 times in a row")
    assert server.ended() == 1


def test_a_log_of_json_lines_holds_everything(serve: Any, fake: Fake) -> None:
    """No prose between its lines, so that a collector can read all of stderr."""
    server = serve(fake("echo"), "--log-format", "json", "--access-log")
    server.until("ready")
    assert httpx.post(f"{server.url}/v2/models/echo/infer", json=ROW, trust_env=False).status_code == 200
    assert server.stop() == 0
    entries = [json.loads(line) for line in server.told.splitlines()]
    told = [entry["message"] for entry in entries if entry["logger"] == "tidegate.serve"]
    assert told == ["listening", "found", "loaded", "ready", "leaving", "stopped"]
    assert entries[0]["fields"]["http"] == server.events[0]["http"]
    (access,) = (entry for entry in entries if entry["logger"] == "uvicorn.access")
    assert '"POST /v2/models/echo/infer HTTP/1.1" 200' in access["message"]


def test_of_several_models_the_others_are_served(serve: Any, fake: Fake) -> None:
    """The one that failed keeps its route, which says why."""
    server = serve(fake("echo"), fake("broken", {"load": {"refuse": "the file is of another version"}}))
    ready = server.until("ready")
    assert (ready["loaded"], ready["failed"]) == (1, 1)
    assert httpx.post(f"{server.url}/v2/models/echo/infer", json=ROW, trust_env=False).status_code == 200
    answer = httpx.post(f"{server.url}/v2/models/broken/infer", json=ROW, trust_env=False)
    assert answer.status_code == 503
    assert answer.json() == {"error": "model 'broken' is not ready: the file is of another version"}
    assert "1 of 2 models failed; they answer 503" in server.told
    assert server.stop() == 0


def test_a_model_that_is_not_ready_in_time_ends_it_with_3(serve: Any, fake: Fake, tmp_path: Path) -> None:
    """Scripts can tell slow from broken."""
    os.mkfifo(tmp_path / "gate")
    server = serve(fake("slow", {"load": {"gate": str(tmp_path / "gate")}}), "--ready-timeout", "0.05")
    server.until("loadfailed")
    assert server.ended() == 3
    assert "error: no model is ready after 0.05 s" in server.told.splitlines()


def test_it_can_be_stopped_while_it_loads(serve: Any, fake: Fake, tmp_path: Path) -> None:
    """Ports are open by then, and say that the model is not there yet."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    server = serve(fake("slow", {"load": {"gate": str(gate)}}))
    server.until("found")
    with gate.open("wb"):
        answer = httpx.post(f"{server.url}/v2/models/slow/infer", json=ROW, trust_env=False)
        assert (answer.status_code, answer.json()) == (503, {"error": "model 'slow' is not ready: it is loading"})
        server.signal(signal.SIGTERM)
        assert server.until("stopped")["clean"] is True
        assert server.ended() == 0


def test_a_reader_who_has_read_enough_may_leave(serve: Any, fake: Fake) -> None:
    """As in ``tidegate serve -o json … | head -1``: the addresses are known, and the server goes on."""
    server = serve(fake("echo"))
    server.until("listening")
    server.process.stdout.close()
    deadline = time.monotonic() + PATIENCE
    while httpx.get(f"{server.status}/readyz", trust_env=False).status_code != 200:
        assert time.monotonic() < deadline, server.told
    assert httpx.post(f"{server.url}/v2/models/echo/infer", json=ROW, trust_env=False).status_code == 200
    assert server.stop() == 0
    assert server.told.splitlines()[-1] == "stopped"


def test_a_taken_port_is_told(serve: Any, fake: Fake) -> None:
    """Which one, and how to avoid it; nothing has been started by then."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve(fake("echo"), "--grpc-port", str(port))
        assert server.ended() == 1
    assert server.told.splitlines() == [
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use",
        "hint: `--http-port 0` and its like take a free port",
    ]


def test_a_path_without_a_model_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Before any port is opened."""
    assert run(["serve", str(tmp_path / "none.joblib")]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert "none.joblib' does not exist; expected a model file or a directory of models" in error
    assert hint == "hint: `tidegate doctor` lists what this machine can serve"


def test_two_models_of_one_name_are_refused(capsys: pytest.CaptureFixture[str], fake: Fake, tmp_path: Path) -> None:
    """Neither is served silently in the other's place."""
    path = fake("echo")
    other = tmp_path / path.name
    other.write_bytes(path.read_bytes())
    assert run(["serve", str(path), str(other)]) == 1
    assert capsys.readouterr().err.splitlines()[0] == (
        f"error: {path} and {other} would both be model 'echo' version 1"
    )


def test_closed_standard_streams_are_no_sockets(fake: Fake) -> None:
    """A parent may close them all. Their numbers are not for the first sockets, which libuv would refuse to close."""
    ports = "--http-port 0 --grpc-port 0 --admin-port 0 --status-port 0 -o json"
    line = f"exec {shlex.quote(sys.executable)} -P -m tidegate serve {shlex.quote(str(fake('echo')))} {ports} <&- 2>&-"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for event in server.stdout:
            if json.loads(event)["event"] == "ready":
                server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
