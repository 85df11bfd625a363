"""The whole server with many callers at once, whose requests share batches: nothing may be mixed, lost or repeated."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import psutil
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, TidegateError
from tidegate.protocol.messages import InferRequest, InferResponse, RequestedOutput
from tidegate.protocol.tensors import Parameter, Tensor
from tidegate.testing.callers import Caller, callers
from tidegate.testing.process import PATIENCE, Serving
from tidegate.testing.runtime import Execution, read_journal

pytestmark = pytest.mark.e2e

Start = Callable[..., Serving]

CLIENTS = 200
BATCH = 32
WORDS = ("--max-batch", str(BATCH), "--initial-batch-size", str(BATCH))
"""From the first batch on, as many rows as there are."""


class Question(NamedTuple):
    request: InferRequest
    expected: dict[str, npt.NDArray[Any]]

    def judge(self, answer: InferResponse) -> str:
        """Whether the answer is that to this question, in every element and in no more than was asked for."""
        same = answer.id == self.request.id and {output.name for output in answer.outputs} == self.expected.keys()
        same = same and all(np.array_equal(output.numpy(), self.expected[output.name]) for output in answer.outputs)
        return "right" if same else "wrong"


def row_of(number: int, **parameters: Parameter) -> Question:
    """A row that begins with the number, and in which every other element depends on it, too."""
    row = np.random.default_rng(number).random((1, 64), np.float32)
    row[0, 0] = number
    tensor = Tensor.from_numpy("x", row, Datatype.FP32)
    return Question(InferRequest("m", (tensor,), id=str(number), parameters=parameters), {"x": row})


async def ask(caller: Caller, question: Question) -> str:
    """ "right", "wrong", or the kind of the error."""
    try:
        return question.judge(await caller.ask(question.request))
    except TidegateError as error:
        return type(error).__name__


async def ask_all(
    crowd: Sequence[Caller], questions: Iterable[Question], answered: Callable[[str], None] = lambda number: None
) -> Counter[str]:
    """Every caller asks one after the other until none is left; ``answered`` is told of each answer."""
    left = iter(questions)
    outcomes: Counter[str] = Counter()

    async def work(caller: Caller) -> None:
        for question in left:
            outcomes[await ask(caller, question)] += 1
            answered(question.request.id)

    await asyncio.gather(*(work(caller) for caller in crowd))
    return outcomes


@asynccontextmanager
async def held(server: Serving, directory: Path, question: Question, replicas: int = 1) -> AsyncIterator[None]:
    """Every replica of a model has a batch that waits, and the next one: all others wait in the queue until the end."""
    model = question.request.model_name
    gates = [directory / f"{model}{number}" for number in range(2 * replicas)]
    for gate in gates:
        os.mkfifo(gate)
    async with callers(server, len(gates)) as crowd:
        waiting = [
            asyncio.create_task(ask(caller, question._replace(request=with_gate(question.request, gate))))
            for caller, gate in zip(crowd, gates, strict=True)
        ]
        await until(server, len(gates), "tidegate_inflight_batches", model)
        yield
        await asyncio.gather(*(open_gate(gate) for gate in gates))
        assert await asyncio.gather(*waiting) == ["right"] * len(gates)


def with_gate(request: InferRequest, gate: Path) -> InferRequest:
    return msgspec.structs.replace(request, parameters={**request.parameters, "gate": str(gate)})


async def open_gate(gate: Path) -> None:
    """Let the model go that waits at a FIFO, or will."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
                return
            except OSError as error:
                if error.errno != errno.ENXIO:  # no model waits there yet
                    raise
            await asyncio.sleep(0)


async def until(server: Serving, value: float, name: str, model: str = "m") -> None:
    await asyncio.to_thread(server.until_figure, value, name, model=model)


# Each client gets its own answer


def everybody(start: Start, directory: Path, rounds: int) -> dict[str, float]:
    """Let 200 clients ask so many times each; the first time all of them at once."""
    with start("--replicas", "2", *WORDS) as server:

        async def run() -> Counter[str]:
            async with callers(server, CLIENTS) as crowd:
                async with held(server, directory, row_of(0), replicas=2):
                    first = asyncio.create_task(ask_all(crowd, map(row_of, range(CLIENTS))))
                    await until(server, CLIENTS, "tidegate_queue_requests")
                outcomes = await first
                assert server.figure("tidegate_batches_total") == 4 + 7  # 200 rows are 6 full batches and one of 8
                return outcomes + await ask_all(crowd, map(row_of, range(CLIENTS, rounds * CLIENTS)))

        assert asyncio.run(run()) == {"right": rounds * CLIENTS}
        rows, batches = server.figure("tidegate_batched_rows_total"), server.figure("tidegate_batches_total")
        assert rows == rounds * CLIENTS + 4
        assert server.stop() == 0
    return {"requests": rounds * CLIENTS, "rows per batch": round(rows / batches, 1)}


