"""Traffic is led to what answers for a revision now, whichever of the two has changed."""

from __future__ import annotations

import pytest

from tidegate.app.routing import Router
from tidegate.app.service_routes import ServiceRoutes
from tidegate.control.lease import Lease
from tidegate.gateway.addressee import PLAIN
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.routes import RouteTable
from tidegate.protocol.errors import ModelNotReady, NotFound
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Share, Traffic
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.clock import run_virtual
from tidegate.testing.models import FakeDisk

ONE, TWO = RevisionId("default", "iris", 1), RevisionId("default", "iris", 2)


class Scene:
    """The routes of services, over revisions that are whatever the test says."""

    def __init__(self) -> None:
        metrics = Metrics("0")
        self.plane = DataPlane(RouteTable(), metrics, GatewaySettings("0"))
        self.leases: dict[RevisionId, Lease] = {}
        self.routes = ServiceRoutes(Router(self.plane, metrics), self.leases.get)
        self._disk = FakeDisk()

    def lease(self) -> Lease:
        self._disk.write("iris")
        made = self._disk.make(self._disk.offered("iris")["1"])
        return Lease(made.offer, made)

    def routed(self) -> object:
        """What a request would be led to."""
        return self.plane.resolve("iris", "", PLAIN).backend


def traffic(number: int) -> Traffic:
    return Traffic("default", "iris", (Share(number, 100),), (number,))


def test_a_revision_that_has_traffic_before_it_is_made_is_routed_to_once_it_is() -> None:
    """As after a restart of the server; until then its callers are told that nothing of it runs."""

    async def main() -> None:
        scene = Scene()
        scene.routes.publish(traffic(1))
        with pytest.raises(ModelNotReady):
            scene.routed()
        scene.leases[ONE] = scene.lease()
        scene.routes.changed("default", "iris")
        assert scene.routed() is scene.leases[ONE]

    run_virtual(main())


def test_a_revision_that_is_made_anew_is_led_to_anew() -> None:
    """Stopped and started again, with the same traffic as before."""

    async def main() -> None:
        scene = Scene()
        scene.leases[ONE] = old = scene.lease()
        scene.routes.publish(traffic(1))
        scene.leases[ONE] = scene.lease()
        scene.routes.changed("default", "iris")
        assert scene.routed() is scene.leases[ONE] is not old

    run_virtual(main())


def test_what_is_not_published_is_not_routed_to() -> None:
    """A service that was withdrawn stays away, and of the others only what has traffic is led to."""

    async def main() -> None:
        scene = Scene()
        scene.leases |= {ONE: scene.lease(), TWO: scene.lease()}
        scene.routes.publish(traffic(2))
        scene.routes.changed("default", "iris")
        scene.routes.changed("default", "rose")
        assert scene.routed() is scene.leases[TWO]
        scene.routes.withdraw("default", "iris")
        scene.routes.changed("default", "iris")
        with pytest.raises(NotFound):
            scene.routed()

    run_virtual(main())


def test_a_change_that_leads_nowhere_else_costs_no_new_table() -> None:
    """Replicas come and go more often than revisions."""

    async def main() -> None:
        scene = Scene()
        scene.leases[ONE] = scene.lease()
        scene.routes.publish(traffic(1))
        table = scene.plane.routes
        scene.routes.changed("default", "iris")
        assert scene.plane.routes is table

    run_virtual(main())
