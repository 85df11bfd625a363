"""The port to whoever owns the models: what could be served, and wishes to change what is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.repository import IndexEntry


class ModelRepository(Protocol):
    """The models that are or could be routed to. It replaces the data plane's route table when that changes."""

    async def index(self) -> Sequence[IndexEntry]:
        """Every version of every model, loaded or not, by name and number."""
        ...

    async def load(self, model: str) -> None:
        """Serve a model as it lies in its repository now; return once it answers. Cancelling this cancels no load.

        Raises:
            ModelNotFound: there is none of that name.
            ModelLoadFailed: it cannot be loaded; what was served before still is.
            Unavailable: it is not ready in time, or was unloaded meanwhile.
        """
        ...

    async def unload(self, model: str) -> None:
        """Route no more requests to a model, and return once nothing of it is left.

        Raises:
            ModelNotFound: there is none of that name.
        """
        ...

    def configuration(self, model: str, version: str) -> ModelConfiguration:
        """How a version that is routed to is run.

        Raises:
            ModelNotFound, VersionNotFound: it is not.
            ModelNotReady: its first load has not ended yet.
        """
        ...
