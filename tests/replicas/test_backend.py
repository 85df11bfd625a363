"""A model behind real worker processes, misbehaving in every way that it can."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import select
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import uvloop

from tidegate.batching.settings import BatchSettings
from tidegate.gateway.backend import Backend
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    ModelLoadFailed,
    ModelNotReady,
    OutOfMemory,
    Overloaded,
    ShuttingDown,
    TidegateError,
)
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalAnswer, LocalBackend
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics

pytestmark = pytest.mark.e2e

SMALL = np.arange(4, dtype=np.float32).reshape(1, 4)
LARGE = np.arange(150_000, dtype=np.float32).reshape(1, -1)
ANY = {"name": "x", "datatype": "FP32", "shape": [-1, -1]}


class Stage:
    """Makes models and backends of them; every worker, file and descriptor of them must be gone at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.workers = path / "workers"
        self.workers.mkdir()
        self.metrics = Metrics("test")
        self._made = 0

    def model(self, **spec: Any) -> Path:
        self._made += 1
        path = self.path / f"m{self._made}.fake.json"
        path.write_text(json.dumps({"inputs": [ANY], **spec}))
        return path

    def gate(self) -> Path:
        self._made += 1
        path = self.path / f"gate{self._made}"
        os.mkfifo(path)
        return path

    def backend(self, model: Path, batching: BatchSettings | None = None, **settings: Any) -> LocalBackend:
        changed = {"directory": str(self.workers), "backoff_initial": 0.01, **settings}
        artifact = Artifact("m", "3", model)
        metrics = self.metrics.bind("m", "3")
        return LocalBackend(artifact, "fake", ReplicaSettings(**changed), metrics, batching or BatchSettings())

    @contextlib.asynccontextmanager
    async def ready(self, model: Path | None = None, **settings: Any) -> AsyncIterator[LocalBackend]:
        backend = self.backend(model or self.model(), **settings)
        await backend.start()
        try:
            await backend.wait_ready(60)
            yield backend
        finally:
            await backend.stop()

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"model": "m", "version": "3", **labels})


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    process = psutil.Process()
    uvloop.new_event_loop().close()  # its first loop opens what its later ones share
    gc.collect()
    descriptors, children = process.num_fds(), process.children()
    made = Stage(tmp_path)
    yield made
    gc.collect()
    assert process.children() == children
    assert list(made.workers.iterdir()) == []
    assert process.num_fds() == descriptors


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 120))


async def infer(
    backend: LocalBackend, array: npt.NDArray[Any] = SMALL, deadline: float = 60.0, **parameters: Any
) -> LocalAnswer:
    request = InferRequest("m", (Tensor.from_numpy("x", array),), id="7", parameters=parameters)
    return await backend.infer(request, asyncio.get_running_loop().time() + deadline)


async def check(backend: LocalBackend, array: npt.NDArray[Any] = SMALL, **parameters: Any) -> None:
    """One request, its answer compared and released."""
    answer = await infer(backend, array, **parameters)
    [output] = answer.response.outputs
    assert (output.numpy() == array).all()
    answer.release()


async def opened(gate: Path) -> Any:
    """The gate's writing end, once a model waits at it: from here until it is closed the model is executing."""
    return await asyncio.to_thread(gate.open, "wb")


def without_reader(descriptor: int) -> None:
    """Return once nobody reads from the FIFO any more: its reader is dead."""
    poll = select.poll()
    poll.register(descriptor, 0)
    assert poll.poll(60_000)


def depth(backend: LocalBackend) -> tuple[int, int]:
    """Batches at the worker, and requests that wait."""
    batcher = backend.statistics().batcher
    assert batcher is not None
    return batcher.depth.inflight_batches, batcher.depth.requests


def out_of_memory(backend: LocalBackend) -> int:
    """Batches for which there was not enough memory."""
    batcher = backend.statistics().batcher
    assert batcher is not None
    return batcher.counts.out_of_memory


def worker(backend: LocalBackend) -> int:
    pid = backend.replicas[0].pid
    assert pid is not None
    return pid


