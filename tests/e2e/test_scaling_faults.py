"""Faults while real replicas follow a burst: workers, zygotes and the gateway are killed, starts fail, people scale.

Of each: no number falls while the traffic lasts; then, without a person, the service has the replicas that it needs,
requests are answered, it is ready, and nothing is left behind.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tidegate.loadtests.caller import Caller, NotAnswered
from tidegate.testing.process import PATIENCE
from tidegate.testing.service_server import ServiceServer, manifest, ready

pytestmark = pytest.mark.e2e

MODEL = """
import os
import signal
import time
from pathlib import Path
from typing import Annotated

import numpy as np

from tidegate.runtimes import model

FAULTS = Path({folder!r})
with (FAULTS / "pids").open("a") as pids:
    pids.write(f"{{os.getpid()}}\\n")
while (FAULTS / "hold").exists():
    time.sleep(0.02)
if (FAULTS / "crash").exists():
    os.kill(os.getpid(), signal.SIGKILL)
if (FAULTS / "refuse").exists():
    raise ConnectionError("the licence server is away")


@model
def predict(x: Annotated[np.ndarray, "FP32", 1]) -> Annotated[np.ndarray, "FP32", 1]:
    time.sleep(0.05)
    return x
"""
BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}'
CALLERS = 6
"""Whom one replica cannot answer within the SLO, and three can."""
MOST = 3
LONGEST = 120.0
"""Seconds, on a slow machine, for what is tried again at the longest pauses: half a minute for a start, a minute until
more are ordered."""
LOOP = re.compile(r"failed \d+ times in a row")
ZYGOTE = pytest.param("zygote", marks=pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are none"))
METHODS = pytest.mark.parametrize("method", ["spawn", ZYGOTE])


class Traffic:
    """Callers who ask one request after the other, and connect again where their connection ends.

    ``outcomes`` counts what became of the requests: "answered", or what is wrong.
    """

    def __init__(self, server: ServiceServer) -> None:
        url = urlsplit(str(server.http.base_url))
        self._address = url.hostname or "", url.port or 0
        head = f"POST /v2/models/slow/infer HTTP/1.1\r\nhost: {self._address[0]}\r\ncontent-type: application/json\r\n"
        self._message = f"{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._answered = threading.Condition(self._lock)
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        self.outcomes: Counter[str] = Counter()

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def goes_on(self) -> None:
        """Return once more requests have been answered than callers ask at a time."""
        with self._answered:
            due = self.outcomes["answered"] + 2 * CALLERS
            assert self._answered.wait_for(lambda: self.outcomes["answered"] >= due, PATIENCE)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                with Caller(*self._address, self._message) as caller:
                    while not self._stop.is_set():
                        caller.ask()
                        self._count("answered")
            except (OSError, NotAnswered) as error:
                self._count(str(error))
                self._stop.wait(0.05)

    def _count(self, outcome: str) -> None:
        with self._answered:
            self.outcomes[outcome] += 1
            self._answered.notify_all()


class Scene:
    """A server with one service that scales from 1 to 3, and what is wrong with its model: files in ``folder``."""

    def __init__(self, server: ServiceServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._model = folder / "slow.model.py"
        self._model.write_text(MODEL.format(folder=str(folder)))
        self._seen: set[psutil.Process] = set()

    def begin(self) -> None:
        service = manifest("slow", self._model, "python", maxReplicas=MOST)
        service["spec"]["slo"] = {"latency": "100ms"}
        self.server.write(service)

    def wrong(self, fault: str) -> None:
        """From the next load on: "hold" it, "crash" or "refuse"."""
        (self._folder / fault).touch()

    def mended(self, fault: str) -> None:
        (self._folder / fault).unlink()

    @property
    def loads(self) -> list[int]:
        """Process ids of the workers that have begun to load, in their order."""
        path = self._folder / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def loads_but(self, known: frozenset[int]) -> set[int]:
        """Those that are none of these."""
        return set(self.loads) - known

    @property
    def processes(self) -> list[psutil.Process]:
        """Those below the server."""
        found = psutil.Process(self.server.serving.process.pid).children(recursive=True)
        self._seen |= set(found)
        return found

    @property
    def zygote(self) -> psutil.Process | None:
        """A forked worker has the command line of its zygote; it is not one that loads."""
        loads = self.loads
        for each in self.processes:
            try:
                if "tidegate.runtimes.zygote" in each.cmdline() and each.pid not in loads:
                    return each
            except psutil.NoSuchProcess:
                continue
        return None

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.server.read("slow").get("status", {})
        return status

    def until(self, holds: Callable[[], Any]) -> Any:
        """What holds, once it does."""
        deadline = time.monotonic() + LONGEST
        while not (found := holds()):
            assert time.monotonic() < deadline, (self.status(), self.loads, self.server.serving.told[-2000:])
            time.sleep(0.05)
        return found

    def until_it_has(self, replicas: int) -> None:
        """So many take requests, as many are to be there, and the service is ready."""

        def holds() -> bool:
            status = self.status()
            told = status.get("replicas"), status.get("scaling", {}).get("desired")
            return told == (replicas, replicas) and ready(status)

        self.until(holds)

    def changes(self) -> list[tuple[int, int]]:
        """Of the number of replicas, in their order."""
        [revision] = self.server.revisions("slow")
        return [(each["from"], each["to"]) for each in revision["status"]["scaling"].get("history", ())]

    def rose_only(self) -> bool:
        return all(before < after for before, after in self.changes())

    def end(self) -> None:
        """The server ends well, and nothing that it ever started is left."""
        assert [each for each in self.processes if each.status() == psutil.STATUS_ZOMBIE] == []
        assert self.server.serving.stop() == 0
        assert psutil.wait_procs(self._seen, PATIENCE)[1] == []


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """Of the start method that the test is parametrized with."""
    method = request.node.callspec.params["method"]
    words = ("--start-method", method, "--log-level", "info", "--trust", tmp_path)
    with ServiceServer.start(tmp_path / "state", *words) as server:
        scene = Scene(server, tmp_path)
        yield scene
        if server.serving.process.poll() is None:
            scene.end()


def begun(scene: Scene, method: str) -> None:
    """One replica is ready; where workers are forked, the next one will be."""
    scene.begin()
    scene.until_it_has(1)
    if method == "zygote":
        scene.until(lambda: "are forked from process" in scene.server.serving.told)


def tidegate(server: ServiceServer, *words: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-P", "-m", "tidegate", *words, "--server", str(server.admin.base_url)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@METHODS
def test_workers_are_killed_while_they_warm(scene: Scene, method: str) -> None:
    """Each is on its way again at once, as often as it is killed; nobody who asks notices."""
    begun(scene, method)
    scene.wrong("hold")
    with Traffic(scene.server) as traffic:
        killed = {scene.loads[0]}  # the one that is ready, which lives on
        for _ in range(3):
            for pid in scene.until(partial(scene.loads_but, frozenset(killed))):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        traffic.goes_on()
        scene.mended("hold")
        scene.until_it_has(MOST)
        traffic.goes_on()
        assert scene.rose_only()
    assert set(traffic.outcomes) == {"answered"}


@pytest.mark.parametrize("method", [ZYGOTE])
@pytest.mark.parametrize("stuck", [False, True])
def test_the_zygote_is_killed(scene: Scene, method: str, stuck: bool) -> None:
    """Also in the middle of a fork: the worker is spawned then, and another zygote comes."""
    begun(scene, method)
    zygote = scene.until(lambda: scene.zygote)
    if stuck:
        zygote.suspend()
    with Traffic(scene.server) as traffic:
        if stuck:
            scene.until(lambda: scene.status()["scaling"]["desired"] > 1)
        zygote.kill()
        scene.until_it_has(MOST)
        assert not stuck or "the zygote forks none" in scene.server.serving.told
        traffic.goes_on()
        assert scene.rose_only()
    assert set(traffic.outcomes) == {"answered"}
    scene.until(lambda: scene.zygote)


@METHODS
@pytest.mark.parametrize("fault", ["crash", "refuse"])
def test_starts_that_fail_five_times(scene: Scene, method: str, fault: str) -> None:
    """Of replicas that are added: who is there answers, people read why there are no more, and then there are."""
    begun(scene, method)
    scene.wrong(fault)
    with Traffic(scene.server) as traffic:
        scene.until(lambda: len(scene.loads) > 5)
        assert scene.status()["replicas"] == 1
        assert scene.status()["scaling"]["desired"] > 1
        assert ready(scene.status())
        told = tidegate(scene.server, "get", "modelservices", "-o", "wide")
        assert "failed" in told, told
        traffic.goes_on()
        scene.mended(fault)
        scene.until_it_has(MOST)
        traffic.goes_on()
        assert scene.rose_only()
    scene.until(lambda: "failed" not in scene.status()["scaling"]["reason"])
    assert set(traffic.outcomes) == {"answered"}


@pytest.mark.parametrize("method", ["spawn"])
def test_a_service_whose_first_start_fails_five_times(scene: Scene, method: str) -> None:
    """It says why it is not ready, and is once it can be started."""
    scene.wrong("crash")
    scene.begin()
    scene.until(lambda: LOOP.search(str(scene.status())))
    assert LOOP.search(tidegate(scene.server, "describe", "modelservice", "slow"))
    assert not ready(scene.status())
    scene.mended("crash")
    scene.until_it_has(1)
    with Traffic(scene.server) as traffic:
        scene.until_it_has(MOST)
        assert scene.rose_only()
    assert set(traffic.outcomes) == {"answered"}


@pytest.mark.parametrize(
    ("method", "how", "during"),
    [
        ("spawn", signal.SIGKILL, "warming"),
        pytest.param("zygote", signal.SIGKILL, "warming", marks=ZYGOTE.marks),
        pytest.param("zygote", signal.SIGKILL, "serving", marks=ZYGOTE.marks),
        ("spawn", signal.SIGTERM, "serving"),
        ("spawn", signal.SIGKILL, "away"),
    ],
)
def test_the_gateway_is_restarted_in_a_burst(scene: Scene, method: str, how: signal.Signals, during: str) -> None:
    """It comes back with as many as were decided: also where those were on their way, and where the model cannot be
    loaded at first, which it could be before."""
    begun(scene, method)
    if during == "warming":
        scene.wrong("hold")
    with Traffic(scene.server) as traffic:
        scene.until(lambda: scene.status()["scaling"]["desired"] > 1)
        if during != "warming":
            scene.until_it_has(MOST)
        decided = scene.status()["scaling"]["desired"]
        before = scene.processes
        if during == "away":
            scene.wrong("refuse")
        scene.server.serving.signal(how)
        if during == "warming":
            scene.mended("hold")
        assert scene.server.serving.process.wait(PATIENCE) == (-how if how is signal.SIGKILL else 0)
        assert psutil.wait_procs(before, PATIENCE)[1] == []
        scene.server.begin_again()
        if during == "away":
            loads = len(scene.loads)
            scene.until(lambda: len(scene.loads) > loads + 3)
            assert scene.status()["scaling"]["desired"] >= decided
            scene.mended("refuse")
        scene.until_it_has(MOST)
        traffic.goes_on()
        assert scene.rose_only()
    assert traffic.outcomes.total() > traffic.outcomes["answered"]  # they have noticed


@pytest.mark.parametrize("method", ["spawn"])
def test_people_scale_in_a_burst(scene: Scene, method: str) -> None:
    """What they say holds, nothing that was decided meanwhile goes before it, and they are not written over."""
    begun(scene, method)
    with Traffic(scene.server) as traffic:
        scene.until_it_has(MOST)
        tidegate(scene.server, "scale", "slow", "--max", "2")
        scene.until_it_has(2)
        tidegate(scene.server, "scale", "slow", "--replicas", "1")
        scene.until_it_has(1)
        tidegate(scene.server, "scale", "slow", "--auto", "--min", "2", "--max", "3")
        scene.until_it_has(MOST)
        traffic.goes_on()
        predictor = scene.server.read("slow")["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"], predictor.get("replicas")) == (2, 3, None)
    assert set(traffic.outcomes) == {"answered"}
