"""From a revision to the model that runs: its template and its resolved artifact become a plan.

actuator = LocalActuator(ServiceModels(settings, cores, cache, trust, bind).make, LocalActuatorSettings())
"""

from __future__ import annotations

from collections.abc import Callable

from tidegate.app.served_model import ServedModel
from tidegate.app.settings import ServeSettings
from tidegate.replicas.log import Log
from tidegate.resources.actuator import Workload
from tidegate.runtimes.trust import TrustPolicy
from tidegate.storage.cache import ArtifactCache
from tidegate.telemetry.metrics import RevisionMetrics

Bind = Callable[[Workload], RevisionMetrics]


class ServiceModels:
    """``make`` is what the LocalActuator is given."""

    def __init__(
        self, settings: ServeSettings, cores: int, cache: ArtifactCache, trust: TrustPolicy, bind: Bind
    ) -> None: ...

    async def make(self, workload: Workload, log: Log) -> ServedModel: ...