def test_infer(stage: Stage) -> None:
    """Inline and through shared memory, with the response's identity, one after the other and together."""

    async def main() -> None:
        async with stage.ready() as backend:
            port: Backend = backend
            assert port.readiness.ready
            assert backend.metadata is not None
            assert [spec.name for spec in backend.metadata.inputs] == ["x"]
            answer = await infer(backend)
            response = answer.response
            assert (response.model_name, response.model_version, response.id) == ("m", "3", "7")
            answer.release()
            for _ in range(3):
                await check(backend)
                await check(backend, LARGE)
            await asyncio.gather(*(check(backend, LARGE + n) for n in range(20)))
            assert stage.sample("tidegate_model_ready") == 1
        assert repr(backend) == "<LocalBackend m version 3, 1 stopped>"
        assert stage.sample("tidegate_model_ready") == 0
        assert stage.sample("tidegate_model_load_duration_seconds_count") == 1

    run(main())


def test_infer_on_uvloop(stage: Stage) -> None:
    """The same on the loop that the server runs on."""

    async def main() -> None:
        async with stage.ready() as backend:
            await asyncio.gather(*(check(backend, array) for array in (SMALL, LARGE) * 5))
            os.kill(worker(backend), signal.SIGKILL)
            await check(backend)

    uvloop.run(asyncio.wait_for(main(), 120))


@pytest.mark.parametrize("rows", [pytest.param(2, id="inline"), pytest.param(20_000, id="shared memory")])
def test_every_datatype(stage: Stage, rows: int) -> None:
    """All 14 datatypes come back as they went, byte for byte."""
    kinds = list(Datatype)
    inputs = [{"name": kind.value, "datatype": kind.value, "shape": [-1]} for kind in kinds]
    values = np.arange(rows) % 100
    tensors = tuple(
        Tensor.from_numpy(kind.value, values.astype("S") if kind is Datatype.BYTES else values, kind)
        if kind is not Datatype.BOOL
        else Tensor.from_numpy(kind.value, values % 2 == 0)
        for kind in kinds
    )

    async def main() -> None:
        async with stage.ready(stage.model(inputs=inputs)) as backend:
            answer = await backend.infer(InferRequest("m", tensors), asyncio.get_running_loop().time() + 60)
            for sent, came in zip(tensors, answer.response.outputs, strict=True):
                assert (came.name, came.datatype, came.shape) == (sent.name, sent.datatype, sent.shape)
                assert bytes(came.data) == bytes(sent.data)
            answer.release()

    run(main())


def test_outputs_larger_than_the_inputs(stage: Stage) -> None:
    """A result that does not fit is right the first time, and the next ones, inline inputs or not."""

    async def main() -> None:
        async with stage.ready() as backend:
            for array, repeat in ((SMALL, 100_000), (LARGE, 20)):
                for _ in range(3):
                    answer = await infer(backend, array, repeat=repeat)
                    assert (answer.response.outputs[0].numpy() == np.tile(array, repeat)).all()
                    answer.release()
            await check(backend)

    run(main())


def test_an_answer_outlives_its_worker(stage: Stage) -> None:
    """Tensors that are still being encoded stay as they are when the worker dies and the next one works."""

    async def main() -> None:
        async with stage.ready() as backend:
            answer = await infer(backend, LARGE)
            os.kill(worker(backend), signal.SIGKILL)
            await check(backend, LARGE * 2)
            assert (answer.response.outputs[0].numpy() == LARGE).all()
            answer.release()

    run(main())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({"raise": "no such city"}, r"^ValueError: no such city$", id="raises"),
        pytest.param({"exit": 1}, r"^SystemExit: 1$", id="exits"),
        pytest.param({"omit": "x"}, r"^the model returned no output 'x'; it returned none$", id="omits"),
    ],
)
def test_a_failing_request(stage: Stage, parameters: dict[str, Any], message: str) -> None:
    """The caller reads what the model said; the worker stays."""

    async def main() -> None:
        async with stage.ready() as backend:
            pid = worker(backend)
            with pytest.raises(ExecutionFailed, match=message):
                await infer(backend, SMALL, 60.0, **parameters)
            await check(backend)
            assert worker(backend) == pid

    run(main())


