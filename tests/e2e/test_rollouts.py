"""Rollouts, live: real models in real processes under callers who never stop, and what these get to see of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.loadtests.caller import Caller, NotAnswered
from tidegate.resources.rollout_command import COMMAND
from tidegate.testing.process import PATIENCE
from tidegate.testing.service_server import SERVICES, ServiceServer, manifest, ready, split

pytestmark = [pytest.mark.e2e, pytest.mark.framework]

ROLLOUTS = "/apis/tidegate.dev/v1/namespaces/default/servingrollouts"
Document = dict[str, Any]
RATE = 250.0
"""Requests a second of one caller; they must leave something to those who answer."""
STEPS = [{"weight": 20, "hold": {"min": "1s", "max": "4s"}}, {"weight": 60, "hold": {"min": "1s", "max": "4s"}}]
ROW = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}

WRAPPED = """
import time
from typing import Annotated, NamedTuple

import numpy as np

from tidegate.runtimes import model


class Answer(NamedTuple):
    predict: Annotated[np.ndarray, "INT64", -1]


CALLS = 0


@model(max_batch_size={most})
def predict(X: Annotated[np.ndarray, "FP64", -1, 4]) -> Answer:
    global CALLS
    CALLS += 1
    {work}
    return Answer(np.zeros(len(X), np.int64))
"""


def custom(folder: Path, name: str, work: str, most: int = 8) -> Path:
    """A model of Python's that answers as the first one does, after it did some work."""
    path = folder / f"{name}.model.py"
    path.write_text(WRAPPED.format(work=work, most=most))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classifiers that say 0 of ``ROW``, one that says 2, and custom ones that fail and take their time."""
    folder = tmp_path_factory.mktemp("models")
    rows, labels = load_iris(return_X_y=True)
    for name, told, strength in (("first", labels, 1.0), ("good", labels, 0.9), ("other", 2 - labels, 1.0)):
        joblib.dump(LogisticRegression(max_iter=500, C=strength).fit(rows, told), folder / f"{name}.joblib")
    custom(folder, "failing", 'if CALLS % 20 == 0: raise RuntimeError("every 20th")', most=1)
    custom(folder, "steady", "time.sleep(0.01)")
    custom(folder, "slow", "time.sleep(0.02)")
    golden = folder / "golden"
    golden.mkdir()
    answer = {"outputs": [{"name": "predict", "datatype": "INT64", "shape": [1], "data": [0]}]}
    (golden / "setosa.json").write_text(json.dumps({"request": ROW, "response": answer}))
    return folder


@pytest.fixture
def server(tmp_path: Path, models: Path) -> Iterator[ServiceServer]:
    with ServiceServer.start(tmp_path / "state", "--trust", models) as server:
        yield server


def service(path: Path, analysis: Document | None = None, **rollout: Any) -> Document:
    """A service whose next revision comes by a rollout."""
    form = "sklearn" if path.suffix == ".joblib" else "python"
    made = manifest("iris", path, form)
    told = {"strategy": "canary", "steps": STEPS} | rollout
    made["spec"]["rollout"] = told | ({} if analysis is None else {"analysis": analysis})
    return made


class Callers:
    """Callers who never stop. ``answers`` counts answers by revision and label, ``failed`` what else came."""

    def __init__(self, url: str, count: int = 2) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        body = json.dumps(ROW).encode()
        head = f"POST /v2/models/iris/infer HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._message = head.encode() + body
        self._address = (host, int(port))
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        self.answers: Counter[tuple[str, int]] = Counter()
        self.failed: list[str] = []
        self.quiet = threading.Event()
        """While it is set nobody asks."""

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.quiet.is_set():
                self._stop.wait(0.05)
                continue
            with Caller(*self._address, self._message) as caller:  # one that is not used would be closed
                self._ask_on(caller)

    def _ask_on(self, caller: Caller) -> None:
        due = time.monotonic()
        while not (self._stop.is_set() or self.quiet.is_set()):
            due = max(due + 1 / RATE, time.monotonic() - 0.1)
            self._stop.wait(max(due - time.monotonic(), 0.0))
            self._ask(caller)

    def _ask(self, caller: Caller) -> None:
        try:
            answer = json.loads(caller.ask())
        except (NotAnswered, OSError) as error:
            with self._lock:
                self.failed.append(str(error))
            return
        with self._lock:
            self.answers[answer["model_version"], answer["outputs"][0]["data"][0]] += 1

    def of(self, revision: int) -> int:
        """Results of a revision by now."""
        return sum(count for (told, _), count in self.answers.items() if told == str(revision))

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)


def rollout_of(server: ServiceServer, number: int = 1) -> Document:
    """A rollout's status, {} before there is one."""
    answer = server.admin.get(f"{ROLLOUTS}/iris-rollout-{number}")
    return {} if answer.status_code == 404 else answer.raise_for_status().json().get("status", {})


