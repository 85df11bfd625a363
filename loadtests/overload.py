"""More than a server can do: an open loop at several times its capacity, capacity measured first in the same run.

The model sleeps for a fixed time, whatever the batch (the fake runtime's "slow"), so that the queue is overloaded and
not the cores, which gateway and callers share: a model that computes would measure who gets the processor. Callers set
`X-Request-Timeout-Ms`. Some of the refused come back at the time that `Retry-After` names: those that return while the
overload lasts compete with all others, those that return after it find out whether the time was long enough. Before
that, the same load goes to the null server, to show that the callers are not the limit. Aims: good answers within
10 % of the peak, accepted ones in time at p99, memory flat.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tidegate.loadtests.arrivals import bounded, poisson
from tidegate.loadtests.comparison import columns, machine, spread
from tidegate.loadtests.connections import HttpConnection
from tidegate.loadtests.load import Load, Sample
from tidegate.loadtests.payload import host_and_port, http_message
from tidegate.loadtests.report import percentile, summarize
from tidegate.loadtests.returns import Refusals, Refused, Return
from tidegate.loadtests.server import NotServing, Server, null, tidegate

MODEL = "slow"
WARMUP = 3.0
WATCH = 0.5
"""Seconds between two looks at the memory."""
DRAIN = 30.0


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--times", type=float, default=3.0, help="the capacity, as the rate of the overload (default: %(default)s)")
    add("--seconds", type=float, default=60.0, help="of overload (default: %(default)s)")
    add("--peak-seconds", type=float, default=10.0, help="of the closed loop before it (default: %(default)s)")
    add("--repetitions", type=int, default=5, help="(default: %(default)s)")
    add("--service-time", type=float, default=0.1, help="seconds of one execution (default: %(default)s)")
    add("--deadline", type=float, default=1.0, help="of each request, in seconds (default: %(default)s)")
    add("--busy", type=int, default=96, help="connections of the closed loop (default: %(default)s)")
    add("--connections", type=int, default=2048, help="of the open loop (default: %(default)s)")
    add("--serve", default="", metavar="WORDS", help="further options of `tidegate serve`, as one word")
    return made.parse_args()


def body(service_time: float) -> bytes:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.0] * 4}
    return json.dumps({"parameters": {"slow": service_time}, "inputs": [tensor]}).encode()


class Overload(msgspec.Struct):
    """One repetition. Seconds and bytes."""

    peak: float
    samples: list[Sample]
    refused: list[Refused]
    returns: list[Return]
    memory: list[int]
    late: float
    """How late callers sent at p99, a free connection being there or not."""


class Run:
    """A server's address, what is sent to it, and for how long."""

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self.server = server
        self.options = options
        self._host, self._port = host_and_port(server.url)
        timeout = f"x-request-timeout-ms: {round(options.deadline * 1000)}"
        self._message = http_message(server.url, MODEL, body(options.service_time), None, (timeout,))

    def connect(self) -> HttpConnection:
        return HttpConnection(self._host, self._port, self._message)

    async def peak(self) -> float:
        """Good answers per second in a closed loop.

        Raises:
            NotServing: some were refused, and asked again at once: a load of its own, under which this is no peak.
        """
        duration = WARMUP + self.options.peak_seconds
        load = Load([self.connect() for _ in range(self.options.busy)], None, duration, None)
        report = summarize(load.samples, await load.run(), WARMUP, open_loop=False, interrupted=load.interrupted)
        if report.failed:
            raise NotServing(f"the closed loop was answered {report.statuses}; it needs fewer connections (--busy)")
        return report.throughput

    async def open(self, rate: float, seconds: float, refusals: Refusals | None = None) -> list[Sample]:
        made = [self.connect() if refusals is None else refusals.connection() for _ in range(self.options.connections)]
        load = Load(made, bounded(poisson(rate, 1), seconds, None), seconds, None, DRAIN)
        await load.run()
        return load.samples

    async def watched(self, memory: list[int]) -> None:
        while True:
            memory.append(sum(process.memory_info().rss for process in self.server.processes()))
            await asyncio.sleep(WATCH)

    async def overload(self) -> Overload:
        peak = await self.peak()
        seconds = self.options.seconds
        memory: list[int] = []
        watching = asyncio.create_task(self.watched(memory))
        refusals = Refusals(self._host, self._port, self._message, time.perf_counter() + seconds)
        samples = await self.open(peak * self.options.times, seconds, refusals)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await refusals.settle()
        return Overload(peak, samples, refusals.refused, refusals.returns, memory, lateness(samples))


def lateness(samples: Sequence[Sample]) -> float:
    return percentile(sorted(sample.sent - sample.intended for sample in samples), 99)


def at(samples: Sequence[Sample], percent: float) -> float:
    """Milliseconds from the intended start."""
    taken = sorted(sample.ended - sample.intended for sample in samples)
    return percentile(taken, percent) * 1e3 if taken else 0.0