def test_a_batch_without_memory(stage: Stage) -> None:
    """Everybody is answered, a request of many rows too; what ran out is not tried again, and is counted."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready(stage.model(memory_rows=3), batching=BatchSettings(initial_batch_size=16)) as backend:
            pid = worker(backend)
            first = asyncio.create_task(check(backend, gate=str(gate)))
            opened_gate = await opened(gate)
            others = [asyncio.create_task(check(backend, SMALL + n)) for n in range(8)]
            await asyncio.sleep(0)  # they wait together, behind the first
            opened_gate.close()
            await asyncio.gather(first, *others)
            refused = out_of_memory(backend)
            assert refused >= 2  # all 8, and 4 of them
            await asyncio.gather(*(check(backend, SMALL + n) for n in range(8)))
            await check(backend, SMALL.repeat(10, axis=0))
            assert out_of_memory(backend) == refused
            await check(backend, LARGE.reshape(10, -1))  # another shape, another bucket
            assert out_of_memory(backend) > refused
            statistics = backend.statistics()
            assert max(statistics.executed) <= 3
            assert (worker(backend), backend.replicas[0].restarts) == (pid, 0)

    run(main())


def test_a_row_without_memory(stage: Stage) -> None:
    """By itself it has nothing smaller to be: it fails, in the model's words, and the worker lives on."""

    async def main() -> None:
        async with stage.ready(stage.model(memory_rows=0)) as backend:
            pid = worker(backend)
            for array in (SMALL, LARGE.reshape(2, -1)):
                with pytest.raises(
                    OutOfMemory,
                    match=r"^model 'm' has not enough memory for one row of this request alone: "
                    r"MemoryError: no memory for 1 rows$",
                ):
                    await infer(backend, array)
            assert worker(backend) == pid

    run(main())


def test_killed_while_executing(stage: Stage) -> None:
    """The request that was executing and the one behind it are answered by the next worker."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready() as backend:
            executing = asyncio.create_task(check(backend, LARGE, gate=str(gate)))
            first = await opened(gate)
            behind = asyncio.create_task(check(backend, LARGE * 2))
            await asyncio.sleep(0)
            os.kill(worker(backend), signal.SIGKILL)
            await asyncio.to_thread(without_reader, first.fileno())
            first.close()
            (await opened(gate)).close()  # the next worker is at it
            await asyncio.gather(executing, behind)
            assert backend.replicas[0].restarts == 1
            assert stage.sample("tidegate_replica_restarts_total", reason="exit") == 1

    run(main())


def test_a_request_that_kills(stage: Stage) -> None:
    """Two workers die of it, then it is refused by its content; everybody else is served."""

    async def main() -> None:
        async with stage.ready() as backend:
            killer = asyncio.create_task(infer(backend, SMALL, 60.0, crash=True))
            others = [asyncio.create_task(check(backend, LARGE)) for _ in range(5)]
            with pytest.raises(ExecutionFailed, match=r"^replicas of model 'm' ended whenever they executed this"):
                await killer
            await asyncio.gather(*others)
            assert backend.replicas[0].restarts == 2
            assert backend.readiness.ready

    run(main())


def test_a_crash_loop(stage: Stage) -> None:
    """A model that kills its worker again and again is reported with the reason, and refused at once."""

    async def main() -> None:
        backend = stage.backend(stage.model(load={"crash": True}), crash_loop_failures=3, backoff_max=60.0)
        await backend.start()
        with pytest.raises(ModelNotReady, match=r"^model 'm' is not ready: it has not been loaded yet$"):
            await infer(backend)
        message = (
            "model 'm' is not ready: it failed 3 times in a row; "
            "the last time its worker was killed by SIGKILL while it loaded"
        )
        with pytest.raises(ModelNotReady, match=rf"^{message}$"):
            await backend.wait_ready(60)
        with pytest.raises(ModelNotReady, match=rf"^{message}$"):
            await infer(backend)
        assert not backend.readiness.ready
        await backend.stop()

    run(main())


def test_out_of_a_crash_loop(stage: Stage) -> None:
    """What heals is served again: a loop is retried, at the longest wait."""

    async def main() -> None:
        marker = stage.path / "healed"
        model = stage.model(load={"crash": True})
        backend = stage.backend(model, crash_loop_failures=2, backoff_max=0.05)
        await backend.start()
        with pytest.raises(ModelNotReady):
            await backend.wait_ready(60)
        model.write_text(json.dumps({"inputs": [ANY]}))
        while not backend.readiness.ready:
            with contextlib.suppress(ModelNotReady):
                await backend.wait_ready(60)
            await asyncio.sleep(0)
        await check(backend)
        assert not marker.exists()
        await backend.stop()

    run(main())


def test_a_model_that_cannot_be_loaded(stage: Stage) -> None:
    """The runtime's refusal of what was never loaded is told as it is, and not tried again."""

    async def main() -> None:
        backend = stage.backend(stage.model(load={"refuse": "written by a newer version"}))
        await backend.start()
        for _ in range(2):
            with pytest.raises(ModelLoadFailed, match=r"^written by a newer version$"):
                await backend.wait_ready(60)
        with pytest.raises(ModelNotReady, match=r"^model 'm' is not ready: written by a newer version$"):
            await infer(backend)
        [replica] = backend.replicas
        assert (replica.state, replica.pid, replica.restarts) == ("failed", None, 0)
        assert backend.statistics().replicas == {"failed": 1}
        await backend.stop()

    run(main())


