"""Requests under a storm of kills, and a gateway that is killed itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tidegate.replicas.directory import sweep
from tidegate.testing.storm import spinning, storm

pytestmark = pytest.mark.e2e


def _hold(directory: Path, requests: int, kills: int) -> None:
    report = asyncio.run(storm(directory, requests, kills))
    assert (report.right, report.wrong, report.errors) == (requests, 0, {})
    assert report.kills == kills
    assert 0 < report.restarts <= kills
    assert report.descriptors_grown <= 2 * 8  # the two descriptors of the slots that the clients may have at once
    assert report.bytes_grown < 64 << 20
    assert [path.name for path in directory.iterdir()] == ["storm.fake.json"]


def test_a_storm_of_kills(tmp_path: Path) -> None:
    """1,000 requests, 10 kills: each is answered with its own result, and nothing grows."""
    _hold(tmp_path, 1000, 10)


@pytest.mark.soak
def test_a_long_storm_of_kills(tmp_path: Path) -> None:
    """10,000 requests, 300 kills."""
    _hold(tmp_path, 10_000, 300)


GATEWAY = """
import asyncio, json, sys
from pathlib import Path
from typing import Any
import numpy as np
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics

async def main(model, parameters):
    settings = ReplicaSettings(hang_timeout=1.5)
    backend = LocalBackend(Artifact("m", "1", model), "fake", settings, Metrics("t").bind("m", "1"))
    await backend.start()
    await backend.wait_ready(60)
    array = np.ones((1, 50_000), dtype=np.float32)
    request = InferRequest("m", (Tensor.from_numpy("x", array),))
    (await backend.infer(request, asyncio.get_running_loop().time() + 60)).release()
    request = InferRequest("m", (Tensor.from_numpy("x", array),), parameters=parameters)
    stuck = asyncio.create_task(backend.infer(request, asyncio.get_running_loop().time() + 1e6))
    await asyncio.sleep(0)
    print(backend.replicas[0].pid, flush=True)
    await stuck

asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("parameters", "cleans"),
    [
        pytest.param({"hang": True}, True, id="a model waits"),
        pytest.param({"child": True}, True, id="a model has started a process"),
        pytest.param({"spin": True}, False, id="a model holds the interpreter's lock"),
    ],
)
def test_the_gateway_is_killed(tmp_path: Path, parameters: dict[str, Any], cleans: bool) -> None:
    """SIGKILL of the gateway ends the worker, while it computes, with what it started; no file or memory is left."""
    model, temporary = tmp_path / "m.fake.json", tmp_path / "tmp"
    model.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}))
    temporary.mkdir()
    named = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    if "child" in parameters:
        parameters = {"child": str(tmp_path / "child"), "hang": True}
        os.mkfifo(tmp_path / "child")
    gateway = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(model), json.dumps(parameters)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert gateway.stdout is not None
    processes = [psutil.Process(int(gateway.stdout.readline()))]
    if "child" in parameters:
        processes.append(psutil.Process(int((tmp_path / "child").read_text())))
    if not cleans:
        spinning(processes[0])
    gateway.send_signal(signal.SIGKILL)
    gateway.wait(60)
    gateway.stdout.close()
    for process in processes:
        process.wait(60)
    assert bool(list(temporary.iterdir())) is not cleans
    assert sweep(str(temporary)) == (0 if cleans else 1)
    assert list(temporary.iterdir()) == []
    assert not named or set(os.listdir("/dev/shm")) <= named
