"""The router: models and services become one route table, and no request is lost when it changes."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.app.routing import Router
from tidegate.control.lease import Lease
from tidegate.gateway.addressee import PLAIN
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.routes import RouteTable
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Share, Traffic
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.clock import run_virtual
from tidegate.testing.models import FakeDisk, FakeModel
from tidegate.testing.stage import turns

REQUEST = InferRequest("iris", (Tensor.from_numpy("fp32", np.zeros((1, 1), np.float32), Datatype.FP32),))
FOREVER = 1e9


class Scene:
    """A data plane with its router, and models on a fake disk."""

    def __init__(self) -> None:
        self.metrics = Metrics("0")
        self.plane = DataPlane(RouteTable(), self.metrics, GatewaySettings("0"), chance=lambda: 0.5)
        self.router = Router(self.plane, self.metrics)
        self.disk = FakeDisk()

    def lease(self, model: str, version: str = "1") -> Lease:
        """A version of a model that is ready."""
        self.disk.write(model, version)
        made = self.disk.make(self.disk.offered(model)[version])
        made.answer()
        return Lease(made.offer, made)

    def ask(self, model: str) -> asyncio.Task[object]:
        """A request, from its route to its answer."""
        route = self.plane.resolve(model, "", self.plane.asked([]))
        return asyncio.create_task(self.plane.infer(route, REQUEST, FOREVER))


def traffic(*numbers: int, service: str = "iris", namespace: str = "default") -> Traffic:
    """All requests go to the first of these revisions."""
    return Traffic(namespace, service, (Share(numbers[0], 100),), numbers)


def gated(lease: Lease) -> asyncio.Event:
    """Hold a lease's requests until the event is set."""
    assert isinstance(lease.model, FakeModel)
    gate = lease.model.executor.gate = lease.model.executor.gate or asyncio.Event()
    return gate


def test_models_and_services_are_served_side_by_side() -> None:
    """Whoever publishes replaces only what is his."""

    async def main() -> None:
        scene = Scene()
        plain, iris = scene.lease("plain"), scene.lease("iris")
        scene.router.direct(traffic(3), {3: iris})
        scene.router.publish([plain], {"broken": "it is rotten"})
        assert scene.plane.names(PLAIN) == ["iris", "plain"]
        scene.router.direct(traffic(3, service="wine", namespace="team"), {3: scene.lease("wine")})
        scene.router.drop("default", "iris")
        scene.router.drop("default", "iris")
        assert scene.plane.names(PLAIN) == ["plain"]
        assert scene.plane.routes.unavailable == {"broken": "it is rotten"}
        assert [str(service.name) for service in scene.plane.routes.services] == ["team/wine"]

    run_virtual(main())


def test_a_revision_keeps_its_counts_while_its_lease_does() -> None:
    """A change of the traffic is no new revision; its route, and what was counted for it, stay."""

    async def main() -> None:
        scene = Scene()
        leases = {1: scene.lease("iris"), 2: scene.lease("iris", "2")}
        scene.router.direct(traffic(1, 2), leases)
        await scene.ask("iris")
        scene.router.direct(traffic(2, 1), leases)
        await scene.ask("iris")
        await scene.ask("iris")
        statistics = scene.plane.statistics("iris")
        assert [(each.version, each.inference_stats.success.count) for each in statistics] == [("1", 1), ("2", 2)]

    run_virtual(main())


def test_metrics_are_watched_with_the_route_and_forgotten_with_the_revision() -> None:
    """What was counted for a revision that ended stays, for it may be gone back to."""

    async def main() -> None:
        scene = Scene()
        scene.router.direct(traffic(1), {1: scene.lease("iris")})
        scene.plane.answered(scene.plane.resolve("iris", "", PLAIN), "http", None, 0.1)
        scene.router.direct(traffic(2), {2: scene.lease("iris", "2")})
        assert b'tidegate_requests_total{code="200",model="iris",protocol="http",version="1"} 1.0' in (
            scene.metrics.exposition()
        )
        scene.router.forget(RevisionId("default", "iris", 1))
        assert b'model="iris",protocol="http",version="1"' not in scene.metrics.exposition()

    run_virtual(main())