def test_a_load_that_fails_once(stage: Stage) -> None:
    """An unexpected error while loading is tried again; who waits does not notice."""

    async def main() -> None:
        model = stage.model(load={"raise": "disk busy"}, once=str(stage.path / "marker"))
        async with stage.ready(model) as backend:
            await check(backend)
            assert stage.sample("tidegate_replica_restarts_total", reason="load") == 1

    run(main())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param({"start_timeout": 0.0}, "took longer than 0 s to start", id="start"),
        pytest.param({"load_timeout": 0.2}, "took longer than 0.2 s to load", id="load"),
    ],
)
def test_too_slow_to_begin(stage: Stage, settings: dict[str, Any], reason: str) -> None:
    """A worker that does not get ready in time is ended, and said to be why."""

    async def main() -> None:
        backend = stage.backend(stage.model(load={"hang": True}), crash_loop_failures=1, backoff_max=60.0, **settings)
        await backend.start()
        with pytest.raises(ModelNotReady, match=reason):
            await backend.wait_ready(60)
        await backend.stop()

    run(main())


@pytest.mark.parametrize(
    ("settings", "parameter", "reason"),
    [
        pytest.param({"execution_timeout": 1.0}, "hang", "execution_timeout", id="waits for ever"),
        pytest.param({"hang_timeout": 1.0}, "spin", "hang", id="holds the interpreter's lock"),
    ],
)
def test_hanging(
    stage: Stage, capfd: pytest.CaptureFixture[str], settings: dict[str, Any], parameter: str, reason: str
) -> None:
    """A worker that hangs says where, is replaced, and what waited behind is answered."""

    async def main() -> None:
        async with stage.ready(**settings) as backend:
            stuck = asyncio.create_task(infer(backend, SMALL, 60.0, **{parameter: True}))
            await asyncio.sleep(0)
            behind = asyncio.create_task(check(backend))
            with pytest.raises(ExecutionFailed):
                await stuck
            await behind
            assert stage.sample("tidegate_replica_restarts_total", reason=reason) == 2

    run(main())
    assert f"in _{parameter}" in capfd.readouterr().err


