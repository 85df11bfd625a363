"""The Actuator of one machine: a revision is a model in child processes of this one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from tidegate.control.lease import Lease
from tidegate.control.model import Model
from tidegate.replicas.log import Follower, Log, LogLine, LogSettings
from tidegate.resources.actuator import RevisionId, Standing, Workload

Make = Callable[[Workload, Log], Awaitable[Model]]
"""Makes the model of a revision, without starting it; its replicas write to the log. Raises TidegateError."""


class LocalActuatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    ready_timeout: float = 600.0
    log: LogSettings = LogSettings()


class LocalActuator:
    """Implements the Actuator."""

    def __init__(self, make: Make, settings: LocalActuatorSettings) -> None: ...

    async def run(self, workload: Workload) -> None: ...

    async def end(self, revision: RevisionId) -> None: ...

    async def observe(self, namespace: str, service: str) -> Mapping[int, Standing]: ...

    def subscribe(self, changed: Callable[[str, str], None]) -> None: ...

    def backend(self, revision: RevisionId) -> Lease | None:
        """What answers for a revision, ready or not; None where it does not run."""

    def logs(self, revision: RevisionId) -> tuple[LogLine, ...]: ...

    def follow(self, revision: RevisionId) -> Follower | None: ...

    async def stop(self) -> None:
        """End all revisions, and return once nothing is left."""

    def kill(self) -> None:
        """End all revisions with all that they have; ``stop`` is still to be awaited."""
