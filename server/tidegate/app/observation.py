"""What is seen of a service's revisions while a rollout goes on: kept for as long as its traffic names them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.analysis.histogram import Counts
from tidegate.analysis.observation import Look, Observation
from tidegate.control.lease import Lease
from tidegate.gateway.addressee import ServiceName
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.observed import Observed
from tidegate.gateway.route import label
from tidegate.gateway.shadow import Shadow
from tidegate.resources.traffic import Traffic
from tidegate.telemetry.metrics import Metrics


class _Seen(msgspec.Struct):
    """One service's."""

    observed: dict[int, Observed]
    """Revisions under the traffic's ``observed``, by number."""
    leases: Mapping[int, Lease]
    number: int = 0
    """The shadow's revision."""
    shadow: Shadow | None = None


class Observations:
    """Implements the Observer. The router follows each traffic here, and routes by what it is given."""

    def __init__(self, plane: DataPlane, metrics: Metrics) -> None:
        self._plane = plane
        self._metrics = metrics
        self._services: dict[ServiceName, _Seen] = {}

    def __repr__(self) -> str:
        return f"<Observations of {len(self._services)} services>"

    def follow(self, traffic: Traffic, leases: Mapping[int, Lease]) -> tuple[Mapping[int, Observed], Shadow | None]:
        """Where to count the requests of each revision that is observed, and what gets copies.

        What was counted goes on where the traffic before had it, too, also for a revision that runs again.
        """
        name = ServiceName(traffic.namespace, traffic.service)
        if not traffic.observed and not traffic.shadow:
            self.drop(name)
            return {}, None
        seen = self._services.setdefault(name, _Seen({}, {}))
        seen.leases = leases
        seen.observed = {number: seen.observed.get(number) or Observed() for number in traffic.observed}
        if seen.number != traffic.shadow:
            self._end(seen)
            seen.number = traffic.shadow
        if traffic.shadow:
            seen.shadow = seen.shadow or self._open(name, traffic)
            seen.shadow.lead(leases.get(traffic.shadow), traffic.tolerance)
        return seen.observed, seen.shadow

    def drop(self, name: ServiceName) -> None:
        """Look at nothing of a service any more."""
        seen = self._services.pop(name, None)
        if seen is not None:
            self._end(seen)

    def look(self, namespace: str, service: str, stable: int, canary: int) -> Look:
        """See Observer."""
        seen = self._services.get(ServiceName(namespace, service))
        if seen is None:
            return Look()
        shadow = seen.shadow if seen.number == canary else None
        if shadow is None:
            return Look(_arm(seen, stable), _arm(seen, canary))
        outputs = shadow.comparison
        copies = Observation(
            outputs.compared + outputs.failed, outputs.failed, shadow.latency.counts(), _executions(seen, canary)
        )
        return Look(_arm(seen, stable), copies, outputs)

    def _open(self, name: ServiceName, traffic: Traffic) -> Shadow:
        metrics = self._metrics.shadow(label(name.namespace, name.name), str(traffic.shadow))
        return self._plane.shadows.open(metrics, traffic.tolerance)

    def _end(self, seen: _Seen) -> None:
        if seen.shadow is not None:
            seen.shadow.end()
            seen.shadow = None


def _arm(seen: _Seen, number: int) -> Observation:
    observed = seen.observed.get(number)
    if observed is None:
        return Observation()
    return Observation(observed.requests, observed.failures, observed.latency.counts(), _executions(seen, number))


def _executions(seen: _Seen, number: int) -> Mapping[int, Counts]:
    lease = seen.leases.get(number)
    return {} if lease is None else lease.statistics().durations
