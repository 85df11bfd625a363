"""Workers out of a zygote, under a replica: which are forked, what the end of either leaves, and what is then done."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tidegate.batching.settings import BatchSettings
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.process import WorkerProcess, exit_text
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.zygote import NotForked, Zygote
from tidegate.replicas.zygotes import Kind, Zygotes
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no zygotes"),
]

FAKE = Kind("fake", 0)
X = np.arange(4, dtype=np.float32).reshape(1, 4)


class Stage:
    """Makes backends of the fake runtime, with one owner of zygotes."""

    def __init__(self, path: Path) -> None:
        self.workers = path / "workers"
        self.workers.mkdir()
        self.model = path / "m.fake.json"
        self.model.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}))
        self.zygotes = Zygotes(timeout=60)

    def backend(self, **settings: Any) -> LocalBackend:
        changed = {"directory": str(self.workers), "backoff_initial": 0.01, "start_method": "zygote", **settings}
        return LocalBackend(
            Artifact("m", "1", self.model),
            "fake",
            ReplicaSettings(**changed),
            Metrics("t").bind("m", "1"),
            BatchSettings(),
            zygotes=self.zygotes,
        )

    @contextlib.asynccontextmanager
    async def ready(self, **settings: Any) -> AsyncIterator[LocalBackend]:
        backend = self.backend(**settings)
        await backend.start()
        try:
            await backend.wait_ready(60)
            yield backend
        finally:
            await backend.stop()

    async def zygote(self) -> Zygote:
        """The one of the fake runtime, ready; the first worker, which brings it, is gone again."""
        async with self.ready():
            found: Zygote = await until(lambda: (found := self.zygotes.running.get(FAKE)) and found.ready and found)
            return found


async def until(told: Callable[[], Any]) -> Any:
    """What it tells, once that is true. Each turn looks anew: nothing here tells of its change."""
    async with asyncio.timeout(60):
        while not (found := told()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Whatever happens to it: no process, directory or descriptor stays."""
    gc.collect()
    process = psutil.Process()
    descriptors, children = process.num_fds(), process.children()
    made = Stage(tmp_path)
    yield made
    made.zygotes.close()
    gc.collect()
    assert process.children() == children
    assert list(made.workers.iterdir()) == []
    assert process.num_fds() == descriptors


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 120))


async def infer(backend: LocalBackend, **parameters: Any) -> None:
    request = InferRequest("m", (Tensor.from_numpy("x", X),), parameters=parameters)
    answer = await backend.infer(request, asyncio.get_running_loop().time() + 60)
    assert (answer.response.outputs[0].numpy() == X).all()
    answer.release()


def pid_of(backend: LocalBackend) -> int:
    [replica] = backend.replicas
    assert replica.pid is not None
    return replica.pid


def test_the_second_worker_is_forked(stage: Stage) -> None:
    """It is this process' child, the leader of its own session, holds no more than a spawned one, and answers as it."""

    async def main() -> None:
        zygote = await stage.zygote()
        async with stage.ready(start_method="spawn") as spawned, stage.ready() as backend:
            await infer(backend)
            worker = psutil.Process(pid_of(backend))
            assert (zygote.forked, worker.ppid()) == (1, os.getpid())
            assert os.getsid(worker.pid) == worker.pid
            assert "tidegate.runtimes.zygote" in worker.cmdline()
            assert worker.num_fds() == psutil.Process(pid_of(spawned)).num_fds()

    run(main())


@pytest.mark.parametrize(
    ("method", "lives", "forked"),
    [
        pytest.param("spawn", 3, False, id="spawn: never"),
        pytest.param("zygote", 1, True, id="zygote: from the first that is ready"),
        pytest.param("auto", 1, False, id="auto: not with one that only starts"),
        pytest.param("auto", 2, True, id="auto: from the first that comes again"),
    ],
)
def test_when_there_is_a_zygote(stage: Stage, method: str, lives: int, forked: bool) -> None:
    """Its memory is taken only where workers come again, or where that is asked for."""

    async def main() -> None:
        for _ in range(lives):
            async with stage.ready(start_method=method, replicas=2):
                pass
        assert bool(stage.zygotes.running) == forked

    run(main())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_the_end_of_a_forked_worker_is_told(stage: Stage, number: signal.Signals) -> None:
    """By the name of its signal, as if it had been spawned."""

    async def main() -> None:
        zygote = await stage.zygote()
        process = WorkerProcess(ReplicaSettings(directory=str(stage.workers)), threads=0)
        await process.fork(zygote)
        (await process.connect()).close()
        os.kill(process.pid, number)
        assert exit_text(await process.exited) == f"its worker was killed by {number.name}"
        await process.end()

    run(main())


def test_a_worker_that_crashes_is_forked_again(stage: Stage) -> None:
    """A replica's lives all come from one zygote, and a request outlives one of them."""

    async def main() -> None:
        zygote = await stage.zygote()
        async with stage.ready() as backend:
            os.kill(pid_of(backend), signal.SIGSEGV)
            await until(lambda: backend.replicas[0].restarts)
            await infer(backend)
        assert zygote.forked == 2

    run(main())


