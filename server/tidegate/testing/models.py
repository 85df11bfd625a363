"""Models that load when a test says so, and a disk in memory: whatever owns models runs on both in virtual time. ::

disk = FakeDisk()
disk.write("m")
repository = Repository(disk.look, disk.make, publish, observer, RepositorySettings())
loading = asyncio.create_task(repository.load("m"))
disk.made[-1].answer()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tidegate.control.offer import Offer, Survey
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, TidegateError
from tidegate.replicas.readiness import Readiness
from tidegate.storage.repository import ModelSource
from tidegate.storage.tree import Part
from tidegate.testing.backends import IdentityBackend, identity_metadata

ROOT = Path("/models")


class FakeModel:
    """Implements control's Model. ``start`` waits for ``answer`` or ``fail``.

    ``starts``, ``stops`` and ``killed`` tell what was done with it; ``misused`` what must not be done.
    """

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.executor = IdentityBackend(identity_metadata(offer.model))
        self.executor.state = Readiness(False, "it is being loaded")
        self.starts = 0
        self.stops = 0
        self.killed = False
        self.replicas = 1
        """As many as it was told to have; all of them are ready when it is."""
        self.hopeless = False
        """Whether whoever keeps its replicas has as good as given up."""
        self.misused: list[str] = []
        self._inside = False
        self._outcome: asyncio.Future[None] | None = None
        self._watcher: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<FakeModel {self.offer.model} version {self.offer.version}>"

    @property
    def awake(self) -> bool:
        """See control's Model: always, for it is not loaded on demand."""
        return True

    @property
    def ready(self) -> int:
        """See control's Model."""
        return self.replicas if self.executor.state.ready else 0

    def subscribe(self, changed: Callable[[], None]) -> None:
        """See control's Model."""
        self._watcher = changed

    def resize(self, replicas: int) -> None:
        """See control's Model."""
        if replicas < 1:
            self.misused.append(f"resized to {replicas}")
        self.replicas = replicas
        self._tell()

    def wish(self, awake: bool) -> None:
        """See control's Model: nothing, for it does not sleep."""

    def _tell(self) -> None:
        if self._watcher is not None:
            self._watcher()

    @property
    def starting(self) -> bool:
        """Whether ``answer`` or ``fail`` is waited for."""
        return self._outcome is not None and not self._outcome.done()

    def answer(self) -> None:
        """It has loaded, or is well again."""
        self.executor.state = Readiness(True)
        self._tell()
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(None)

    def fail(self, error: BaseException | str) -> None:
        """It cannot be loaded."""
        error = ModelLoadFailed(error) if isinstance(error, str) else error
        self.executor.state = Readiness(False, error.message if isinstance(error, TidegateError) else "")
        self._tell()
        assert self.starting, f"{self} is not being started"
        assert self._outcome is not None
        self._outcome.set_exception(error)

    async def start(self, timeout: float) -> None:
        """See control's Model."""
        if self.starts or self.stops or self.killed:
            self.misused.append("started, though it lives only once")
        self.starts += 1
        self._outcome = asyncio.get_running_loop().create_future()
        self._inside = True
        try:
            async with asyncio.timeout(timeout):
                await self._outcome
        except TimeoutError as error:
            raise ModelNotReady(self.offer.model, "it is being loaded", retry_after=1.0) from error
        finally:
            self._inside = False

    async def wake(self, timeout: float) -> None:
        """See control's Model: nothing, for it never sleeps."""

    async def measure(self) -> int:
        """See control's Model."""
        return 0

    async def stop(self) -> None:
        """See control's Model."""
        if self.stops:
            self.misused.append("stopped twice")
        if self._inside:
            self.misused.append("stopped while it was being started")
        self.stops += 1
        self.executor.state = Readiness(False, "it was stopped")
        self._tell()
        await asyncio.sleep(0.1)  # a process takes time to end

    def kill(self) -> None:
        """See control's Model."""
        self.killed = True

    def configuration(self) -> ModelConfiguration:
        """See control's Model."""
        raise ModelNotReady(self.offer.model, self.executor.state.reason)


class FakeDisk:
    """What lies under one path that is served. ``made`` are the models that were made of it, the newest last."""

    def __init__(self) -> None:
        self.made: list[FakeModel] = []
        self.looks = 0
        self._offers: dict[str, dict[str, Offer]] = {}
        self._problems: dict[str, str] = {}
        self._writes = 0

    def write(self, model: str, version: str = "1") -> Path:
        """Write a model's version, or write it anew; returns where it lies. The model has no problem any more."""
        self._writes += 1
        path = ROOT / model / version
        offer = Offer(ModelSource(model, version, path, "fake", "fake"), (Part("m", path, False, self._writes),), ROOT)
        self._problems.pop(model, None)
        versions = {**self._offers.get(model, {}), version: offer}
        self._offers[model] = dict(sorted(versions.items(), key=lambda item: int(item[0])))
        return path

    def remove(self, model: str, version: str = "") -> Path:
        """Take a version away, or the whole model; returns what went."""
        self._problems.pop(model, None)
        versions = self._offers.get(model, {})
        kept = {number: offer for number, offer in versions.items() if version and number != version}
        self._offers[model] = kept
        if not kept:
            del self._offers[model]
        return ROOT / model / version

    def spoil(self, model: str, problem: str) -> Path:
        """Make it impossible to tell what the model is."""
        self._offers.pop(model, None)
        self._problems[model] = problem
        return ROOT / model

    def offered(self, model: str) -> dict[str, Offer]:
        """The versions of a model that lie there."""
        return dict(self._offers.get(model, {}))

    def look(self) -> Survey:
        """What the repository calls in a thread."""
        self.looks += 1
        return Survey({model: dict(versions) for model, versions in self._offers.items()}, dict(self._problems))

    def make(self, offer: Offer) -> FakeModel:
        """Make a model without starting it."""
        self.made.append(FakeModel(offer))
        return self.made[-1]
