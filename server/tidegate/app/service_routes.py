"""From traffic, which names revisions by their numbers, to routes, which lead to what answers for them at the moment.

Two change it: who decides about traffic, and whoever runs the revisions. One that is stopped and started again is the
same revision, with the same traffic, and answers by another lease.
"""

from __future__ import annotations

from collections.abc import Callable

from tidegate.app.routing import Router
from tidegate.control.lease import Lease
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Traffic

Name = tuple[str, str]
"""A service: its namespace and its name."""


class ServiceRoutes:
    """``backend`` tells what answers for a revision, None for nothing; ``changed`` is called after it changes."""

    def __init__(self, router: Router, backend: Callable[[RevisionId], Lease | None]) -> None:
        self._router = router
        self._backend = backend
        self._traffic: dict[Name, Traffic] = {}
        self._leases: dict[Name, dict[int, Lease]] = {}

    def publish(self, traffic: Traffic) -> None:
        """Route to a service so from now on."""
        name = (traffic.namespace, traffic.service)
        self._traffic[name] = traffic
        self._leases[name] = self._found(traffic)
        self._router.direct(traffic, self._leases[name])

    def withdraw(self, namespace: str, service: str) -> None:
        """Route to it no more."""
        self._traffic.pop((namespace, service), None)
        self._leases.pop((namespace, service), None)
        self._router.drop(namespace, service)

    def changed(self, namespace: str, service: str) -> None:
        """The revisions of a service stand otherwise; lead its traffic to what answers for them now."""
        traffic = self._traffic.get((namespace, service))
        if traffic is not None and self._found(traffic) != self._leases[namespace, service]:
            self.publish(traffic)

    def _found(self, traffic: Traffic) -> dict[int, Lease]:
        told = {
            number: self._backend(RevisionId(traffic.namespace, traffic.service, number)) for number in traffic.running
        }
        return {number: lease for number, lease in told.items() if lease is not None}
