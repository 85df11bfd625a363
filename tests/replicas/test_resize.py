"""More and fewer replicas while requests flow: nobody notices, in real processes and in every order of events."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tidegate.batching.settings import BatchSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import SequenceLost
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalAnswer, LocalBackend
from tidegate.replicas.batch import BatchResult
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.lane import Work
from tidegate.replicas.log import Log
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.clock import VirtualLoop
from tidegate.testing.process import PATIENCE

ANY = {"name": "x", "datatype": "FP32", "shape": [-1, -1]}


def request(value: float = 1.0, **parameters: Any) -> InferRequest:
    tensor = Tensor.from_numpy("x", np.full((1, 4), value, np.float32))
    return InferRequest("m", (tensor,), id=str(value), parameters=parameters)


class Stage:
    """One backend, and what it writes and counts."""

    def __init__(self, path: Path, **spec: Any) -> None:
        self.path = path
        self.metrics = Metrics("test")
        self.log = Log()
        model = path / "m.fake.json"
        model.write_text(json.dumps({"inputs": [ANY], **spec}))
        self.artifact = Artifact("m", "1", model)

    @asynccontextmanager
    async def ready(self, replicas: int, **changed: Any) -> AsyncIterator[LocalBackend]:
        settings = ReplicaSettings(replicas=replicas, directory=str(self.path), backoff_initial=0.01, **changed)
        bound = self.metrics.bind("m", "1")
        backend = LocalBackend(self.artifact, "fake", settings, bound, BatchSettings(max_batch=1), self.log)
        await backend.start()
        try:
            await until(lambda: backend.ready == replicas)
            yield backend
        finally:
            await backend.stop()
        assert psutil.Process().children() == []


async def infer(backend: LocalBackend, value: float = 1.0, **parameters: Any) -> LocalAnswer:
    return await backend.infer(request(value, **parameters), asyncio.get_running_loop().time() + PATIENCE)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - there are several things to wait for
        await asyncio.sleep(0.01)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 2 * PATIENCE))


def states(backend: LocalBackend) -> dict[str, int]:
    return dict(backend.statistics().replicas)


@pytest.mark.e2e
def test_no_request_is_lost_by_resizing(tmp_path: Path) -> None:
    """Clients ask all the time while there are 1 to 4 replicas: each gets its own answer, and what is left is right."""
    stage = Stage(tmp_path, behaviour="slow")  # a tenth of a second, so that there is always something to finish

    async def main() -> None:
        async with stage.ready(2) as backend:
            over = asyncio.Event()
            answered = 0

            async def client(number: int) -> None:
                nonlocal answered
                while not over.is_set():
                    value = float(number * 10_000 + answered)
                    answer = await infer(backend, value)
                    [output] = answer.response.outputs
                    assert (output.numpy() == np.float32(value)).all()
                    answer.release()
                    answered += 1

            clients = [asyncio.create_task(client(number)) for number in range(8)]
            for count in (4, 1, 3, 2, 1, 2):
                backend.resize(count)
                assert len(backend.replicas) == count
                await until(lambda count=count: backend.ready == count)  # type: ignore[misc]
                seen = answered
                await until(lambda seen=seen: answered > seen + 8)  # type: ignore[misc]
            over.set()
            await asyncio.gather(*clients)
            await until(lambda: states(backend) == {"ready": 2})
            assert sum(size.executions for size in backend.statistics().executed.values()) == answered
            assert await backend.measure() > 0

    run(main())


@pytest.mark.e2e
def test_one_that_goes_finishes_what_takes_longer_than_a_stop_may(tmp_path: Path) -> None:
    """Its requests have the time that an execution may take; and it takes no more of them meanwhile."""
    stage = Stage(tmp_path)
    gates = [tmp_path / "gate1", tmp_path / "gate2"]
    for gate in gates:
        os.mkfifo(gate)

    async def main() -> None:
        async with stage.ready(2, stop_timeout=0.0) as backend:
            slow = [asyncio.create_task(infer(backend, gate=str(gate))) for gate in gates]
            opened = [await asyncio.to_thread(gate.open, "wb") for gate in gates]  # both replicas execute
            backend.resize(1)
            await until(lambda: states(backend) == {"ready": 1, "draining": 1})
            for gate in opened:
                gate.close()
            for answer in await asyncio.gather(*slow):
                answer.release()
            await until(lambda: states(backend) == {"ready": 1})

    run(main())


@pytest.mark.e2e
@pytest.mark.parametrize("at_once", [True, False])
def test_a_stop_does_not_wait_for_one_that_goes(tmp_path: Path, at_once: bool) -> None:
    """What it executes has a stop's patience from then on, also where both come in one turn of the loop."""
    stage = Stage(tmp_path)
    os.mkfifo(tmp_path / "gate")

    async def main() -> None:
        async with stage.ready(2, stop_timeout=0.05) as backend:
            asks = [asyncio.create_task(infer(backend, gate=str(tmp_path / "gate"))) for _ in range(4)]
            opened = await asyncio.to_thread((tmp_path / "gate").open, "wb")
            backend.resize(1)
            if not at_once:
                await until(lambda: "draining" in states(backend))
            await backend.stop()
            opened.close()
            results = await asyncio.gather(*asks, return_exceptions=True)
            assert all(isinstance(result, Exception) for result in results)

    run(main())


@pytest.mark.e2e
def test_a_number_before_the_start_is_what_it_starts_with(tmp_path: Path) -> None:
    """Nothing runs before; one that is there no more never began."""
    stage = Stage(tmp_path)

    async def main() -> None:
        settings = ReplicaSettings(replicas=3, directory=str(tmp_path))
        backend = LocalBackend(stage.artifact, "fake", settings, stage.metrics.bind("m", "1"))
        backend.resize(1)
        assert psutil.Process().children() == []
        backend.resize(2)
        await backend.start()
        try:
            await until(lambda: backend.ready == 2)
            assert states(backend) == {"ready": 2}
        finally:
            await backend.stop()

    run(main())