def test_every_client_gets_its_own_answer(start: Start, tmp_path: Path) -> None:
    """1,000 requests of 200 concurrent clients, each with data of its own, through two replicas."""
    everybody(start, tmp_path, 5)


@pytest.mark.soak
def test_every_client_gets_its_own_answer_for_long(start: Start, tmp_path: Path) -> None:
    """10,000 requests."""
    print(everybody(start, tmp_path, 50))


# Whatever is asked at the same time

PAIR = {"a": Datatype.FP32, "b": Datatype.INT64}
TEXTS = {"t": Datatype.BYTES, "f": Datatype.BOOL}


def anything(number: int) -> Question:
    """Another model, number of rows, shape, parameter and wanted output for each number."""
    chance = random.Random(number)
    model, inputs = chance.choice([("pair", PAIR), ("texts", TEXTS)])
    rows = chance.choice([1, 1, 1, 1, 1, 2, 3, BATCH + 8])  # the last is executed in two parts
    columns = chance.choice([1, 3, 300])
    repeat = chance.choice([1, 2, 3])
    wanted = chance.choice([tuple(inputs), tuple(inputs)[:1]])
    arrays = {name: elements(kind, (rows, columns), number) for name, kind in inputs.items()}
    request = InferRequest(
        model,
        tuple(Tensor.from_numpy(name, array, inputs[name]) for name, array in arrays.items()),
        id=str(number),
        parameters={"repeat": repeat} if repeat > 1 else {},
        outputs=tuple(RequestedOutput(name) for name in wanted) if len(wanted) < len(inputs) else (),
    )
    return Question(request, {name: np.tile(arrays[name], repeat) for name in wanted})


def whole(question: Question) -> bool:
    """Whether it is executed in one part."""
    return question.request.inputs[0].shape[0] <= BATCH


def elements(kind: Datatype, shape: tuple[int, int], number: int) -> npt.NDArray[Any]:
    """Random elements, the same whenever the number is."""
    chance = np.random.default_rng(number)
    if kind is Datatype.BYTES:
        lengths = chance.integers(0, 9, shape)
        texts = [b"%d" % number * length for length in lengths.flat]
        return np.array(texts, dtype=object).reshape(shape)
    if kind is Datatype.BOOL:
        return chance.integers(0, 2, shape).astype(bool)
    if kind is Datatype.INT64:
        return chance.integers(-(1 << 53), 1 << 53, shape)
    return chance.random(shape, np.float32)


def mixture(directory: Path, rounds: int) -> dict[str, float]:
    """Let 200 clients ask for anything, so many times each; the first time all of them at once."""
    models = directory / "models"
    models.mkdir()
    for name, inputs in {"pair": PAIR, "texts": TEXTS}.items():
        specs = [{"name": key, "datatype": kind.value, "shape": [-1, -1]} for key, kind in inputs.items()]
        (models / f"{name}.fake.json").write_text(json.dumps({"inputs": specs}))
    requests = rounds * CLIENTS
    more = [question for question in map(anything, range(requests, requests + 100)) if whole(question)]
    samples = {question.request.model_name: question for question in more}
    with Serving.start(models, "--replicas", "2", *WORDS) as server:
        server.until("ready")

        async def run() -> Counter[str]:
            first = [anything(number) for number in range(CLIENTS)]
            waiting = Counter(question.request.model_name for question in first)
            async with callers(server, CLIENTS) as crowd:
                async with (
                    held(server, directory, samples["pair"], replicas=2),
                    held(server, directory, samples["texts"], replicas=2),
                ):
                    asking = asyncio.create_task(ask_all(crowd, first))
                    for model, count in waiting.items():
                        await until(server, count, "tidegate_queue_requests", model)
                    batches = server.figure("tidegate_batches_total")
                outcomes = await asking
                assert server.figure("tidegate_batches_total") - batches < CLIENTS / 2
                return outcomes + await ask_all(crowd, map(anything, range(CLIENTS, requests)))

        assert asyncio.run(run()) == {"right": requests}
        assert server.stop() == 0
    return {"requests": requests}


def test_whatever_is_asked_at_the_same_time(tmp_path: Path) -> None:
    """1,000 requests of many shapes, datatypes, parameters and outputs at once: each gets what it asked for."""
    mixture(tmp_path, 5)


@pytest.mark.soak
def test_whatever_is_asked_at_the_same_time_for_long(tmp_path: Path) -> None:
    """10,000 requests."""
    print(mixture(tmp_path, 50))


# One bad request among 31 good ones


