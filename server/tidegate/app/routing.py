"""From the models that take requests to the gateway's route table, and to the metrics that are read off them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidegate.control.lease import Lease
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.routes import Route, RouteTable
from tidegate.telemetry.metrics import Metrics


class Router:
    """``publish`` is what the repository is given. A route lives as long as its lease is published."""

    def __init__(self, plane: DataPlane, metrics: Metrics) -> None:
        self._plane = plane
        self._metrics = metrics
        self._routes: dict[Lease, Route] = {}

    def publish(self, leases: Iterable[Lease], unavailable: Mapping[str, str]) -> None:
        """Replace the route table, and watch what is in it and nothing else."""
        before = self._routes
        self._routes = {
            lease: before.get(lease) or Route(lease.offer.model, lease.offer.version, lease) for lease in leases
        }
        self._plane.routes = RouteTable.of(*self._routes.values(), unavailable=unavailable)
        for lease in before.keys() - self._routes.keys():
            self._metrics.unwatch(lease.offer.model, lease.offer.version)
        for lease, route in self._routes.items():
            if lease not in before:
                self._metrics.watch(route.model, route.version, lease.statistics)
