"""A live repository on fake models and a fake disk, with all that it tells: for tests in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.control.lease import Lease
from tidegate.control.offer import Offer
from tidegate.control.repository import Repository, RepositorySettings
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.messages import ModelMetadata
from tidegate.testing.models import FakeDisk, FakeModel


class Stage:
    """The repository with all that it tells: ``routes`` and ``unavailable`` as last published, ``told`` in order."""

    def __init__(self, *models: str, **settings: float) -> None:
        self.disk = FakeDisk()
        for model in models:
            self.disk.write(model)
        self.routes: list[Lease] = []
        self.unavailable: dict[str, str] = {}
        self.told: list[tuple[str, ...]] = []
        self.forgotten: list[tuple[str, str]] = []
        self.repository = Repository(
            self.disk.look, self.disk.make, self._publish, self, RepositorySettings(**settings)
        )  # fmt: skip

    def _publish(self, leases: Iterable[Lease], unavailable: Mapping[str, str]) -> None:
        self.routes, self.unavailable = list(leases), dict(unavailable)

    def found(self, offer: Offer) -> None:
        self.told.append(("found", offer.model, offer.version))

    def loaded(self, offer: Offer, seconds: float, metadata: ModelMetadata) -> None:
        self.told.append(("loaded", offer.model, offer.version))

    def failed(self, model: str, version: str, error: TidegateError, serving: bool) -> None:
        self.told.append(("failed", model, version, error.message, "serving" if serving else ""))

    def unloaded(self, offer: Offer) -> None:
        self.told.append(("unloaded", offer.model, offer.version))

    def gone(self, model: str, version: str) -> None:
        self.forgotten.append((model, version))

    async def serve(self) -> None:
        """Open and start, with everything ready at once."""
        self.repository.open(self.disk.look())
        starting = asyncio.create_task(self.repository.start())
        await turns()
        for model in self.disk.made:
            model.answer()
        await starting

    async def load(self, model: str) -> None:
        """Load a model, which is ready at once."""
        loading = asyncio.create_task(self.repository.load(model))
        await turns()
        for made in self.disk.made:
            if made.starting:
                made.answer()
        await loading

    def route(self, model: str, version: str = "1") -> FakeModel:
        """Who answers for a model."""
        [lease] = [lease for lease in self.routes if (lease.offer.model, lease.offer.version) == (model, version)]
        found: Any = lease.model
        assert isinstance(found, FakeModel)
        return found

    @property
    def served(self) -> list[str]:
        """What is routed to."""
        return [f"{lease.offer.model}/{lease.offer.version}" for lease in self.routes]

    async def states(self) -> dict[str, tuple[str, str]]:
        """State and reason by "model/version", as the index tells them."""
        entries = await self.repository.index()
        return {f"{entry.name}/{entry.version}": (entry.state, entry.reason) for entry in entries}


async def turns(count: int = 20) -> None:
    """Let everything happen that needs no time."""
    for _ in range(count):
        await asyncio.sleep(0)