@pytest.mark.parametrize("bad", [pytest.param(12, id="HTTP"), pytest.param(13, id="gRPC"), pytest.param(31, id="last")])
def test_one_bad_request_among_good_ones(start: Start, tmp_path: Path, bad: int) -> None:
    """It shares a batch with 31 others; it gets the model's error, and they get their answers."""
    journal = tmp_path / "journal"
    with start(*WORDS, poison=bad, journal=str(journal)) as server:

        async def run() -> list[str]:
            questions = [row_of(number) for number in range(BATCH)]
            async with callers(server, BATCH) as crowd:
                async with held(server, tmp_path, row_of(1000)):
                    asking = [asyncio.create_task(ask(*pair)) for pair in zip(crowd, questions, strict=True)]
                    await until(server, BATCH, "tidegate_queue_requests")
                outcomes = await asyncio.gather(*asking)
                with pytest.raises(ExecutionFailed, match=rf"ValueError: {bad} is poison$"):
                    await crowd[bad].ask(questions[bad].request)
            return outcomes

        expected = ["right"] * BATCH
        expected[bad] = "ExecutionFailed"
        assert asyncio.run(run()) == expected
        together = next(execution.rows for execution in read_journal(journal) if execution.rows[0] != 1000)
        assert sorted(together) == list(range(BATCH))
        assert server.figure("tidegate_batches_total", reason="full") == 1
        assert server.figure("tidegate_repeated_batches_total") == 5  # of 32, 16, 8, 4 and 2 rows
        assert (
            server.figure("tidegate_batch_size_rows_bucket", le="1.0") == 2 + 1
        )  # the two that held, and its neighbour
        assert server.figure("tidegate_batch_size_rows_count") == 2 + 5
        assert server.figure("tidegate_requests_total", code="500") == 2
        assert server.figure("tidegate_ended_requests_total", outcome="failed") == 2
        assert server.stop() == 0


# Workers are killed under batched load


class Killer:
    """Kills the worker that has begun the latest execution, after every so many answers, each worker once."""

    def __init__(self, journal: Path, every: int, kills: int) -> None:
        self._journal = journal
        self._every = every
        self._kills = kills
        self.killed: dict[int, float] = {}
        self.done: dict[float, float] = {}
        """When each request was answered."""

    def answered(self, number: str) -> None:
        self.done[float(number)] = time.monotonic()
        if len(self.killed) < self._kills and len(self.done) >= self._every * (len(self.killed) + 1):
            pid = read_journal(self._journal)[-1].pid
            if pid not in self.killed:
                self.killed[pid] = time.monotonic()
                psutil.Process(pid).kill()


def killing(start: Start, directory: Path, requests: int, kills: int) -> dict[str, float]:
    """Send so many requests from 200 clients to three replicas, and kill so many of these in between."""
    journal = directory / "journal"
    # Kills from outside are no request's fault, however many of them it meets.
    words = ("--replicas", "3", "--max-deaths", str(kills + 1), *WORDS)
    killer = Killer(journal, requests // (kills + 1), kills)
    with start(*words, journal=str(journal)) as server:

        async def run() -> Counter[str]:
            async with callers(server, CLIENTS) as crowd:
                return await ask_all(crowd, (row_of(n, slow=0.005) for n in range(requests)), killer.answered)

        assert asyncio.run(run()) == {"right": requests}
        lost = server.figure("tidegate_lost_batches_total")
        assert server.stop() == 0
    assert len(killer.killed) == kills
    executions = read_journal(journal)
    again = executed_again(executions, killer)
    assert lost > 0  # how many of them had begun, and so are in the journal twice, is the kills' chance
    return {"requests": requests, "kills": kills, "lost batches": lost, "executed again": again} | {
        "rows per batch": round(sum(len(execution.rows) for execution in executions) / len(executions), 1)
    }


def executed_again(executions: list[Execution], killer: Killer) -> int:
    """How often a request was executed once more: only where its worker had been killed, and never after its answer."""
    again = 0
    before: dict[float, Execution] = {}
    for execution in executions:
        for number in execution.rows:
            assert execution.began < killer.done[number]
            if number in before:
                assert killer.killed.get(before[number].pid, inf) < execution.began
                again += 1
            before[number] = execution
    assert before.keys() == killer.done.keys()
    return again


def test_workers_are_killed_under_batches(start: Start, tmp_path: Path) -> None:
    """1,000 requests, 10 kills: none is lost, each gets its own answer, and none is executed that has got it."""
    killing(start, tmp_path, 1000, 10)


@pytest.mark.soak
def test_workers_are_killed_under_batches_for_long(start: Start, tmp_path: Path) -> None:
    """10,000 requests, 100 kills."""
    print(killing(start, tmp_path, 10_000, 100))
