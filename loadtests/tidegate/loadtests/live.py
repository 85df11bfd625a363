"""A service that scales, in a real server under a schedule: what was asked, what came, how many replicas there were.

Its model sleeps instead of computing, so that dozens of replicas fit on a core or two: for as long as a request says,
and before its first request for as long as a large model would load.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection

import msgspec
import psutil

from tidegate.loadtests.census import Count, count
from tidegate.loadtests.connections import HttpConnection
from tidegate.loadtests.load import Load, Sample
from tidegate.loadtests.payload import host_and_port, http_message

MODEL = "sleeper"
LOOK = 0.2
"""Seconds between two counts of the replicas: a fifth of what lies between two looks of the autoscaler."""
CONNECTIONS = 1024
DRAIN = 90.0
"""Seconds for what is left at the end; more than the server's own deadline."""

_PROGRAM = """\
import random
import time
from typing import Annotated

import numpy as np

from tidegate.runtimes import model


@model
class Sleeper:
    def load(self, context):
        time.sleep({start} * random.SystemRandom().lognormvariate({mean}, {sigma}))

    def predict(self, seconds: Annotated[np.ndarray, "FP64", 1]) -> Annotated[np.ndarray, "FP64", 1]:
        time.sleep(float(seconds[0]))
        return seconds
"""
_FIGURE = re.compile(rb"^tidegate_(?:scaling_desired_replicas|replicas)\{(.*?)\} (\S+)$", re.MULTILINE)
_STATE = re.compile(rb'state="([^"]*)"')


class Target(msgspec.Struct, frozen=True):
    """A server that has the service: its address, that of its status port, and its process."""

    url: str
    status: str
    pid: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to. Times are seconds since it began."""

    samples: list[Sample]
    counts: list[Count]
    processor: dict[str, float]
    """Share of one core that gateway, replicas and this client took, on average."""
    load_average: tuple[float, float]
    """Of the machine, over a minute: when it began, and when it ended."""


def program(start: float, mean: float, sigma: float) -> str:
    """The model. Its start takes ``start`` seconds times a lognormal factor of these parameters."""
    return _PROGRAM.format(start=start, mean=mean, sigma=sigma)


def body(seconds: float) -> bytes:
    """A request whose execution is to take so long."""
    tensor = {"name": "seconds", "shape": [1], "datatype": "FP64", "data": [seconds]}
    return json.dumps({"inputs": [tensor]}).encode()


def counted(at: float, metrics: bytes) -> Count:
    """The replicas by what the status port tells; of the only service of a server."""
    desired, states = 0, {}
    for labels, value in _FIGURE.findall(metrics):
        state = _STATE.search(labels)
        if state is None:
            desired = int(float(value))
        else:
            states[state.group(1).decode()] = int(float(value))
    return count(at, desired, states)


class NextConnection(HttpConnection):
    """Sends the next of the messages that it shares with others, whichever connection's turn it is."""

    def __init__(self, host: str, port: int, messages: Iterator[bytes]) -> None:
        super().__init__(host, port, b"")
        self._messages = messages

    async def ask(self) -> str:
        self._message = next(self._messages)
        return await super().ask()


class Watch:
    """A thread that counts replicas and processor time until it is stopped. ``began`` is the clock's second 0."""

    def __init__(self, target: Target, began: float) -> None:
        self.counts: list[Count] = []
        self._began = began
        host, port = host_and_port(target.status)
        self._status = HTTPConnection(host, port, timeout=30)
        self._gateway = psutil.Process(target.pid)
        self._spent: dict[int, float] = {}
        self._at_first: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._status.close()

    def processor(self) -> tuple[float, float]:
        """Seconds that the gateway and its replicas took since the watch began; what ended is as it was seen last."""
        taken = {pid: spent - self._at_first.get(pid, 0.0) for pid, spent in self._spent.items()}
        gateway = taken.pop(self._gateway.pid, 0.0)
        return gateway, sum(taken.values())

    def _run(self) -> None:
        self._spend()
        self._at_first = dict(self._spent)
        number = 0
        while not self._stop.is_set():
            self.counts.append(self._count())
            number += 1
            if number % 5 == 0:
                self._spend()
            self._stop.wait(max(0.0, LOOK * number - (time.perf_counter() - self._began) + self.counts[0].at))
        self._spend()

    def _count(self) -> Count:
        self._status.request("GET", "/metrics")
        text = self._status.getresponse().read()
        return counted(time.perf_counter() - self._began, text)

    def _spend(self) -> None:
        for process in [self._gateway, *self._gateway.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            self._spent[process.pid] = times.user + times.system


async def replay(url: str, arrivals: Sequence[float], bodies: Sequence[bytes], began: float) -> list[Sample]:
    """Send each body at its time, whatever became of those before it."""
    host, port = host_and_port(url)
    messages = (http_message(url, MODEL, each, None) for each in bodies)
    load = Load(
        [NextConnection(host, port, messages) for _ in range(CONNECTIONS)], iter(arrivals), arrivals[-1], None, DRAIN
    )
    await load.run(began)
    return load.samples


def measure(target: Target, arrivals: Sequence[float], bodies: Sequence[bytes], duration: float) -> Measured:
    """One run, of a service whose replicas are ready."""
    before, own = os.getloadavg()[0], time.process_time()
    began = time.perf_counter() + 0.5
    with Watch(target, began) as watch:
        samples = asyncio.run(replay(target.url, arrivals, bodies, began))
        time.sleep(max(0.0, began + duration + LOOK - time.perf_counter()))
        took = time.perf_counter() - began
    gateway, replicas = watch.processor()
    processor = {"gateway": gateway, "replicas": replicas, "client": time.process_time() - own}
    return Measured(
        samples=samples,
        counts=watch.counts,
        processor={name: seconds / took for name, seconds in processor.items()},
        load_average=(before, os.getloadavg()[0]),
    )