def until(server: ServiceServer, holds: Callable[[Document], bool], number: int = 1) -> Document:
    """A rollout's status once it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds(status := rollout_of(server, number)):
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def phase(*names: str) -> Callable[[Document], bool]:
    return lambda status: status.get("phase") in names


ENDED = phase("Succeeded", "RolledBack", "Failed", "Superseded")


def ask(server: ServiceServer, verb: str, id: str = "1") -> None:
    patch = {"metadata": {"annotations": {COMMAND: f"{verb} {id}"}}}
    headers = {"content-type": "application/merge-patch+json"}
    server.admin.patch(f"{SERVICES}/iris", json=patch, headers=headers).raise_for_status()


def begun(server: ServiceServer, first: Document) -> None:
    server.write(first)
    server.until("iris", ready)


def phases(status: Document) -> list[str]:
    return [each["to"] for each in status.get("transitions", ())]


def test_a_good_canary_passes_all_steps(server: ServiceServer, models: Path) -> None:
    """By its own numbers, golden requests and copies included, and nobody notices."""
    analysis = {
        "errors": {},
        "golden": {"uri": str(models / "golden")},
        "outputs": {"maxDifferent": 0.02, "tolerance": {"atol": 0.05}},
        "minSamples": 100,
    }
    begun(server, service(models / "first.joblib", analysis))
    with Callers(server.serving.url) as callers:
        server.write(service(models / "good.joblib", analysis))
        status = until(server, ENDED)
        assert status["phase"] == "Succeeded", status
        server.until("iris", lambda told: split(told) == {"iris-00002": 100})
    assert phases(status) == ["Pending", "Warming", "Golden", "Shadow", "Step", "Step", "Promoting", "Succeeded"]
    assert callers.failed == []
    assert set(callers.answers) == {("1", 0), ("2", 0)}


def test_one_that_fails_every_20th_request_comes_back(server: ServiceServer, models: Path) -> None:
    """Within 1,000 requests to it, and no other error is seen."""
    analysis = {"errors": {}, "minSamples": 100}
    begun(server, service(models / "first.joblib", analysis))
    with Callers(server.serving.url) as callers:
        server.write(service(models / "failing.model.py", analysis, steps=[{"weight": 20, "hold": {"min": "1m"}}]))
        status = until(server, ENDED)
        assert status["phase"] == "RolledBack", status
        server.until("iris", lambda told: split(told) == {"iris-00001": 100})
    assert "above the stable revision" in status["message"]
    to_it = callers.of(2) + len(callers.failed)
    assert 100 < to_it <= 1000
    assert len(callers.failed) <= to_it // 20 + 1, callers.failed  # every 20th of its calls, and none but its own
    assert {each.partition(",")[0] for each in callers.failed} == {"the answer is 'http/1.1 500 internal server error'"}


def test_one_that_is_twice_as_slow_comes_back(server: ServiceServer, models: Path) -> None:
    """Against the stable one of the same time."""
    analysis = {"latency": {}, "minSamples": 50}
    begun(server, service(models / "steady.model.py", analysis))
    with Callers(server.serving.url, 4) as callers:
        server.write(service(models / "slow.model.py", analysis, steps=[{"weight": 30, "hold": {"min": "1m"}}]))
        status = until(server, ENDED)
        assert status["phase"] == "RolledBack", status
    assert "slower than 1.2 times" in status["message"]
    assert callers.failed == []


@pytest.mark.parametrize("by", ["golden", "shadow"])
def test_one_with_other_outputs_answers_nobody(server: ServiceServer, models: Path, by: str) -> None:
    """Golden requests or copies stop it before."""
    told = {"golden": {"uri": str(models / "golden")}} if by == "golden" else {"outputs": {"maxDifferent": 0.02}}
    analysis = {"errors": {}, **told}
    begun(server, service(models / "first.joblib", analysis))
    with Callers(server.serving.url) as callers:
        server.write(service(models / "other.joblib", analysis))
        status = until(server, ENDED)
        assert status["phase"] == "RolledBack", status
    assert phases(status)[2] == by.title()
    assert callers.failed == []
    assert set(callers.answers) == {("1", 0)}


def test_without_traffic_it_holds_and_then_pauses(server: ServiceServer, models: Path) -> None:
    """And goes on once there is some."""
    analysis = {"errors": {}, "minSamples": 50, "timeout": "10s"}
    begun(server, service(models / "first.joblib", analysis))
    with Callers(server.serving.url) as callers:
        callers.quiet.set()
        server.write(service(models / "good.joblib", analysis))
        status = until(server, phase("Paused"))
        assert (status["pausedPhase"], status["step"], status["weight"]) == ("Step", 1, 20)
        callers.quiet.clear()
        ask(server, "resume")
        assert until(server, ENDED)["phase"] == "Succeeded"
    assert callers.failed == []


def test_a_broken_stable_revision_is_no_outage(server: ServiceServer, models: Path, tmp_path: Path) -> None:
    """Its worker dies in the middle of a step, and does not come back: the new one answers everybody."""
    marker = tmp_path / "broken"
    fragile = custom(models, "fragile", "")
    fragile.write_text(f"import os\nassert not os.path.exists({str(marker)!r}), 'broken'\n" + fragile.read_text())
    begun(server, service(fragile))
    steps = [{"weight": 20, "hold": {"min": "1h"}}]
    [stable] = server.serving.workers
    with Callers(server.serving.url) as callers:
        server.write(service(models / "good.joblib", steps=steps))
        until(server, phase("Step"))
        marker.touch()
        os.kill(stable.pid, signal.SIGKILL)
        server.until("iris", lambda told: split(told) == {"iris-00002": 100})
        before = callers.of(2)
        ask(server, "promote-full")
        assert until(server, ENDED)["phase"] == "Succeeded"
        while callers.of(2) < before + 200:
            time.sleep(0.01)
    assert callers.failed == []  # also what had been sent to it was answered by the other


def reach(server: ServiceServer, where: str) -> None:
    """Come into a phase. What is short may be over when this returns; the kill falls right beside it then."""
    if where in ("Warming", "Golden"):
        until(server, lambda status: where in phases(status))
        return
    until(server, phase("Shadow"))
    if where in ("Step", "Paused", "Promoting"):
        ask(server, {"Step": "promote", "Paused": "pause", "Promoting": "promote-full"}[where])
    if where != "Promoting":
        until(server, phase(where))


@pytest.mark.parametrize("where", ["Warming", "Golden", "Shadow", "Step", "Paused", "Promoting"])
def test_a_killed_server_goes_on_where_it_was(server: ServiceServer, models: Path, where: str) -> None:
    """Whatever it was doing: nothing is begun again that was over, and it comes to its end."""
    analysis = {
        "errors": {},
        "golden": {"uri": str(models / "golden")},
        "outputs": {"maxDifferent": 0.02, "tolerance": {"atol": 0.05}},
        "minSamples": 50,
    }
    begun(server, service(models / "first.joblib", analysis))
    server.write(service(models / "good.joblib", analysis))
    reach(server, where)
    before = rollout_of(server)
    os.kill(server.serving.process.pid, signal.SIGKILL)
    server.serving.process.wait(PATIENCE)
    server.begin_again()
    server.until("iris", ready)
    with Callers(server.serving.url) as callers:
        if where == "Paused":
            assert until(server, bool)["phase"] == "Paused"
            ask(server, "resume", "2")
        status = until(server, ENDED)
        assert status["phase"] == "Succeeded", status
        server.until("iris", lambda told: split(told) == {"iris-00002": 100})
    assert phases(status)[: len(phases(before))] == phases(before)
    assert callers.failed == []


@contextmanager
def receiver(port: int) -> Iterator[list[Document]]:
    """A Slack of one's own, which keeps what it was sent."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    got: list[Document] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield got
    finally:
        listening.shutdown()
        thread.join(PATIENCE)
        listening.server_close()


