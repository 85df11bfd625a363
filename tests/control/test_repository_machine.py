"""Whatever comes in whichever order: nothing that was started is lost, and nobody is routed to what cannot answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidegate.control.lease import Lease
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.messages import InferRequest
from tidegate.testing.clock import VirtualLoop
from tidegate.testing.models import FakeModel
from tidegate.testing.stage import Stage, turns

MODELS = st.sampled_from(["a", "b"])
VERSIONS = st.sampled_from(["1", "2"])
STOP_TIMEOUT = 10.0


class RepositoryMachine(RuleBasedStateMachine):
    """Each rule does one thing and lets the loop turn a few times, so that everything meets everything half done."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.stage = Stage(stop_timeout=STOP_TIMEOUT, ready_timeout=1000.0)
        self.calls: list[asyncio.Task[Any]] = []
        self.requests: dict[asyncio.Task[Any], tuple[Lease, asyncio.Event]] = {}
        self.was_ready: set[FakeModel] = set()
        self.wished: set[str] = set()
        """Models that an unload, or the end, has allowed to end before their requests."""

    @initialize(models=st.sets(MODELS), good=st.booleans())
    def begin(self, models: set[str], good: bool) -> None:
        for model in sorted(models):
            self.stage.disk.write(model)
        self.stage.repository.open(self.stage.disk.look())
        self.opened = set(self.stage.disk.made)
        self.call(self.stage.repository.start(), 2)
        if good:
            self.answers(0)

    def call(self, work: Coroutine[Any, Any, Any], count: int) -> None:
        self.calls.append(self.loop.create_task(work))
        self.turn(count)

    def turn(self, count: int) -> None:
        self.loop.run_until_complete(turns(count))
        self.was_ready |= {model for model in self.stage.disk.made if model.executor.state.ready}

    @rule(model=MODELS, count=st.integers(0, 6))
    def load(self, model: str, count: int) -> None:
        self.call(self.stage.repository.load(model), count)

    @rule(model=MODELS, count=st.integers(0, 6))
    def unload(self, model: str, count: int) -> None:
        self.wished.add(model)
        self.call(self.stage.repository.unload(model), count)

    @rule(model=MODELS, version=VERSIONS, count=st.integers(0, 6))
    def write(self, model: str, version: str, count: int) -> None:
        self.follow(self.stage.disk.write(model, version), count)

    @rule(model=MODELS, version=st.one_of(st.just(""), VERSIONS), count=st.integers(0, 6))
    def remove(self, model: str, version: str, count: int) -> None:
        if model in self.stage.disk.look().models:
            self.follow(self.stage.disk.remove(model, version), count)

    @rule(model=MODELS, count=st.integers(0, 6))
    def spoil(self, model: str, count: int) -> None:
        self.follow(self.stage.disk.spoil(model, "nonsense is no field"), count)

    def follow(self, path: Path, count: int) -> None:
        self.call(self.stage.repository.follow([path]), count)

    @rule(count=st.integers(0, 6))
    def answers(self, count: int) -> None:
        for model in self.starting():
            model.answer()
        self.turn(count)

    @precondition(lambda self: self.starting())
    @rule(data=st.data(), ours=st.booleans(), count=st.integers(0, 6))
    def fails(self, data: st.DataObject, ours: bool, count: int) -> None:
        data.draw(st.sampled_from(self.starting())).fail(KeyError("a fault of ours") if ours else "it is rotten")
        self.turn(count)

    @precondition(lambda self: self.stage.routes)
    @rule(data=st.data(), well=st.booleans())
    def is_well(self, data: st.DataObject, well: bool) -> None:
        model: Any = data.draw(st.sampled_from(self.stage.routes)).model
        if model in self.was_ready:
            model.executor.state = type(model.executor.state)(well, "" if well else "its replica ended")

    @rule(choice=st.integers(0, 3))
    def ask(self, choice: int) -> None:
        async def resolved() -> None:
            """As the gateway does: who was routed to takes the request in the same turn of the loop."""
            if routes := self.stage.routes:
                lease = routes[choice % len(routes)]
                executor: Any = lease.model.executor
                if executor.gate is None or executor.gate.is_set():
                    executor.gate = asyncio.Event()
                self.requests[request] = (lease, executor.gate)
                await lease.infer(InferRequest(lease.offer.model, ()), 1e9)

        request = self.loop.create_task(resolved())
        self.turn(1)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), count=st.integers(0, 6))
    def end_request(self, data: st.DataObject, count: int) -> None:
        lease, gate = data.draw(st.sampled_from(list(self.requests.values())))
        gate.set()
        self.requests = {task: (each, opens) for task, (each, opens) in self.requests.items() if each is not lease}
        self.turn(max(2, count))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), count=st.integers(0, 6))
    def give_up(self, data: st.DataObject, count: int) -> None:
        data.draw(st.sampled_from(self.calls)).cancel()
        self.turn(count)

    @rule(seconds=st.sampled_from([0.05, 0.2, STOP_TIMEOUT]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.turn(0)

    def starting(self) -> list[FakeModel]:
        return [model for model in self.stage.disk.made if model.starting and not model.killed]

    @invariant()
    def one_operation_per_model(self) -> None:
        """No version is started twice at a time, and none that is gone is being started."""
        counts = Counter((model.offer.model, model.offer.version) for model in self.starting())
        assert all(count == 1 for count in counts.values())
        assert [model.misused for model in self.stage.disk.made if model.misused] == []

    @invariant()
    def routes_lead_to_what_can_answer(self) -> None:
        """What has been ready, or was there from the start; one of each version, and none that has ended."""
        models = [lease.model for lease in self.stage.routes]
        assert all(model in self.was_ready or model in self.opened for model in models)
        assert all(isinstance(model, FakeModel) and not model.stops for model in models)
        assert len(set(self.stage.served)) == len(self.stage.served)
        assert not {lease.offer.model for lease in self.stage.routes} & set(self.stage.unavailable)

    @invariant()
    def no_request_is_cut_off(self) -> None:
        """Unless its model was unloaded on request."""
        for lease in (lease for request, (lease, _) in self.requests.items() if not request.done()):
            model = lease.model
            assert isinstance(model, FakeModel)
            assert not model.stops or lease.offer.model in self.wished

    def teardown(self) -> None:
        """Once everything has ended every wish is answered; and then a load serves just what lies there."""
        try:
            self.settle()
            for model in sorted(self.stage.disk.look().offers):
                self.call(self.stage.repository.load(model), 20)
                self.settle()
                served = {lease.offer.version: lease.offer for lease in self.stage.routes if lease.offer.model == model}
                assert served == self.stage.disk.offered(model)
            self.call(self.stage.repository.stop(), 20)
            self.settle()
            assert all(model.stops == 1 for model in self.stage.disk.made if model.starts or model in self.opened)
        finally:
            self.loop.close()
        super().teardown()

    def settle(self) -> None:
        for _, gate in self.requests.values():
            gate.set()
        for _ in range(10):
            self.answers(20)
            self.time_passes(STOP_TIMEOUT)
        for task in self.calls:
            assert task.done()
            assert task.cancelled() or isinstance(task.exception(), TidegateError | KeyError | None)
        assert all(task.done() for task in self.requests)


TestRepository = RepositoryMachine.TestCase
TestRepository.settings = settings(max_examples=60, stateful_step_count=30)
