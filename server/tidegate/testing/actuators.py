"""What the contract of an Actuator is held with: the actuators there are, each with workloads that it can run or not."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from tidegate.resources.actuator import Actuator, Resolved, RevisionId, Standing, Workload
from tidegate.testing.actuator import FakeActuator
from tidegate.testing.resolver import digest

Standings = Mapping[int, Standing]


class ActuatorStage(ABC):
    """One kind of actuator, made within the event loop of a test, in virtual time. Nothing runs in the beginning."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        """What the subscriber was told."""
        self.actuator = self.make()
        self.actuator.subscribe(lambda namespace, service: self.told.append((namespace, service)))

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
            count = len(self.told)
            while len(self.told) == count:
                await asyncio.sleep(0.01)
        return standings


class FakeStage(ActuatorStage):
    """The one of the tests."""

    def make(self) -> Actuator:
        self._fake = FakeActuator(starts_in=1.0, ends_in=1.0)
        self._fake.broken = {digest("bad"): "it is no model"}
        return self._fake

    def good(self, number: int = 1, replicas: int = 1, *, service: str = "iris") -> Workload:
        return self._workload("good", number, replicas, service)

    def bad(self, number: int = 1) -> Workload:
        return self._workload("bad", number, 1, "iris")

    async def close(self) -> None:
        self._fake.close()

    def _workload(self, content: str, number: int, replicas: int, service: str) -> Workload:
        resolved = Resolved(content, digest(content), runtime="fake/1", format="fake")
        model = {"modelFormat": {"name": "fake"}, "storageUri": content}
        return Workload(RevisionId("default", service, number), {"predictor": {"model": model}}, resolved, replicas)