def free_port() -> int:
    with socket.socket() as trying:
        trying.bind(("127.0.0.1", 0))
        port: int = trying.getsockname()[1]
        return port


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed"])
def test_slack_is_told_of_the_end_once(tmp_path: Path, models: Path, killed: bool) -> None:
    """Also where the server was killed after the end, while Slack could not be reached."""
    port = free_port()
    secrets = tmp_path / "secrets" / "default"
    secrets.mkdir(parents=True)
    (secrets / "team").write_text(f"http://127.0.0.1:{port}/services/T/B/x\n")
    words: list[str | Path] = [
        "--trust",
        models,
        "--secrets",
        tmp_path / "secrets",
        "--outgoing-network",
        "127.0.0.0/8",
    ]
    words += ["--outgoing", f"http://127.0.0.1:{port}"]
    ends = ["rollout.succeeded", "rollout.rolledBack", "rollout.failed", "rollout.superseded"]
    first, second = (service(models / name) for name in ("first.joblib", "good.joblib"))
    for each in (first, second):
        each["spec"]["rollout"]["steps"] = [{"weight": 50, "hold": {"min": "1s"}}]
        each["spec"]["notify"] = [{"slack": {"secretRef": "team"}, "events": ends}]
    with ServiceServer.start(tmp_path / "state", *words) as server:
        server.write(first)
        server.until("iris", ready)
        server.write(second)
        if killed:
            until(server, ENDED)
            os.kill(server.serving.process.pid, signal.SIGKILL)
            server.serving.process.wait(PATIENCE)
        with receiver(port) as got:
            if killed:
                server.begin_again()
            deadline = time.monotonic() + PATIENCE
            while not any("taken over" in json.dumps(each) for each in got):
                assert time.monotonic() < deadline, got
                time.sleep(0.05)
            with suppress(AssertionError):
                assert server.serving.stop() == 0  # what else there was to be sent would have been by its end
    assert sum("taken over" in json.dumps(each) for each in got) == 1
