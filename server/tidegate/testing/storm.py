"""Many requests through one backend while its worker is killed again and again: nothing may be lost, mixed or left.

The suite runs a short one, ``scripts/soak`` a long one. Needs psutil.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics

_COLUMNS = (4, 20_000)
"""Every other request is small and travels inline; the rest need shared memory."""


class StormReport(msgspec.Struct, frozen=True):
    right: int
    wrong: int
    """Answers that are not their own request's."""
    errors: dict[str, int]
    """Requests that were answered with an error, by its class."""
    kills: int
    restarts: int
    descriptors_grown: int
    """Open descriptors at the end, over those after the first tenth of the requests."""
    bytes_grown: int
    """Resident memory of this process, likewise."""


class _Storm:
    def __init__(self, backend: LocalBackend, requests: int, kills: int) -> None:
        self._backend = backend
        self._requests = requests
        self._every = max(3, requests // kills)
        self._kills_left = kills
        self._next = 0
        self._process = psutil.Process()
        self._warm = (0, 0)
        self.right = self.wrong = self.kills = 0
        self.errors: Counter[str] = Counter()

    async def client(self) -> None:
        while self._next < self._requests:
            number = self._next
            self._next += 1
            try:
                await self._ask(number)
            except TidegateError as error:
                self.errors[type(error).__name__] += 1
            self._answered(self.right + self.wrong + self.errors.total())

    async def _ask(self, number: int) -> None:
        array = np.full((1, _COLUMNS[number % 2]), number, dtype=np.float32)
        request = InferRequest("storm", (Tensor.from_numpy("x", array, Datatype.FP32),), id=str(number))
        answer = await self._backend.infer(request, asyncio.get_running_loop().time() + 60.0)
        [output] = answer.response.outputs
        if answer.response.id == str(number) and np.array_equal(output.numpy(), array):
            self.right += 1
        else:
            self.wrong += 1
        answer.release()

    def _answered(self, count: int) -> None:
        if count == self._requests // 10:
            self._warm = self.held()
        pid = self._backend.replicas[0].pid
        if count % self._every == 0 and self._kills_left and pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
            self._kills_left -= 1

    def held(self) -> tuple[int, int]:
        gc.collect()
        return self._process.num_fds(), self._process.memory_info().rss

    def grown(self) -> tuple[int, int]:
        (descriptors, size), (descriptors_before, size_before) = self.held(), self._warm
        return descriptors - descriptors_before, size - size_before


async def storm(directory: Path, requests: int, kills: int, clients: int = 8) -> StormReport:
    """Send so many requests, killing the worker so many times in between; ``directory`` is for the model's files."""
    model = directory / "storm.fake.json"
    model.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}))
    settings = ReplicaSettings(directory=str(directory), backoff_initial=0.001)
    metrics = Metrics("storm").bind("storm", "1")
    backend = LocalBackend(Artifact("storm", "1", model), "fake", settings, metrics)
    await backend.start()
    try:
        await backend.wait_ready(60.0)
        run = _Storm(backend, requests, kills)
        await asyncio.gather(*(run.client() for _ in range(clients)))
        await backend.wait_ready(60.0)
        descriptors, size = run.grown()
        restarts = sum(replica.restarts for replica in backend.replicas)
    finally:
        await backend.stop()
    return StormReport(run.right, run.wrong, dict(run.errors), run.kills, restarts, descriptors, size)


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let this process open only so many descriptors more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(count + 1)]  # the lowest numbers, as always
    for number in free:
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def spinning(process: psutil.Process) -> None:
    """Return once the process has computed for a fifth of a second, which is not what a waiting one does."""
    before = process.cpu_times().user
    while process.cpu_times().user < before + 0.2:
        os.sched_yield()