def facts(ran: Overload, options: argparse.Namespace) -> dict[str, float]:
    """What one repetition says, by its name in the table."""
    good = [sample for sample in ran.samples if sample.status == "200"]
    refused = [sample for sample in ran.samples if sample.status == "503"]
    timely = [sample for sample in good if sample.ended - sample.intended <= options.deadline]
    # What the queue still held at the end is no throughput of the time before.
    goodput = sum(sample.ended <= options.seconds for sample in timely) / options.seconds
    quarter = max(1, len(ran.memory) // 4)
    first, last = (statistics.median(part) / 1e6 for part in (ran.memory[:quarter], ran.memory[-quarter:]))
    waits = [one.wait for one in ran.refused if one.wait is not None]
    told = {
        "peak, good/s": ran.peak,
        "sent/s": len(ran.samples) / options.seconds,
        "good and in time/s": goodput,
        "that, of the peak": goodput / ran.peak,
        "accepted p50, ms": at(good, 50),
        "accepted p99, ms": at(good, 99),
        "accepted, late": float(len(good) - len(timely)),
        "refused (503)": float(len(refused)),
        "refused p50, ms": at(refused, 50),
        "refused p99, ms": at(refused, 99),
        "other statuses": float(len(ran.samples) - len(good) - len(refused)),
        "Retry-After, least, s": min(waits, default=0.0),
        "Retry-After, most, s": max(waits, default=0.0),
        "refused without it": float(len(refused) - len(waits)),
        "callers late p99, ms": ran.late * 1e3,
        "memory, first quarter, MB": first,
        "memory, last quarter, MB": last,
    }
    for name, during in (("during", True), ("after", False)):
        came = [one.status == "200" for one in ran.returns if one.during == during]
        told[f"returned {name}"] = float(len(came))
        told[f"accepted of those {name}, %"] = 100 * sum(came) / len(came) if came else 0.0
    told["accepted of the first asking, %"] = 100 * len(good) / max(1, len(ran.samples))
    return told


def shown(runs: Sequence[dict[str, float]]) -> str:
    rows = []
    for name in runs[0]:
        values = [run[name] for run in runs]
        rows.append((name, spread(values, ",.2f" if max(values) < 10 else ",.0f")))
    return columns(("", "median [range]"), rows)


def verdict(runs: Sequence[dict[str, float]], options: argparse.Namespace) -> str:
    def median(name: str) -> float:
        return statistics.median(run[name] for run in runs)

    grown = median("memory, last quarter, MB") / median("memory, first quarter, MB")
    aims = {
        "good answers within 10 % of the peak": median("that, of the peak") >= 0.9,
        "accepted p99 within the deadline": median("accepted p99, ms") <= options.deadline * 1e3,
        "memory flat (last quarter within 5 % of the first)": grown <= 1.05,
        "every refusal names a time": median("refused without it") == 0,
    }
    return "\n".join(f"{'met   ' if met else 'missed'}  {aim}" for aim, met in aims.items())


def client(rate: float, options: argparse.Namespace) -> str:
    """What the callers do at this rate against a server that does nothing."""
    with null() as server:
        server.ready()
        samples = uvloop.run(Run(server, options).open(rate, 5.0))
    whole = [sample for sample in samples if sample.status == "200"]
    return f"callers alone: {rate:,.0f}/s intended, {len(whole) / 5.0:,.0f}/s answered by the null server, " + (
        f"p99 {at(whole, 99):.1f} ms, late p99 {lateness(samples) * 1e3:.1f} ms"
    )


def main() -> None:
    options = arguments()
    runs: list[dict[str, float]] = []
    statuses: dict[str, int] = {}
    spec: dict[str, Any] = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]}
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / f"{MODEL}.fake.json"
        model.write_text(json.dumps(spec))
        for _ in range(options.repetitions):
            with tidegate(model, MODEL, *shlex.split(options.serve)) as server:
                server.first_answer(body(options.service_time))
                ran = uvloop.run(Run(server, options).overload())
            runs.append(facts(ran, options))
            for status, samples in itertools.groupby(sorted(sample.status for sample in ran.samples)):
                statuses[status] = statuses.get(status, 0) + len(list(samples))
    rate = statistics.median(run["peak, good/s"] for run in runs) * options.times
    print(
        f"{options.times:g} times the capacity for {options.seconds:g} s, {options.repetitions} repetitions, each with "
        f"a new server; one execution {options.service_time * 1e3:g} ms, deadline {options.deadline * 1e3:g} ms; one "
        f"caller process, {options.connections} connections; {machine()}\n{client(rate, options)}\n"
    )
    print(f"{shown(runs)}\n\nstatuses: {', '.join(f'{s}: {n:,}' for s, n in statuses.items())}\n")
    print(verdict(runs, options))


if __name__ == "__main__":
    try:
        main()
    except NotServing as error:
        sys.exit(f"error: {error}")