def test_workers_outlive_their_zygote(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is killed: what it forked goes on, and is told as before when it ends; another one comes, and forks."""

    async def main() -> None:
        zygote = await stage.zygote()
        async with stage.ready() as backend:
            os.kill(zygote.pid or 0, signal.SIGKILL)
            await until(lambda: zygote.pid is None)
            await infer(backend)
            process = psutil.Process(pid_of(backend))
            process.kill()
            await until(lambda: backend.replicas[0].restarts)  # spawned, for there is no zygote
            await infer(backend)
            again = await until(lambda: (found := stage.zygotes.running.get(FAKE)) and found.ready and found)
            os.kill(pid_of(backend), signal.SIGKILL)
            await until(lambda: again.forked)
            await infer(backend)

    with caplog.at_level(logging.WARNING):
        run(main())
    assert "the zygote of runtime fake has ended" in caplog.messages
    assert sum("its worker was killed by SIGKILL; starting again" in message for message in caplog.messages) == 2


def test_the_zygote_dies_while_it_is_asked(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is stopped, asked, and killed before it has forked: the worker is spawned, and nothing of the try stays."""

    async def main() -> None:
        zygote = await stage.zygote()
        pid = zygote.pid or 0
        os.kill(pid, signal.SIGSTOP)
        backend = stage.backend()
        await backend.start()
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        await backend.wait_ready(60)
        await infer(backend)
        assert zygote.forked == 0
        await backend.stop()

    with caplog.at_level(logging.WARNING):
        run(main())
    assert "model m: its worker is spawned, the zygote forks none: it could not, or is gone" in caplog.messages


def test_the_zygote_is_killed_at_any_moment(stage: Stage) -> None:
    """Before, in or after the fork, there is one worker in the end or none, and nothing besides."""

    async def main() -> None:
        for turn in range(5):
            zygote = await stage.zygote()
            process = WorkerProcess(ReplicaSettings(directory=str(stage.workers)), threads=0)
            fork = asyncio.create_task(process.fork(zygote))
            await asyncio.sleep(turn / 2000)
            os.kill(zygote.pid or 0, signal.SIGKILL)
            try:
                await fork
            except NotForked:
                assert list(stage.workers.iterdir()) == []
            else:
                (await process.connect()).close()
                await process.end()
            await until(lambda: not stage.zygotes.running)
            stage.zygotes.close()
            stage.zygotes = Zygotes()

    run(main())


GATEWAY = """
import asyncio, json, sys
from pathlib import Path
from tidegate.replicas.process import WorkerProcess
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.zygotes import Kind, Zygotes

async def main():
    kind, zygotes = Kind("fake", 0), Zygotes()
    zygotes.worker_ready(kind, "zygote")
    while (zygote := zygotes.take(kind, "zygote")) is None:
        await asyncio.sleep(0.01)
    process = WorkerProcess(ReplicaSettings(directory=sys.argv[1]), 0)
    await process.fork(zygote)
    connected = await process.connect()
    print(zygote.pid, process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_nothing_outlives_a_gateway_that_is_killed(tmp_path: Path) -> None:
    """Neither the zygote nor its worker, nor the worker's directory."""
    command = [sys.executable, "-c", GATEWAY, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as gateway:
        assert gateway.stdout is not None
        children = [psutil.Process(int(word)) for word in gateway.stdout.readline().split()]
        assert len(children) == 2
        gateway.kill()
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_a_zygote_that_hangs_is_replaced(stage: Stage) -> None:
    """It is asked, and does nothing: after its time it is ended, and the worker is spawned."""
    stage.zygotes = Zygotes(timeout=0.2)

    async def main() -> None:
        zygote = await stage.zygote()
        os.kill(zygote.pid or 0, signal.SIGSTOP)
        async with stage.ready() as backend:
            await infer(backend)
        assert (zygote.pid, zygote.forked) == (None, 0)

    run(main())


def test_a_start_that_is_cancelled_leaves_nothing(stage: Stage) -> None:
    """The loop is closed while the zygote is asked; whether it has forked by then or not, no worker stays."""

    async def main() -> None:
        zygote = await stage.zygote()
        process = WorkerProcess(ReplicaSettings(directory=str(stage.workers)), threads=0)
        fork = asyncio.create_task(process.fork(zygote))
        await asyncio.sleep(0)
        fork.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fork

    run(main())


def test_nothing_to_fork(stage: Stage) -> None:
    """A worker's output cannot be passed on: that is told, and nothing is held."""

    async def main() -> None:
        zygote = await stage.zygote()
        zygote.close()
        process = WorkerProcess(ReplicaSettings(directory=str(stage.workers)), threads=0)
        with pytest.raises(NotForked):
            await process.fork(zygote)
        process.start()
        (await process.connect()).close()
        await process.end()

    run(main())


def test_a_runtime_that_cannot_be_forked(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The zygote says why, once, and is not started again."""

    async def main() -> None:
        for _ in range(2):
            stage.zygotes.worker_ready(Kind("none", 0), "zygote")
            await until(lambda: not stage.zygotes.running)

    with caplog.at_level(logging.INFO):
        run(main())
    [message] = [text for text in caplog.messages if "none" in text]
    assert message.startswith("workers of runtime none are spawned, not forked: there is no runtime 'none'")


def test_no_more_zygotes_than_there_may_be(stage: Stage) -> None:
    """One for each number of threads, until there are too many: then the one that was not asked for longest ends."""
    stage.zygotes = Zygotes(most=2)

    async def main() -> None:
        kinds = [Kind("fake", threads) for threads in (1, 2, 3)]
        for kind in kinds[:2]:
            stage.zygotes.worker_ready(kind, "zygote")
        stage.zygotes.take(kinds[0], "zygote")
        stage.zygotes.worker_ready(kinds[2], "zygote")
        assert list(stage.zygotes.running) == [kinds[0], kinds[2]]

    run(main())
