"""Whatever happens to a service that scales: bounds hold, and no number falls without figures that say so."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.control.scaling.deciding import HOLD
from tidegate.resources.document import Key
from tidegate.resources.store import MergePatch
from tidegate.testing.clock import run_virtual
from tidegate.testing.scaling import FakeSource
from tidegate.testing.services import REVISION, ServiceStage, model_service, revision

LEAST, MOST = 1, 6
QUIET = 1500.0
POLICIES: dict[str, dict[str, Any]] = {"qda": {}, "kpa": {"target": 1}, "hpa": {"target": 60}, "ray": {"target": 1}}

RATES = st.floats(0.0, 80.0).map(lambda rate: round(rate, 1))
STEPS = st.one_of(
    st.tuples(st.just("load"), RATES),
    st.tuples(st.just("wait"), st.integers(1, 90)),
    st.tuples(st.just("blackout"), st.integers(1, 60)),
    st.tuples(st.just("jump"), st.sampled_from([-86400, -60, 60, 3600, 86400])),
    st.tuples(st.just("reset"), st.just(0)),
    st.tuples(st.just("restart"), st.integers(0, 7200)),
    st.tuples(st.just("foreign"), st.integers(0, 9)),
    st.tuples(st.just("lose"), st.integers(0, 2)),
)


class World:
    """One service under what happens to it. ``falls`` is told of each second in which its number fell."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.blind = False
        self.held_until = HOLD

    async def begin(self) -> None:
        self.stage = ServiceStage()
        self.source = self._sourced()
        await self.stage.start()
        policy = {"name": self.policy, **POLICIES[self.policy]}
        await self.stage.apply(model_service("a", minReplicas=LEAST, maxReplicas=MOST, scalePolicy=policy))
        await self.stage.settle()

    def _sourced(self) -> FakeSource:
        def ready() -> int:
            standing = self.stage.actuator.standings("default", "iris").get(1)
            return standing.ready if standing else 0

        made = self.stage.sources[revision(1)] = FakeSource(ready)
        return made

    @property
    def running(self) -> int:
        return self.stage.running()[1]

    async def pass_by(self, seconds: int) -> None:
        """Second by second, in which what must hold does."""
        for _ in range(seconds):
            before = self.running
            await self.stage.settle(1.0)
            self.held_until -= 1
            assert LEAST <= self.running <= MOST
            assert self.running >= before or not (self.blind or self.held_until > 1)

    async def happen(self, what: str, how: Any) -> None:
        stage, source = self.stage, self.source
        match what:
            case "load":
                source.load(how)
            case "wait":
                await self.pass_by(how)
            case "blackout":
                source.error, self.blind = OSError("no figures"), True
                await self.pass_by(how)
                source.error, self.blind = None, False
            case "jump":
                stage.jumped += how
                await self.pass_by(3)
            case "reset":
                source.reset()
            case "restart":
                await self._restart(how)
            case "foreign":
                key = Key(REVISION, "default", "iris-00001")
                patch = {"status": {"scaling": {"desired": how}}}
                self.blind, source.error = True, OSError("no figures")
                before = self.running
                await stage.store.patch(key, MergePatch(patch), status=True)
                await stage.settle(2)
                assert min(before, MOST) <= self.running <= MOST
                self.blind, source.error = False, None
            case "lose":
                stage.actuator.ready(revision(1), how)
                await self.pass_by(2)

    async def _restart(self, seconds: int) -> None:
        """The server is away for so long, and everything that ran is."""
        before = self.running
        await self.stage.stop()
        await self.stage.settle(seconds)
        self.source = self._sourced()
        await self.stage.restart()
        assert self.running >= before
        self.held_until = HOLD

    async def end(self) -> None:
        """Nobody asks any more, and all that failed is mended: what is left is the least."""
        self.source.load(0.0)
        self.stage.actuator.ready(revision(1))
        await self.stage.settle(QUIET)
        assert self.running == LEAST
        looks = self.source.looks
        await self.stage.settle(86400)
        assert self.source.looks == looks
        await self.stage.stop()


@pytest.mark.parametrize("policy", POLICIES)
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_a_service_that_scales(policy: str, data: st.DataObject) -> None:
    """Bounds hold; nothing falls without figures, after a restart, or by what another writes; idle costs nothing."""
    steps = data.draw(st.lists(STEPS, max_size=12))
    random.seed(0)

    async def main() -> None:
        world = World(policy)
        await world.begin()
        for what, how in steps:
            await world.happen(what, how)
        await world.end()

    run_virtual(main())
