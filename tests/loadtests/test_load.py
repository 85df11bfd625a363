"""When requests are sent and how long they count, in virtual time against a server that stalls."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.loadtests.arrivals import bounded, constant
from tidegate.loadtests.connections import Connection
from tidegate.loadtests.load import UNANSWERED, UNSENT, Load
from tidegate.loadtests.report import Report, summarize
from tidegate.testing.clock import run_virtual


class Server:
    """Answers in 0.01 s, but not at all between the seconds 2 and 3: what comes then is answered after them."""

    def __init__(self, error: OSError | None = None) -> None:
        self.error = error
        self.closed = False

    async def ask(self) -> str:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(3 - now + 0.01 if 2 <= now < 3 else 0.01)
        if self.error is not None:
            raise self.error
        return "200"

    def close(self) -> None:
        self.closed = True


class Deaf(Server):
    async def ask(self) -> str:
        await asyncio.sleep(1e9)
        return "never"


def report(server: Connection, rate: float | None, duration: float, timeout: float = 60.0, warmup: float = 0) -> Report:
    async def main() -> Report:
        arrivals = None if rate is None else bounded(constant(rate), duration, None)
        clock = asyncio.get_running_loop().time
        load = Load([server], arrivals, duration, None, timeout, clock)
        took = await load.run()
        return summarize(load.samples, took, warmup, open_loop=rate is not None, interrupted=load.interrupted)

    return run_virtual(main())


def test_a_stall_is_seen_by_an_open_loop_only() -> None:
    """The closed loop asks once during the stall and calls p99 10 ms; the open one counts all who waited."""
    closed, opened = report(Server(), None, 10), report(Server(), 50, 10)
    assert closed.latency is not None
    assert opened.latency is not None
    assert closed.latency.p99 == pytest.approx(0.01)
    assert closed.latency.max == pytest.approx(1.01)
    # Those meant for 2.00, 2.02, … waited for the second to end and then for those before them: 1.01, 1.00, 0.99 …
    assert opened.latency.max == pytest.approx(1.01)
    assert opened.latency.p90 == pytest.approx(0.51, abs=0.011)
    assert opened.requests == 500


def test_a_busy_connection_is_not_the_clients_lag() -> None:
    """Waiting for a connection is the server's doing: the client's own lag stays zero in an exact clock."""
    assert report(Server(), 50, 10).client_lag_p99 == pytest.approx(0)


def test_the_warm_up_is_not_counted() -> None:
    """Neither its requests nor its time."""
    warm = report(Server(), 50, 10, warmup=4)
    assert warm.requests == 300
    assert warm.latency is not None
    assert warm.latency.max == pytest.approx(0.01)
    assert warm.intended_rate == pytest.approx(50)


def test_what_is_left_at_the_end_is_counted() -> None:
    """A server that never answers leaves a request under way and one unsent, each with the time it has waited."""
    dead = report(Deaf(), 1, 3, timeout=100)
    # The first is given up at 100; the second, meant for 1, is under way when the run ends at 3 + 100.
    assert dead.statuses == {"timeout": 1, UNANSWERED: 1, UNSENT: 1}
    assert dead.latency is not None
    assert dead.latency.max == pytest.approx(102)


def test_a_request_is_given_up() -> None:
    """Each lasts for its own time-out at most, and is reported as such."""
    assert report(Deaf(), 1, 3, timeout=0.5).statuses == {"timeout": 3}


def test_a_dead_server_is_not_asked_in_a_spin() -> None:
    """A closed loop rests 50 ms after each failure, whose kind becomes the status."""
    dead = report(Server(ConnectionRefusedError()), None, 0.6)
    assert dead.statuses == {"ConnectionRefusedError": 10}
    assert dead.throughput == 0


def test_an_interrupted_run_keeps_what_it_has() -> None:
    """Cancelling, which is what Ctrl-C does, ends the run with its samples and closes the connections."""

    async def main() -> tuple[Load, bool]:
        server = Server()
        clock = asyncio.get_running_loop().time
        load = Load([server], constant(10), None, None, clock=clock)
        running = asyncio.create_task(load.run())
        asyncio.get_running_loop().call_later(1.0, running.cancel)
        await running
        return load, server.closed

    load, closed = run_virtual(main())
    assert load.interrupted
    assert closed
    assert [sample.status for sample in load.samples][:10] == ["200"] * 10
