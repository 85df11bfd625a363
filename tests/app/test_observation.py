"""The observer over a data plane: what it sees of two revisions, and of one that is a shadow."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np

from tidegate.analysis.observation import Comparison, Look, Observation
from tidegate.app.routing import Router
from tidegate.control.lease import Lease
from tidegate.control.rollouts.observer import Observer
from tidegate.gateway.addressee import PLAIN, Asked
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.routes import RouteTable
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, TidegateError
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Share, Traffic
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.clock import run_virtual
from tidegate.testing.models import FakeDisk, FakeModel
from tidegate.testing.stage import turns

REQUEST = InferRequest("iris", (Tensor.from_numpy("fp32", np.zeros((1, 1), np.float32), Datatype.FP32),))


class Scene:
    """Two revisions of a service that are ready."""

    def __init__(self) -> None:
        self.metrics = Metrics("0")
        self.plane = DataPlane(RouteTable(), self.metrics, GatewaySettings("0"), chance=lambda: 0.0)
        self.router = Router(self.plane, self.metrics)
        self._disk = FakeDisk()
        self.leases = {number: self.lease(str(number)) for number in (1, 2)}

    def lease(self, version: str) -> Lease:
        self._disk.write("iris", version)
        made = self._disk.make(self._disk.offered("iris")[version])
        made.answer()
        return Lease(made.offer, made)

    def model(self, number: int) -> FakeModel:
        model = self.leases[number].model
        assert isinstance(model, FakeModel)
        return model

    def direct(self, *, observed: tuple[int, ...] = (), shadow: int = 0) -> None:
        self.router.direct(
            Traffic("default", "iris", (Share(1, 100),), tuple(self.leases), observed=observed, shadow=shadow),
            self.leases,
        )

    async def ask(self, revision: str | None = None, error: TidegateError | None = None) -> None:
        """One request, from its route to its count."""
        asked = PLAIN if revision is None else Asked(revision=revision)
        route = self.plane.resolve("iris", "", asked)
        if error is None:
            (await self.plane.infer(route, REQUEST, 1e9)).release()
        self.plane.answered(route, "http", error, 0.01)
        await turns()

    def look(self) -> Look:
        observer: Observer = self.router.observations
        return observer.look("default", "iris", 1, 2)

    def counts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        look = self.look()
        return (look.stable.requests, look.stable.failures), (look.canary.requests, look.canary.failures)


def test_both_arms_are_counted_while_the_traffic_has_them_observed() -> None:
    """Before and after it nothing is, and what was counted is gone."""

    async def main() -> None:
        scene = Scene()
        scene.direct()
        await scene.ask()
        assert scene.look() == Look()
        scene.direct(observed=(1, 2))
        await scene.ask()
        await scene.ask("2")
        await scene.ask("2", ExecutionFailed("it raised"))
        assert scene.counts() == ((1, 0), (2, 1))
        assert sum(scene.look().canary.latency) == 1
        scene.direct(observed=(1, 2))
        await scene.ask()
        assert scene.counts() == ((2, 0), (2, 1))
        scene.direct()
        assert scene.look() == Look()

    run_virtual(main())


def test_a_revision_that_runs_again_counts_on() -> None:
    """Its executions begin anew, those of its requests do not."""

    async def main() -> None:
        scene = Scene()
        scene.direct(observed=(1, 2))
        await scene.ask()
        figures = scene.model(1).executor.figures
        scene.model(1).executor.figures = msgspec.structs.replace(figures, durations={4: (0, 3)})
        assert scene.look().stable.execution == {4: (0, 3)}
        kept = scene.leases.pop(1)
        scene.direct(observed=(1, 2))
        assert scene.look().stable == Observation(1, 0, scene.look().stable.latency, {})
        scene.leases[1] = scene.lease("3")
        assert scene.leases[1] is not kept
        scene.direct(observed=(1, 2))
        await scene.ask()
        assert scene.counts()[0] == (2, 0)
        assert scene.look().stable.execution == {}

    run_virtual(main())


def test_of_a_shadow_the_copies_are_counted() -> None:
    """They are no requests of its own; those that name it are not among them."""

    async def main() -> None:
        scene = Scene()
        scene.direct(observed=(1, 2), shadow=2)
        await scene.ask()
        await scene.ask("2")
        scene.model(2).executor.error = ExecutionFailed("it raised")
        await scene.ask()
        assert scene.counts() == ((2, 0), (2, 1))
        outputs = scene.look().outputs
        assert (outputs.compared, outputs.different, outputs.failed, outputs.dropped) == (1, 0, 1, 0)
        assert scene.router.observations.look("default", "iris", 1, 3).outputs == Comparison()
        assert b'shadow_requests_total{model="iris",outcome="failed",version="2"} 1.0' in scene.metrics.exposition()
        scene.router.forget(RevisionId("default", "iris", 2))
        assert b'shadow_requests_total{model="iris"' not in scene.metrics.exposition()
        scene.model(2).executor.error = None
        scene.direct(observed=(1, 2))
        assert scene.counts() == ((2, 0), (1, 0))
        assert scene.look().outputs == Comparison()
        await scene.ask()
        assert len(scene.model(2).executor.requests) == 3

    run_virtual(main())


def test_a_shadow_ends_with_its_service() -> None:
    """And with it what it was asked: the revision need not wait for copies."""

    async def main() -> None:
        scene = Scene()
        scene.model(2).executor.gate = asyncio.Event()
        scene.direct(shadow=2)
        await scene.ask()
        assert scene.leases[2].requests == 1
        scene.router.drop("default", "iris")
        await turns()
        assert scene.leases[2].requests == 0
        assert scene.plane.shadows.held == 0

    run_virtual(main())