def test_overloaded(stage: Stage) -> None:
    """More than may wait is refused at once; what waits is served."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready(batching=BatchSettings(max_queue=3, max_batch=1)) as backend:
            executing = asyncio.create_task(check(backend, gate=str(gate)))
            held = await opened(gate)
            waiting = [asyncio.create_task(check(backend)) for _ in range(4)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match=r"has 3 requests with 3 rows waiting"):
                await infer(backend)
            held.close()
            await asyncio.gather(executing, *waiting)

    run(main())


def test_deadline_in_the_queue(stage: Stage) -> None:
    """A request whose time is over while others execute is answered, and never executed."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready(credits=1) as backend:
            executing = asyncio.create_task(check(backend, gate=str(gate)))
            held = await opened(gate)
            with pytest.raises(DeadlineExceeded):
                await infer(backend, deadline=0.05)
            held.close()
            await executing
            assert backend.statistics().executed[1].executions == 1

    run(main())


def test_cancelled_at_each_stage(stage: Stage) -> None:
    """Executing, next at the worker, or waiting: the caller goes, its memory comes back, the others never notice."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready(batching=BatchSettings(max_batch=1)) as backend:
            executing = asyncio.create_task(infer(backend, LARGE, gate=str(gate)))
            held = await opened(gate)
            following = asyncio.create_task(infer(backend, LARGE))
            queued = asyncio.create_task(infer(backend, LARGE))
            others = [asyncio.create_task(check(backend, LARGE * n)) for n in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert depth(backend) == (2, 4)
            for task in (executing, following, queued):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert depth(backend) == (2, 3)
            held.close()
            await asyncio.gather(*others)
            assert depth(backend) == (0, 0)

    run(main())


def test_stop_finishes_what_is_in_flight(stage: Stage) -> None:
    """What a worker has taken is answered; what still waits is refused."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready(credits=1) as backend:
            executing = asyncio.create_task(check(backend, LARGE, gate=str(gate)))
            held = await opened(gate)
            waiting = asyncio.create_task(infer(backend))
            await asyncio.sleep(0)
            stopping = asyncio.create_task(backend.stop())
            await asyncio.sleep(0)
            held.close()
            await executing
            await stopping
            with pytest.raises(ShuttingDown):
                await waiting
            with pytest.raises(ShuttingDown):
                await infer(backend)

    run(main())


def test_stop_does_not_wait_for_ever(stage: Stage) -> None:
    """A request that hangs keeps nobody from stopping."""

    async def main() -> None:
        async with stage.ready(stop_timeout=0.1) as backend:
            stuck = asyncio.create_task(infer(backend, SMALL, 60.0, hang=True))
            await asyncio.sleep(0)
            await backend.stop()
            with pytest.raises(TidegateError):
                await stuck

    run(main())


@pytest.mark.parametrize("turns", [pytest.param(turns, id=str(turns)) for turns in (0, 1, 5)])
def test_stopped_while_starting(stage: Stage, turns: int) -> None:
    """A stop at any moment of the start leaves nothing behind."""

    async def main() -> None:
        backend = stage.backend(stage.model())
        await backend.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        await backend.stop()
        assert backend.statistics().replicas == {"stopped": 1}

    run(main())