@pytest.mark.e2e
def test_whoever_keeps_sequences_goes_last_and_loses_them(tmp_path: Path) -> None:
    """A replica without sequences goes before it; if it must go, the next step of each of them says that it is lost."""
    stage = Stage(tmp_path, stateful=True)

    async def main() -> None:
        async with stage.ready(2) as backend:
            for _ in range(3):
                (await infer(backend, 1.0, sequence_id=7, sequence_start=True)).release()
                backend.resize(1)
                (await infer(backend, 1.0, sequence_id=7)).release()
                await until(lambda: states(backend) == {"ready": 1})
                backend.resize(2)
                await until(lambda: backend.ready == 2)
            (await infer(backend, 1.0, sequence_id=8, sequence_start=True)).release()  # at the other one
            backend.resize(1)
            lost = 0
            for sequence in (7, 8):
                try:
                    (await infer(backend, 1.0, sequence_id=sequence)).release()
                except SequenceLost:
                    lost += 1
            assert lost == 1

    run(main())


@pytest.mark.e2e
def test_who_watches_is_told_at_once(tmp_path: Path) -> None:
    """Of a crash, of its being ready again, and of a new number."""
    stage = Stage(tmp_path)

    async def main() -> None:
        async with stage.ready(1) as backend:
            told: list[int] = []
            backend.subscribe(lambda: told.append(backend.ready))
            [replica] = backend.replicas
            assert replica.pid is not None
            os.kill(replica.pid, 9)
            await until(lambda: 0 in told)
            await until(lambda: told[-1] == 1)
            assert (
                stage.metrics.registry.get_sample_value("tidegate_model_ready", {"model": "m", "version": "1"}) == 1.0
            )
            backend.resize(2)
            await until(lambda: told[-1] == 2)
            backend.resize(1)
            assert told[-1] == 1

    run(main())


@pytest.mark.e2e
def test_what_replicas_write_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Past Python, too, and over a crash; on our own standard error it comes as ever."""
    stage = Stage(tmp_path, behaviour="noise", load={"noise": True})

    async def main() -> None:
        async with stage.ready(1) as backend:
            (await infer(backend)).release()
            await until(lambda: "a model prints" in [line.text for line in stage.log.lines()])
            with pytest.raises(Exception, match="ended"):
                await infer(backend, fault=True)
            backend.resize(2)
            await until(lambda: backend.ready == 2)
            await until(lambda: 2 in {line.replica for line in stage.log.lines()})
            backend.resize(1)  # the newer one goes, and what it wrote goes with it
            await until(lambda: states(backend) == {"ready": 1})
            assert {line.replica for line in stage.log.lines()} == {1}
            texts = [line.text for line in stage.log.lines()]
            assert "a model's library prints" in texts
            assert any("Segmentation fault" in text for text in texts)

    run(main())
    assert "a model's library prints" in capfd.readouterr().err


SPEC = TensorSpec("x", Datatype.FP32, (-1, -1))


class Link:
    """A replica that takes up to two batches, and answers or leaves when the machine says so."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.leaving = False

    @property
    def free(self) -> int:
        return 2 - len(self.works)

    def execute(self, work: Work) -> bool:
        assert not self.leaving, "a replica that goes got a batch"
        self.works.append(work)
        return True

    def cancel(self, work: Work) -> None:
        """Nothing: nobody goes away here."""


class Resizing(RuleBasedStateMachine):
    """Replicas come and go among requests."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.links: list[Link] = []
        self.asks: list[asyncio.Task[BatchResult]] = []
        self.dispatcher = Dispatcher("m", BatchSettings(max_batch=2), self.loop.time)
        self.dispatcher.describe(ModelMetadata("m", "tidegate_fake", (SPEC,), (SPEC,)))

    def turn(self) -> None:
        async def turns() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    @rule(count=st.integers(1, 5))
    def ask(self, count: int) -> None:
        for _ in range(count):
            work = self.dispatcher.execute(request(float(len(self.asks))), self.loop.time() + 1e6)
            self.asks.append(self.loop.create_task(work))
        self.turn()

    @rule()
    def add(self) -> None:
        link = Link()
        self.links.append(link)
        self.loop.call_soon(self.dispatcher.attach, link)
        self.turn()

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def take_away(self, data: st.DataObject) -> None:
        link = data.draw(st.sampled_from(self.links))
        self.dispatcher.detach(link)
        link.leaving = True
        self.turn()

    @precondition(lambda self: any(link.works for link in self.links))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from([link for link in self.links if link.works])))

    def finish(self, link: Link) -> None:
        async def finished() -> None:
            work = link.works.pop(0)
            outputs = tuple(
                Tensor(one.name, one.datatype, one.shape, b"".join(bytes(part) for part in one.parts))
                for one in work.batch.tensors
            )
            self.dispatcher.finished(link, work, BatchResult(outputs, lambda: None), 0.0)
            if link.leaving and not link.works:
                self.dispatcher.lost(link)
                self.links.remove(link)

        self.loop.run_until_complete(finished())
        self.turn()

    def teardown(self) -> None:
        try:
            self.add()
            while busy := [link for link in self.links if link.works]:
                self.finish(busy[0])
            for number, ask in enumerate(self.asks):
                [output] = ask.result().outputs
                assert (output.numpy() == np.float32(number)).all()
        finally:
            self.loop.close()


TestResizing = Resizing.TestCase
TestResizing.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
