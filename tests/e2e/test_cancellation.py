"""The whole server while its callers go away, at whatever point their requests are."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Parameter, Tensor
from tidegate.testing.callers import Caller, callers
from tidegate.testing.process import PATIENCE, Serving
from tidegate.testing.runtime import read_journal

pytestmark = pytest.mark.e2e

Start = Callable[..., Serving]

CALLERS = 100
COLUMNS = (4, 3000)
"""Every other request is small; batches of the rest need shared memory."""
WORDS = ("--replicas", "2", "--max-batch", "8", "--initial-batch-size", "8")
SLOW = 0.05
"""Seconds of an execution, so that at any time a third of the requests are at the replicas and the rest waits."""
MORE_BYTES = 16 << 20
"""How much larger a process may be. A gateway was seen to differ by 3 to 13 MiB, whatever the number; a request that
is kept has 6 KiB of tensors on average, which makes 60 MiB of 10,000 and shows 170 bytes each of 100,000."""
MORE_DESCRIPTORS = 32
"""All that shared memory may have, some of which was first needed after the warm-up: two for a slot, of four sizes, for
two batches, of two replicas. Nothing else is left open: one for each thousandth request would be 100."""


class Crowd:
    """Callers that ask again as soon as they were answered, or went away."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._numbers = itertools.count()
        self._chance = random.Random(0)
        self.gone: set[int] = set()
        """The requests whose callers went away."""
        self.answered = 0

    @property
    def cancelled(self) -> float:
        """Requests that the server had accepted when their callers went away."""
        return self._server.figure("tidegate_ended_requests_total", outcome="cancelled")

    async def churn(self, count: int) -> None:
        """Have so many more requests cancelled, each caller in turn being one that chance picks."""
        goal = self.cancelled + count
        async with callers(self._server, CALLERS) as crowd:
            asking = [self._begin(caller) for caller in crowd]
            while (left := goal - self.cancelled) > 0:
                for _ in range(math.ceil(left)):
                    await asyncio.sleep(0)  # let everybody read and write
                    place = self._chance.randrange(CALLERS)
                    await self._end(asking[place])
                    asking[place] = self._begin(crowd[place])
            for task in asking:
                await self._end(task)

    def _begin(self, caller: Caller) -> asyncio.Task[None]:
        number = next(self._numbers)
        return asyncio.create_task(ask(caller, number, slow=SLOW), name=str(number))

    async def _end(self, task: asyncio.Task[None]) -> None:
        if task.done():
            self.answered += 1
        else:
            self.gone.add(int(task.get_name()))
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def ask(caller: Caller, number: int, **parameters: Parameter) -> None:
    """Ask with data of its own, and check that they are what comes back."""
    row = np.full((1, COLUMNS[number % 2]), number, np.float32)
    tensor = Tensor.from_numpy("x", row, Datatype.FP32)
    answer = await caller.ask(InferRequest("m", (tensor,), id=str(number), parameters=parameters))
    assert answer.id == str(number)
    assert np.array_equal(answer.outputs[0].numpy(), row)


class Usage(msgspec.Struct, frozen=True):
    """What a process holds."""

    nbytes: int
    descriptors: int


def usage(server: Serving) -> dict[int, Usage]:
    """Of the gateway and of each worker, when nobody is connected and nothing is executed."""
    for name in ("tidegate_inflight_requests", "tidegate_inflight_batches", "tidegate_queue_requests"):
        server.until_figure(0, name)
    gateway = psutil.Process(server.process.pid)
    deadline = time.monotonic() + PATIENCE
    while any(connection.status != psutil.CONN_LISTEN for connection in gateway.net_connections("tcp")):
        assert time.monotonic() < deadline, gateway.net_connections("tcp")
    processes = [gateway, *server.workers]
    return {process.pid: Usage(process.memory_info().rss, process.num_fds()) for process in processes}


def cancelling(start: Start, directory: Path, count: int) -> dict[str, object]:
    """Have a tenth of so many requests cancelled, and then all of them: no process may have grown by the latter."""
    journal = directory / "journal"
    with start(*WORDS, journal=str(journal)) as server:
        crowd = Crowd(server)
        asyncio.run(crowd.churn(count // 10))
        before = usage(server)
        asyncio.run(crowd.churn(count))
        after = usage(server)
        cancelled = crowd.cancelled
        assert after.keys() == before.keys()
        for pid in before:
            assert after[pid].nbytes <= before[pid].nbytes + MORE_BYTES
            assert after[pid].descriptors <= before[pid].descriptors + MORE_DESCRIPTORS

        executed = crowd.gone & {number for execution in read_journal(journal) for number in execution.rows}
        assert 0 < len(executed) < cancelled  # some were cancelled at a replica, and some in the queue
        codes = {code: server.figure("tidegate_requests_total", code=code) for code in ("200", "499")}
        assert sum(codes.values()) == server.figure("tidegate_requests_total")
        assert codes["200"] >= crowd.answered > 0

        asyncio.run(everybody_is_answered(server))
        assert server.stop() == 0
    return {
        "cancelled": cancelled,
        "executed": len(executed),
        "answered": crowd.answered,
        "KiB before": [one.nbytes >> 10 for one in before.values()],
        "KiB after": [one.nbytes >> 10 for one in after.values()],
        "descriptors before": [one.descriptors for one in before.values()],
        "descriptors after": [one.descriptors for one in after.values()],
    }


async def everybody_is_answered(server: Serving) -> None:
    async with callers(server, CALLERS) as crowd:
        await asyncio.gather(*(ask(caller, number) for number, caller in enumerate(crowd)))


def test_callers_go_away(start: Start, tmp_path: Path) -> None:
    """10,000 requests are cancelled, over HTTP and gRPC, waiting and executing: all that they held is free again."""
    cancelling(start, tmp_path, 10_000)


@pytest.mark.soak
def test_callers_go_away_for_long(start: Start, tmp_path: Path) -> None:
    """100,000 requests."""
    print(cancelling(start, tmp_path, 100_000))
