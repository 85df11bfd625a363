"""Copies to a shadow over real workers: their memory is used again while copies are compared, and they may die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tidegate.gateway.addressee import PLAIN
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.route import Route
from tidegate.gateway.routes import RouteTable
from tidegate.gateway.services import Service
from tidegate.gateway.shadow import OFF_LOOP, Shadow
from tidegate.gateway.shadow_settings import ShadowSettings
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.settings import ReplicaSettings
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Share, Traffic
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics

pytestmark = pytest.mark.e2e

LARGE = OFF_LOOP // 4
TRAFFIC = Traffic("default", "m", (Share(1, 100),), (1, 2), shadow=2)


class Scene:
    """Revision 1 answers, revision 2 is its shadow; both are processes of the fake runtime."""

    def __init__(self, path: Path) -> None:
        self.metrics = Metrics("test")
        self.plane = DataPlane(RouteTable(), self.metrics, GatewaySettings("test", shadow=ShadowSettings(timeout=60.0)))
        self.path = path
        self.backends: dict[int, LocalBackend] = {}
        self.shadow: Shadow | None = None

    @contextlib.asynccontextmanager
    async def running(self, **shadow: Any) -> AsyncIterator[Shadow]:
        """Both are ready; what stands in the shadow's file."""
        for number, spec in ((1, {}), (2, shadow)):
            model = self.path / f"m{number}.fake.json"
            model.write_text(json.dumps(spec))
            (self.path / str(number)).mkdir()
            settings = ReplicaSettings(directory=str(self.path / str(number)), backoff_initial=0.01)
            metrics = self.metrics.bind("m", str(number))
            self.backends[number] = LocalBackend(Artifact("m", str(number), model), "fake", settings, metrics)
        copies = self.plane.shadows.open(self.metrics.shadow("m", "2"), (0.0, 0.0))
        copies.lead(self.backends[2], (0.0, 0.0))
        routes = {
            number: Route.of_revision(RevisionId("default", "m", number), "", backend)
            for number, backend in self.backends.items()
        }
        self.plane.routes = RouteTable.of(services=[Service.of(TRAFFIC, routes, copies)])
        try:
            await asyncio.gather(*(backend.start() for backend in self.backends.values()))
            await asyncio.gather(*(backend.wait_ready(60) for backend in self.backends.values()))
            yield copies
        finally:
            await self.plane.drain()
            await asyncio.gather(*(backend.stop() for backend in self.backends.values()))

    async def ask(self, number: float, size: int = 4) -> None:
        """One request, whose answer must be its input."""
        array = np.full((1, size), number, np.float32)
        request = InferRequest("m", (Tensor.from_numpy("x", array),))
        deadline = asyncio.get_running_loop().time() + 60
        answer = await self.plane.infer(self.plane.resolve("m", "", PLAIN), request, deadline)
        try:
            assert (answer.response.outputs[0].numpy() == array).all()
        finally:
            answer.release()

    async def settled(self, copies: Shadow) -> None:
        """Return once nothing waits and nothing is sent."""
        async with asyncio.timeout(60):
            while copies.waiting or copies.sent:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


def test_copies_are_compared_while_the_workers_memory_is_used_again(tmp_path: Path) -> None:
    """Small and large, many at a time: a copy that read another request's memory would differ."""

    async def main() -> None:
        scene = Scene(tmp_path)
        async with scene.running() as copies:
            for turn in range(40):
                sizes = (4, LARGE, 4, 2 * LARGE)
                await asyncio.gather(*(scene.ask(10 * turn + place, size) for place, size in enumerate(sizes)))
            await scene.settled(copies)
            told = copies.comparison
            assert told.compared + told.dropped == 160
            assert told.compared >= 40
            assert (told.different, told.failed) == (0, 0)
            assert scene.plane.shadows.held == 0

    asyncio.run(main())


def test_a_shadow_whose_model_raises_or_dies_harms_nobody(tmp_path: Path) -> None:
    """Its failures are counted, and its successor is asked again."""

    async def main() -> None:
        scene = Scene(tmp_path)
        async with scene.running(poison=13) as copies:
            await scene.ask(13)
            await scene.settled(copies)
            assert copies.comparison.failed == 1
            [replica] = scene.backends[2].replicas
            assert replica.pid is not None
            os.kill(replica.pid, signal.SIGKILL)
            for number in range(20):
                await scene.ask(number)
            await scene.settled(copies)
            await scene.backends[2].wait_ready(60)
            before = copies.comparison.compared
            await scene.ask(1)
            await scene.settled(copies)
            assert copies.comparison.compared == before + 1

    asyncio.run(main())


def test_a_server_drains_while_its_shadow_hangs(tmp_path: Path) -> None:
    """No worker is left, and no task."""

    async def main() -> None:
        scene = Scene(tmp_path)
        async with scene.running(behaviour="hang") as copies:
            for number in range(5):
                await scene.ask(number)
            async with asyncio.timeout(10):
                await scene.plane.drain()
            assert copies.comparison.dropped == 5
            scene.backends[2].kill()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    before = psutil.Process().children()
    asyncio.run(main())
    assert psutil.Process().children() == before
