"""Faults in the middle of traffic: no number falls without figures that say so, and all is well again by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tidegate.control.scaling.fleet import LONGEST_PAUSE
from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.sqlite import SqliteStore
from tidegate.resources.document import Document, Key
from tidegate.testing.api import in_virtual_time
from tidegate.testing.scaling import FakeSource
from tidegate.testing.services import REVISION, ServiceStage, model_service, now, revision
from tidegate.testing.store import NumberedUids

POLICIES: dict[str, Document] = {
    "qda": {},
    "kpa": {"target": 1},
    "kpa by requests": {"name": "kpa", "metric": "rps", "target": 10},
    "hpa": {"target": 60},
}
RATE = 40.0
"""Requests a second. A replica answers ten."""
NEEDED = 5
"""Replicas for that, with some room."""


class Stage(ServiceStage):
    """A service over a store on the disk, with its queue."""

    async def begin(self, policy: str = "qda", **predictor: Any) -> None:
        self.answer()
        await self.start()
        scale_policy = {"name": policy, **POLICIES[policy]}
        # Given, for one that is learned makes the number change for a reason that is no fault.
        slo: Document = {"slo": {"latency": "200ms"}}
        await self.apply(model_service("a", spec=slo, **{"maxReplicas": 8, "scalePolicy": scale_policy, **predictor}))
        await self.settle()

    def answer(self) -> None:
        """There is a queue, empty and with figures that begin anew."""

        def ready() -> int:
            standing = self.actuator.standings("default", "iris").get(1)
            return standing.ready if standing else 0

        self.source = self.sources[revision(1)] = FakeSource(ready)

    @property
    def wanted(self) -> int:
        return self.running()[1]

    @property
    def decided(self) -> list[int]:
        """All decisions so far."""
        return [desired for _, desired in self.decisions]

    async def busy(self, seconds: float = 120.0) -> int:
        """There has been traffic for a while; returns the replicas that it has by then."""
        self.source.load(RATE)
        await self.settle(seconds)
        assert self.wanted >= NEEDED
        return self.wanted

    async def recovered(self) -> None:
        """By itself: enough replicas take requests, what had to wait is answered, and the service is ready."""
        await self.settle(3 * LONGEST_PAUSE)
        standing = self.actuator.standings("default", "iris")[1]
        assert standing.ready == standing.wanted >= NEEDED
        assert self.source.requests <= RATE
        assert (await self.conditions())["Ready"] == "True"
        assert (await self.scaling())["desired"] == standing.wanted

    async def scaling(self) -> Document:
        document = await self.store.get(Key(REVISION, "default", "iris-00001"))
        told: Document = document.get("status", {}).get("scaling", {})
        return told


def falls(numbers: list[int]) -> list[tuple[int, int]]:
    """Where a number is below the one before."""
    return [(before, after) for before, after in pairwise(numbers) if after < before]


@asynccontextmanager
async def staged(directory: Path, policy: str = "qda", **predictor: Any) -> AsyncIterator[Stage]:
    store = await SqliteStore.open(directory / "state", StoreSettings(), clock=now, new_uid=NumberedUids())
    async with store:
        stage = Stage(store=store)
        await stage.begin(policy, **predictor)
        yield stage
        await stage.stop()


@in_virtual_time
async def test_a_worker_killed_while_it_warms(tmp_path: Path) -> None:
    """It is on its way again within the second: what was ordered stays ordered, and no more is."""
    async with staged(tmp_path) as stage:
        stage.actuator.starts_in = None  # from now on the test says what becomes ready
        stage.source.load(15.0)
        await stage.settle(3)
        ordered = stage.wanted
        assert ordered > 1
        for states in ({"backing off": 1, "starting": ordered - 2}, {"starting": ordered - 1}, {}):
            stage.source.replicas = {"ready": 1, **states}
            await stage.settle(1)
            assert stage.wanted == ordered
        stage.source.replicas = {}
        stage.actuator.ready(revision(1))
        stage.actuator.starts_in = 1.0
        stage.source.load(RATE)
        await stage.recovered()
        assert falls(stage.decided) == []


@in_virtual_time
async def test_a_start_that_fails_five_times(tmp_path: Path) -> None:
    """At the pauses that replicas make. Nothing more is ordered, people read why, and once it starts all is well."""
    async with staged(tmp_path) as stage:
        stage.actuator.starts_in = None
        stage.source.load(15.0)
        await stage.settle(3)
        ordered = stage.wanted
        for pause in (1.6, 3.2, 6.4, 12.8, 25.6):
            for state, seconds in (("backing off", pause), ("starting", 1.2)):
                stage.source.replicas = {"ready": 1, state: ordered - 1}
                await stage.settle(seconds)
                assert stage.wanted == ordered
        assert "failed, and no more are ordered yet" in (await stage.status())["scaling"]["reason"]
        assert falls(stage.decided) == []
        made = len(stage.decisions)
        stage.source.replicas = {}
        stage.actuator.ready(revision(1))
        stage.actuator.starts_in = 1.0
        stage.source.load(RATE)
        await stage.recovered()
        assert min(stage.decided[made:]) >= ordered
        assert "failed" not in (await stage.status())["scaling"]["reason"]


@in_virtual_time
async def test_starts_that_fail_at_the_bound_are_told(tmp_path: Path) -> None:
    """At once, although the number has no reason to change; and no more once one is ready, however soon that is."""
    async with staged(tmp_path, maxReplicas=2) as stage:
        stage.actuator.starts_in = None
        stage.source.load(RATE)
        await stage.settle(3)
        stage.source.replicas = {"ready": 1, "backing off": 1}
        await stage.settle(3)
        assert (await stage.status())["scaling"]["reason"].endswith("; 1 start failed in a row")
        stage.source.replicas = {}
        stage.actuator.ready(revision(1))
        await stage.settle(3)
        assert "failed" not in (await stage.status())["scaling"]["reason"]
        assert stage.wanted == 2


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("blind", ["failing", "unloaded", "gone", "replaced"])
@in_virtual_time
async def test_a_minute_without_figures(tmp_path: Path, policy: str, blind: str) -> None:
    """While traffic goes on. The first figures after it have all that came, and are neither a fall nor a burst."""
    async with staged(tmp_path, policy) as stage:
        busy = await stage.busy()
        made = len(stage.decisions)
        stage.source.error = OSError("no figures") if blind == "failing" else None
        stage.source.loaded = blind != "unloaded"
        if blind in ("gone", "replaced"):
            del stage.sources[revision(1)]
            stage.actuator.notify("default", "iris")
        await stage.settle(60)
        assert set(stage.decided[made:]) <= {busy}
        stage.source.error, stage.source.loaded = None, True
        stage.sources[revision(1)] = stage.source
        if blind == "replaced":
            stage.answer()
            stage.source.load(RATE)
        stage.actuator.notify("default", "iris")
        await stage.settle(30)
        assert busy <= stage.wanted <= (8 if blind == "replaced" else busy + 1)
        await stage.recovered()
        assert min(stage.decided[made:]) >= busy - 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seconds", [60.0, 3600.0, 86_400.0, -60.0])
@in_virtual_time
async def test_the_loops_clock_jumps(tmp_path: Path, policy: str, seconds: float) -> None:
    """As it does where sleep counts, or nothing had its turn. Set back, it is looked at when its time has come."""
    async with staged(tmp_path, policy) as stage:
        busy = await stage.busy()
        made = len(stage.decisions)
        stage.source.pass_over(seconds)
        await stage.settle(30)
        assert len(stage.decisions) - made <= 35
        assert falls(stage.decided[made:]) == []
        assert max(stage.decided[made:], default=busy) <= busy + 1
        await stage.recovered()
        assert min(stage.decided[made:]) >= busy - 1


@pytest.mark.parametrize("seconds", [60.0, -60.0, 3600.0, -86_400.0, 1e9])
@in_virtual_time
async def test_the_time_of_day_jumps(tmp_path: Path, seconds: float) -> None:
    """Somebody sets it, or the machine slept where sleep does not count. No number has anything to do with it."""
    async with staged(tmp_path) as stage:
        busy = await stage.busy()
        made = len(stage.decisions)
        stage.jumped += seconds
        await stage.settle(30)
        assert len(stage.decisions) - made <= 35
        assert set(stage.decided[made:]) <= {busy, busy + 1}
        await stage.recovered()
        assert min(stage.decided[made:]) >= busy - 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("after", [0.5, 1.5, 3.0, 10.0])
@in_virtual_time
async def test_a_restart_in_a_burst(tmp_path: Path, policy: str, after: float) -> None:
    """With what was decided until then; the figures begin anew, and so does every replica."""
    async with staged(tmp_path, policy) as stage:
        stage.source.load(RATE)
        await stage.settle(after)
        decided = stage.decided[-1]
        made = len(stage.decisions)
        await stage.stop()
        stage.answer()
        await stage.restart()
        assert stage.wanted >= decided
        stage.source.load(RATE)
        await stage.settle(60)
        assert falls([decided, *stage.decided[made:]]) == []
        await stage.recovered()


@in_virtual_time
async def test_people_scale_while_it_decides(tmp_path: Path) -> None:
    """Bounds hold at once, a number that is fixed is that number, and what is given free is what the load needs."""
    async with staged(tmp_path) as stage:
        busy = await stage.busy()
        for least, most in ((1, 3), (1, 8), (7, 8), (2, 4), (1, 8)):
            await stage.patch({"spec": {"predictor": {"minReplicas": least, "maxReplicas": most}}})
            for _ in range(20):
                await stage.settle(0.7)
                assert least <= stage.wanted <= most
        for replicas in (2, 6, 1):
            await stage.patch({"spec": {"predictor": {"replicas": replicas}}})
            await stage.settle(1.3)
            assert stage.wanted == replicas
            await stage.patch({"spec": {"predictor": {"replicas": None}}})
            await stage.settle(1.3)
            assert stage.wanted >= busy - 1
        await stage.recovered()
        predictor = (await stage.service())["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 8)
        assert "replicas" not in predictor
