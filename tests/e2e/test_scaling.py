"""Replicas follow the load, live: worker processes are started under it and ended after it, and no request fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tidegate.loadtests.caller import Caller
from tidegate.testing.process import PATIENCE
from tidegate.testing.service_server import REVISIONS, ServiceServer, manifest, ready

pytestmark = pytest.mark.e2e

MODEL = """
import time
from typing import Annotated

import numpy as np

from tidegate.runtimes import model


@model
def predict(x: Annotated[np.ndarray, "FP32", 1]) -> Annotated[np.ndarray, "FP32", 1]:
    time.sleep(0.05)
    return x
"""
BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}'
CALLERS = 6
GIVEN_UP = 240.0
"""Seconds until the last replica is given up, on a slow machine: what was wanted is held for half a minute, and what
there was when the server began to look for a whole one."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServiceServer]:
    (tmp_path / "slow.model.py").write_text(MODEL)
    with ServiceServer.start(tmp_path / "state", "--trust", tmp_path) as server:
        yield server


@contextmanager
def load(server: ServiceServer) -> Iterator[list[bytes]]:
    """Callers who ask one request after the other. Yields the answers; one that is no answer fails the test."""
    url = urlsplit(str(server.http.base_url))
    host, port = url.hostname or "", url.port or 0
    message = (
        f"POST /v2/models/slow/infer HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    answers: list[bytes] = []
    problems: list[Exception] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            with Caller(host, port, message) as caller:
                while not stop.is_set():
                    answers.append(caller.ask())
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not problems


def until(server: ServiceServer, holds: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> dict[str, Any]:
    """The status of the service once it holds."""
    deadline = time.monotonic() + patience
    status: dict[str, Any]
    while not holds(status := server.read("slow").get("status", {})):
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    return status


def test_replicas_rise_under_load_and_fall_after_it(server: ServiceServer, tmp_path: Path) -> None:
    """One replica cannot answer six callers within the SLO, and nobody needs three who are not asked."""
    service = manifest(
        "slow", tmp_path / "slow.model.py", "python", maxReplicas=3, scalePolicy={"name": "qda", "preference": 0}
    )
    service["spec"]["slo"] = {"latency": "100ms"}
    server.write(service)
    until(server, ready)
    assert server.read("slow")["status"]["replicas"] == 1
    with load(server) as answers:
        status = until(server, lambda status: status["replicas"] == 3)
        assert status["scaling"]["desired"] == 3
        metrics = server.admin.get(f"{server.serving.status}/metrics").text
        assert 'tidegate_scaling_desired_replicas{model="slow",version="1"} 3.0' in metrics
        assert 'tidegate_scaling_term{model="slow",term="mu",version="1"}' in metrics
    with load(server):  # some of those that follow meet replicas that are being given up
        time.sleep(0.5)
    assert answers
    until(server, lambda status: status["replicas"] == status["scaling"]["desired"] == 1, GIVEN_UP)
    [revision] = server.admin.get(REVISIONS).json()["items"]
    changes = [(each["from"], each["to"]) for each in revision["status"]["scaling"]["history"]]
    assert changes[0][0] == changes[-1][1] == 1
    assert max(after for _, after in changes) == 3
