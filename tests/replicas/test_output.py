"""What a worker writes: into its replica's log, and on to our own standard error, which may take it or not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tidegate.replicas.log import Log, LogSettings
from tidegate.replicas.output import Output
from tidegate.testing.clock import run_virtual
from tidegate.testing.process import PATIENCE

ALL = LogSettings(lines=1_000_000, nbytes=1 << 30)


class Worker:
    """The worker's end of an output, and the reading end of what stands for our standard error."""

    def __init__(self) -> None:
        self.log = Log(ALL)
        self.reading, self.ours = os.pipe()
        self.output = Output(self.log.replica(), self.ours)
        self.end = os.dup(self.output.theirs)
        os.set_blocking(self.end, False)

    def write(self, data: bytes) -> int:
        try:
            return os.write(self.end, data)
        except BlockingIOError:
            return 0

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.log.lines()]

    def passed_on(self) -> bytes:
        os.set_blocking(self.reading, False)
        try:
            return os.read(self.reading, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.output.close()
        for descriptor in (self.end, self.reading, self.ours):
            os.close(descriptor)


@pytest.fixture
def worker() -> Iterator[Worker]:
    before = os.listdir("/dev/fd")
    made = Worker()
    yield made
    made.close()
    assert os.listdir("/dev/fd") == before


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, PATIENCE))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for is another process' turn, as far as this one knows
        await asyncio.sleep(0.001)


def test_lines_are_kept_and_passed_on(worker: Worker) -> None:
    """As they are, and the rest when the worker is gone."""

    async def main() -> None:
        worker.output.start()
        worker.write(b"one\ntwo\n")
        await until(lambda: worker.texts == ["one", "two"])
        assert worker.passed_on() == b"one\ntwo\n"
        worker.write(b"its last words")
        worker.output.close()
        assert worker.texts == ["one", "two", "its last words"]
        assert worker.passed_on() == b"its last words"

    run(main())


def test_a_flood_leaves_the_loop_its_turns(worker: Worker) -> None:
    """However much a worker writes, a bounded piece is read in each turn of the loop."""

    async def main() -> None:
        worker.output.start()
        written = turns = 0
        while written < 1 << 20:
            written += worker.write(b"x" * 1023 + b"\n")
            written += worker.write(b"x" * (1 << 16))
            worker.passed_on()
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 16

    run(main())


def test_a_worker_is_held_up_for_a_moment_where_nobody_reads_our_standard_error(worker: Worker) -> None:
    """As if it wrote there itself, and not for ever: then what does not fit is left out there, and kept in its log."""

    async def main() -> None:
        worker.output.start()
        line = b"x" * 1023 + b"\n"

        async def flood(seconds: int) -> int:
            """How much the worker gets rid of."""
            written = 0
            for _ in range(seconds * 100):
                for _ in range(100):
                    written += worker.write(line)
                await asyncio.sleep(0.01)
            return written

        await flood(1)  # our standard error is full by now, and so is the worker's pipe
        kept = len(worker.texts)
        assert kept < 1024
        assert await flood(5) > 0
        assert len(worker.texts) > kept
        worker.passed_on()
        await asyncio.sleep(2.0)
        worker.passed_on()
        while not worker.write(b"\nat last\n"):  # noqa: ASYNC110 - its pipe has no event for that
            await asyncio.sleep(0.1)
        await until(lambda: "at last" in worker.texts)
        assert b"at last" in worker.passed_on()

    run_virtual(main())


def test_a_standard_error_that_is_gone_is_no_fault(worker: Worker) -> None:
    """Whoever read it has ended; the log goes on."""

    async def main() -> None:
        worker.output.start()
        os.close(worker.reading)
        worker.reading = os.dup(worker.ours)
        worker.write(b"one\n")
        await until(lambda: worker.texts == ["one"])
        worker.write(b"two\n")
        await until(lambda: worker.texts == ["one", "two"])

    run(main())


def test_a_worker_that_closes_its_standard_error_is_read_no_more(worker: Worker) -> None:
    """It may live on without it, and costs no turns."""

    async def main() -> None:
        worker.output.start()
        worker.write(b"bye\n")
        os.close(worker.end)
        await until(lambda: worker.texts == ["bye"])
        for _ in range(5):
            await asyncio.sleep(0)
        worker.end = os.dup(worker.ours)

    run(main())