def test_a_worker_that_is_told_to_go(stage: Stage) -> None:
    """SIGTERM from outside: the worker finishes, is started again, and no request fails."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready() as backend:
            executing = asyncio.create_task(check(backend, LARGE, gate=str(gate)))
            held = await opened(gate)
            following = asyncio.create_task(check(backend, LARGE))
            await asyncio.sleep(0)
            os.kill(worker(backend), signal.SIGTERM)
            others = [asyncio.create_task(check(backend)) for _ in range(5)]
            held.close()
            await asyncio.gather(executing, following, *others)
            await check(backend)

    run(main())


def test_told_to_go_and_it_does_not(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """A worker that hangs in the closing of its model says where, and is replaced; nobody waits for it for ever."""

    async def main() -> None:
        model = stage.model(close={"hang": True})
        async with stage.ready(model, stop_timeout=0.1, hang_timeout=1.0) as backend:
            os.kill(worker(backend), signal.SIGTERM)
            while stage.sample("tidegate_replica_restarts_total", reason="leave") is None:
                await check(backend)

    run(main())
    assert "in _hang" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("action", "ending"),
    [
        pytest.param("fault", " was killed by SIGSEGV while it loaded", id="a crash in C"),
        pytest.param("crash", " was killed by SIGKILL while it loaded", id="a kill"),
        pytest.param("shut", "'s channel broke while it loaded: the peer went away", id="closes all descriptors"),
    ],
)
def test_a_crash_while_loading(stage: Stage, action: str, ending: str) -> None:
    """The signal is named, and when it came; that the channel broke is only how it was noticed."""

    async def main() -> None:
        backend = stage.backend(stage.model(load={action: True}), crash_loop_failures=1, backoff_max=60.0)
        await backend.start()
        with pytest.raises(ModelNotReady, match=rf"the last time its worker{ending}$"):
            await backend.wait_ready(60)
        await backend.stop()

    run(main())


def test_a_path_that_is_no_text(stage: Stage) -> None:
    """A file name that is not UTF-8 cannot be told to a worker: that is a failure to load, and leaves no process."""

    async def main() -> None:
        model = Path(os.fsdecode(os.fsencode(stage.path) + b"/m\xff.fake.json"))
        backend = stage.backend(model, crash_loop_failures=1, backoff_max=60.0)
        await backend.start()
        with pytest.raises(ModelNotReady, match=r"its model cannot be loaded: 'utf-8' codec can't encode"):
            await backend.wait_ready(60)
        await backend.stop()

    run(main())


async def until(backend: LocalBackend, holds: Callable[[], bool]) -> None:
    """Return once it holds; that is looked at whenever a replica's state has changed."""
    changed = asyncio.Event()
    backend.subscribe(changed.set)
    async with asyncio.timeout(60):
        while not holds():
            changed.clear()
            await changed.wait()


def test_what_was_loaded_before_and_is_refused_is_tried_again(stage: Stage) -> None:
    """As after any other failure: what was there is missing now. Until then its requests are refused, and why."""

    async def main() -> None:
        model = stage.model()
        refused = stage.model(load={"refuse": "the licence server is away"}).read_text()
        async with stage.ready(model, backoff_max=0.02) as backend:
            told = model.read_text()
            model.write_text(refused)
            os.kill(worker(backend), signal.SIGKILL)
            await until(backend, lambda: backend.replicas[0].crash_looping)
            with pytest.raises(ModelNotReady, match=r"failed \d+ times in a row; .*: the licence server is away$"):
                await infer(backend)
            model.write_text(told)
            await until(backend, lambda: backend.readiness.ready)
            await check(backend)

    run(main())


def test_a_model_that_is_known_to_load_is_tried_again_from_the_first(stage: Stage) -> None:
    """After a restart of the server, when nothing of it was loaded yet."""

    async def main() -> None:
        model = stage.model(load={"refuse": "the licence server is away"})
        backend = stage.backend(model, loaded_before=True, backoff_max=0.02)
        await backend.start()
        await until(backend, lambda: backend.replicas[0].crash_looping)
        model.write_text(stage.model().read_text())
        await until(backend, lambda: backend.readiness.ready)
        await check(backend)
        await backend.stop()

    run(main())


def test_one_that_is_refused_where_another_loads(stage: Stage) -> None:
    """Whoever of them was first: that the model can be loaded is known now."""

    async def main() -> None:
        gate, model = stage.gate(), stage.model(load={"refuse": "no memory"})
        backend = stage.backend(model, replicas=1, backoff_max=0.02)
        await backend.start()
        with pytest.raises(ModelLoadFailed):
            await backend.wait_ready(60)
        model.write_text(json.dumps({"inputs": [ANY], "load": {"gate": str(gate)}}))
        backend.resize(2)
        await asyncio.to_thread(lambda: gate.open("wb").close())
        await until(backend, lambda: backend.ready >= 1)
        await asyncio.to_thread(lambda: gate.open("wb").close())
        await until(backend, lambda: backend.ready == 2)
        await backend.stop()

    run(main())


