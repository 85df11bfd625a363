"""What the contract of an Actuator is held with: each kind there is, with workloads that it can run and cannot."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from tidegate.control.activation import ActivationSettings
from tidegate.control.activator import Activator
from tidegate.control.actuator import LocalActuator, LocalActuatorSettings
from tidegate.control.model import Model
from tidegate.control.sleeping import SleepingModel
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.replicas.log import Log
from tidegate.resources.actuator import Actuator, Resolved, RevisionId, Standing, Workload
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.actuator import FakeActuator
from tidegate.testing.lives import FakeLives
from tidegate.testing.resolver import digest

Standings = Mapping[int, Standing]


class ActuatorStage(ABC):
    """One kind of actuator, made within the event loop of a test, in virtual time. Nothing runs in the beginning."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        """What the subscriber was told."""
        self._changed = asyncio.Event()
        self.actuator = self.make()
        self.actuator.subscribe(self._tell)

    @abstractmethod
    def make(self) -> Actuator:
        """An actuator that runs the workloads of ``good`` and cannot run those of ``bad``."""

    @abstractmethod
    def good(self, number: int = 1, replicas: int = 1, *, service: str = "iris") -> Workload:
        """What becomes ready."""

    @abstractmethod
    def bad(self, number: int = 1) -> Workload:
        """What does not, for a reason."""

    @abstractmethod
    async def close(self) -> None:
        """Nothing of the actuator is left, and it takes no orders."""

    async def standings(self, service: str = "iris") -> Standings:
        return await self.actuator.observe("default", service)

    async def until(self, holds: Callable[[Standings], object], service: str = "iris") -> Standings:
        """How the revisions stand once that holds. Between two looks something was told."""
        while not holds(standings := await self.standings(service)):
            self._changed.clear()
            await self._changed.wait()
        return standings

    def _tell(self, namespace: str, service: str) -> None:
        self.told.append((namespace, service))
        self._changed.set()


def workload(content: str, number: int, replicas: int, service: str) -> Workload:
    """A revision of that content, in the namespace ``default``."""
    resolved = Resolved(content, digest(content), runtime="fake/1", format="fake")
    model = {"modelFormat": {"name": "fake"}, "storageUri": content}
    return Workload(RevisionId("default", service, number), {"predictor": {"model": model}}, resolved, replicas)


class FakeStage(ActuatorStage):
    """The one of the tests."""

    def make(self) -> Actuator:
        self._fake = FakeActuator(starts_in=1.0, ends_in=1.0)
        self._fake.broken = {digest("bad"): "it is no model"}
        return self._fake

    def good(self, number: int = 1, replicas: int = 1, *, service: str = "iris") -> Workload:
        return workload("good", number, replicas, service)

    def bad(self, number: int = 1) -> Workload:
        return workload("bad", number, 1, "iris")

    async def close(self) -> None:
        self._fake.close()


class LocalStage(ActuatorStage):
    """The one of a machine, over models that live without processes."""

    def make(self) -> Actuator:
        self._activator = Activator(ActivationSettings(), Metrics("test").activation)
        self._local = LocalActuator(self._model, LocalActuatorSettings())
        return self._local

    def good(self, number: int = 1, replicas: int = 1, *, service: str = "iris") -> Workload:
        return workload("good", number, replicas, service)

    def bad(self, number: int = 1) -> Workload:
        return workload("bad", number, 1, "iris")

    async def close(self) -> None:
        await self._local.stop()

    async def _model(self, workload: Workload, log: Log) -> Model:
        lives = FakeLives(workload.id.service)
        if workload.resolved.digest == digest("bad"):
            lives.error = ModelLoadFailed("it is no model")
        return SleepingModel(lives.settings(), lives, self._activator) if workload.sleeps else lives.next()