def test_the_metrics_of_a_name_are_those_of_whoever_answers_under_it() -> None:
    """A service hides a model of its name, whichever came first, and takes nothing along when it goes."""

    async def main() -> None:
        scene = Scene()
        hidden, service = scene.lease("iris"), scene.lease("iris")
        for lease, replicas in ((hidden, 1), (service, 2)):
            assert isinstance(lease.model, FakeModel)
            lease.model.executor.figures = msgspec.structs.replace(
                lease.model.executor.figures, replicas={"ready": replicas}
            )

        def shown() -> set[float]:
            """The numbers of replicas that the metrics show."""
            families = scene.metrics.registry.collect()
            samples = [each for family in families for each in family.samples if each.name == "tidegate_replicas"]
            return {each.value for each in samples if each.labels["state"] == "ready"}

        scene.router.publish([hidden], {})
        assert shown() == {1}
        scene.router.direct(traffic(1), {1: service})
        assert shown() == {2}
        scene.router.publish([], {})
        assert shown() == {2}
        scene.router.publish([hidden], {})
        assert shown() == {2}
        scene.router.direct(traffic(7), {7: service})
        assert shown() == {2}
        scene.router.drop("default", "iris")
        assert shown() == {1}
        scene.router.publish([], {})
        assert shown() == set()

    run_virtual(main())


def test_a_hidden_model_that_is_gone_takes_no_revision_s_counts_along() -> None:
    """Its own go, where no revision that runs has its number."""

    async def main() -> None:
        scene = Scene()

        def counted(version: str) -> bool:
            return b'model="iris",protocol="http",version="%s"' % version.encode() in scene.metrics.exposition()

        scene.router.publish([scene.lease("iris"), scene.lease("iris", "2")], {})
        for version in "12":
            scene.plane.answered(scene.plane.resolve("iris", version, PLAIN), "http", None, 0.1)
        scene.router.direct(traffic(1), {1: scene.lease("iris")})
        scene.router.publish([], {})
        for version in "12":
            scene.router.forget_model("iris", version)
        assert (counted("1"), counted("2")) == (True, False)

    run_virtual(main())


def test_a_switch_loses_no_request_in_flight() -> None:
    """Those that have their route end there, and it ends after them; those that come later go elsewhere."""

    async def main() -> None:
        scene = Scene()
        old, new = scene.lease("iris"), scene.lease("iris", "2")
        scene.router.direct(traffic(1), {1: old})
        gate = gated(old)
        before = [scene.ask("iris") for _ in range(10)]
        await turns()
        scene.router.direct(traffic(2), {2: new})
        ending = asyncio.create_task(old.end(None))
        after = [scene.ask("iris") for _ in range(10)]
        await asyncio.gather(*after)
        assert not any(request.done() for request in before)
        assert not ending.done()
        gate.set()
        await asyncio.gather(*before, ending)
        assert isinstance(old.model, FakeModel)
        assert old.model.stops == 1

    run_virtual(main())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ask", "ask", "switch", "answer"]), max_size=40))
def test_no_order_of_switches_and_requests_loses_one(acts: list[str]) -> None:
    """Every request is answered by a model that still runs, however often the route has changed meanwhile."""

    async def main() -> None:
        scene = Scene()
        requests, ended, leases = [], [], [scene.lease("iris")]
        scene.router.direct(traffic(1), {1: leases[0]})
        gated(leases[0])
        for act in acts:
            if act == "ask":
                requests.append(scene.ask("iris"))
            elif act == "answer":
                for lease in leases:
                    gated(lease).set()
            else:
                number = len(leases) + 1
                old, new = leases[-1], scene.lease("iris", str(number))
                gated(new)
                leases.append(new)
                scene.router.direct(traffic(number), {number: new})
                ended.append(asyncio.create_task(old.end(None)))
            await turns()
            busy = [request for request in requests if not request.done()]
            stopped = [lease for lease in leases if isinstance(lease.model, FakeModel) and lease.model.stops]
            assert all(not lease._requests for lease in stopped)
            assert sum(lease._requests for lease in leases) == len(busy)
        for lease in leases:
            gated(lease).set()
        await asyncio.gather(*requests, *ended)

    run_virtual(main())