@pytest.mark.parametrize("action", ["shut", "fault", "crash"])
def test_a_model_that_breaks_its_process(stage: Stage, action: str) -> None:
    """It takes two workers with it and is answered; the others are served."""

    async def main() -> None:
        async with stage.ready() as backend:
            breaking = asyncio.create_task(infer(backend, LARGE, 60.0, **{action: True}))
            with pytest.raises(ExecutionFailed):
                await breaking
            await check(backend, LARGE)

    run(main())


def test_killed(stage: Stage) -> None:
    """Whatever it executes, a worker is gone at once, and its requests are answered."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready(stop_timeout=600.0) as backend:
            process = psutil.Process(worker(backend))
            executing = asyncio.create_task(infer(backend, LARGE, gate=str(gate), hang=True))
            (await opened(gate)).close()
            stopping = asyncio.create_task(backend.stop())
            await asyncio.sleep(0)
            backend.kill()
            await stopping
            assert not process.is_running()
            with pytest.raises(ShuttingDown):
                await executing
            with pytest.raises(ShuttingDown):
                await infer(backend)
        backend.kill()
        assert backend.statistics().replicas == {"stopped": 1}

    run(main())


def test_killed_before_it_was_started(stage: Stage) -> None:
    """There is nothing to kill, and nothing to stop."""

    async def main() -> None:
        backend = stage.backend(stage.model())
        backend.kill()
        await backend.stop()

    run(main())


def test_a_stop_that_is_cancelled(stage: Stage) -> None:
    """Who waited is gone, the stop goes on: the request in flight is answered, and the worker ends."""

    async def main() -> None:
        gate = stage.gate()
        async with stage.ready() as backend:
            executing = asyncio.create_task(check(backend, LARGE, gate=str(gate)))
            held = await opened(gate)
            stopping = asyncio.create_task(backend.stop())
            await asyncio.sleep(0)
            stopping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stopping
            held.close()
            await executing
            await backend.stop()
            assert backend.replicas[0].pid is None

    run(main())


@pytest.mark.parametrize("ready", [pytest.param(True, id="ready"), pytest.param(False, id="starting")])
def test_the_loop_is_closed(stage: Stage, ready: bool) -> None:
    """A backend that nobody stops ends with its loop; the fixture sees that nothing of it is left."""

    async def main() -> None:
        backend = stage.backend(stage.model())
        await backend.start()
        if ready:
            await backend.wait_ready(60)
            await check(backend, LARGE)
        else:
            await asyncio.sleep(0)

    run(main())


def test_what_a_model_starts_ends_with_it(stage: Stage) -> None:
    """Processes that a model has started do not outlive its worker, killed or stopped."""

    async def main() -> None:
        async with stage.ready() as backend:
            children = []
            for number in range(2):
                path = stage.path / f"child{number}"
                await check(backend, child=str(path))
                children.append(psutil.Process(int(path.read_text())))
                if number == 0:
                    os.kill(worker(backend), signal.SIGKILL)
                    await check(backend)
        for child in children:
            await asyncio.to_thread(child.wait, 60)

    run(main())


def test_threads(stage: Stage) -> None:
    """The number of threads reaches the libraries under the frameworks before they are imported."""

    async def main() -> None:
        artifact = Artifact("m", "3", stage.model(), threads=2)
        settings = ReplicaSettings(directory=str(stage.workers))
        backend = LocalBackend(artifact, "fake", settings, stage.metrics.bind("m", "3"))
        await backend.start()
        await backend.wait_ready(60)
        environment = psutil.Process(worker(backend)).environ()
        await backend.stop()
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            assert environment[name] == "2"

    run(main())


def test_a_directory_that_cannot_be(stage: Stage) -> None:
    """A worker that cannot even be started is tried again, and the reason is told."""

    async def main() -> None:
        backend = stage.backend(
            stage.model(), directory=str(stage.path / "none"), crash_loop_failures=1, backoff_max=60.0
        )
        await backend.start()
        with pytest.raises(ModelNotReady, match=r"its worker cannot be started: .*No such file or directory"):
            await backend.wait_ready(60)
        await backend.stop()

    run(main())
