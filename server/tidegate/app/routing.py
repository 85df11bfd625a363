"""From what takes requests to the gateway's route table, and to the metrics that are read off it.

A model of the repository and a revision of a service may have one name and number. Then the service answers, and the
metrics of that name are the service's alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tidegate.app.observation import Observations
from tidegate.control.lease import Lease
from tidegate.gateway.addressee import ServiceName
from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.route import DEFAULT, Route, label
from tidegate.gateway.routes import RouteTable
from tidegate.gateway.services import Service
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Traffic
from tidegate.telemetry.metrics import Metrics

Labels = tuple[str, str]
"""What something is measured by: model and version."""


class Router:
    """``publish`` is what the repository is given, ``direct`` and ``drop`` whoever owns the services.

    A route lives as long as its lease is published. ``observations`` tell what is seen of the services' revisions.
    """

    def __init__(self, plane: DataPlane, metrics: Metrics) -> None:
        self._plane = plane
        self.observations = Observations(plane, metrics)
        self._metrics = metrics
        self._models: dict[Lease, Route] = {}
        self._unavailable: Mapping[str, str] = {}
        self._revisions: dict[ServiceName, dict[Lease, Route]] = {}
        self._services: dict[ServiceName, Service] = {}
        self._watched: dict[Labels, Lease] = {}

    def publish(self, leases: Iterable[Lease], unavailable: Mapping[str, str]) -> None:
        """Serve these versions of the repository's models, and no others."""
        before = self._models
        self._models = {
            lease: before.get(lease) or Route(lease.offer.model, lease.offer.version, lease) for lease in leases
        }
        self._unavailable = unavailable
        self._replace()

    def direct(self, traffic: Traffic, leases: Mapping[int, Lease]) -> None:
        """Serve a service as its traffic has it; ``leases`` are its running revisions', by number."""
        name = ServiceName(traffic.namespace, traffic.service)
        before = self._revisions.get(name, {})
        routes = {
            number: before.get(lease)
            or Route.of_revision(
                RevisionId(*name, number), traffic.versions.get(number, ""), lease, lease.model.configuration
            )
            for number, lease in leases.items()
        }
        observed, shadow = self.observations.follow(traffic, leases)
        seen = {
            number: msgspec.structs.replace(route, observed=observed[number]) if number in observed else route
            for number, route in routes.items()
        }
        self._services[name] = Service.of(traffic, seen, shadow)
        self._revisions[name] = {lease: routes[number] for number, lease in leases.items()}
        self._replace()

    def drop(self, namespace: str, service: str) -> None:
        """Serve a service no more."""
        name = ServiceName(namespace, service)
        self._services.pop(name, None)
        self._revisions.pop(name, None)
        self.observations.drop(name)
        self._replace()

    def answers(self, namespace: str, service: str) -> bool:
        """Whether a revision of a service takes requests."""
        return any(lease.readiness.ready for lease in self._revisions.get(ServiceName(namespace, service), ()))

    def forget(self, revision: RevisionId) -> None:
        """Drop the metrics of a revision that is no longer kept. One that only ended may be gone back to."""
        self._plane.forget(label(revision.namespace, revision.service), str(revision.number))

    def forget_model(self, model: str, version: str) -> None:
        """Drop the metrics of a version that is gone for good, unless they are those of a service's revision."""
        if all(route.version != version for route in self._revisions.get(ServiceName(DEFAULT, model), {}).values()):
            self._plane.forget(model, version)

    def _replace(self) -> None:
        """Replace the route table, and watch what can be found in it and nothing else."""
        self._plane.routes = RouteTable.of(
            *self._models.values(), unavailable=self._unavailable, services=self._services.values()
        )
        before, self._watched = self._watched, self._found()
        for labels in before.keys() - self._watched.keys():
            self._metrics.unwatch(*labels)
        for labels, lease in self._watched.items():
            if before.get(labels) is not lease:
                self._metrics.watch(*labels, lease.statistics)

    def _found(self) -> dict[Labels, Lease]:
        """What answers, by its labels: not the models that a service hides."""
        revisions = [each for routes in self._revisions.values() for each in routes.items()]
        models = [each for each in self._models.items() if ServiceName(DEFAULT, each[1].model) not in self._services]
        return {(route.model, route.version): lease for lease, route in (*models, *revisions)}
