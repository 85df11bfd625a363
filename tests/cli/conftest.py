"""A real `tidegate serve` for a test: started on free ports, read by its JSON lines, and gone afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

PATIENCE = 60.0
"""Seconds after which a test that waits is hanging; nothing is measured by it."""

Event = dict[str, Any]


class Serving:
    """A server process. ``events`` are those read so far; ``until`` reads on."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.events: list[Event] = []
        self._log = log
        self._children: list[psutil.Process] = []

    def until(self, kind: str) -> Event:
        """Read events up to and including the next of this kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: Event = json.loads(line)
            self.events.append(event)
            if event["event"] == kind:
                self._children = psutil.Process(self.process.pid).children(recursive=True) or self._children
                return event
        raise AssertionError(f"the server ended before '{kind}': {self.events}\n{self.told}")

    @property
    def told(self) -> str:
        """What it has written to stderr."""
        return self._log.read_text()

    @property
    def url(self) -> str:
        return f"http://{self.events[0]['http']}"

    @property
    def grpc(self) -> str:
        return str(self.events[0]["grpc"])

    @property
    def status(self) -> str:
        return f"http://{self.events[0]['status']}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; returns the exit code, once no process that it started is left."""
        code = self.process.wait(PATIENCE)
        _, alive = psutil.wait_procs(self._children, PATIENCE)
        assert alive == []
        return code

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.ended()


Serve = Callable[..., Serving]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start a server over some paths, with some options; it listens on free ports of 127.0.0.1."""
    started: list[Serving] = []

    def start(*words: str | Path) -> Serving:
        log = tmp_path_factory.mktemp("serve") / "stderr"
        command = [sys.executable, "-P", "-m", "tidegate", "serve", "-o", "json", *map(str, words)]
        for port in ("--http-port", "--grpc-port", "--status-port"):
            command += [] if port in words else [port, "0"]
        with log.open("w") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        started.append(Serving(process, log))
        return started[-1]

    yield start
    for serving in started:
        if serving.process.poll() is None:
            serving.process.kill()
        serving.process.wait(PATIENCE)
        if serving.process.stdout is not None:
            serving.process.stdout.close()


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a model of the fake runtime; see tidegate.testing.runtime for what it can hold."""
    folder = tmp_path_factory.mktemp("fake")

    def write(name: str, content: Mapping[str, Any] | None = None) -> Path:
        path = folder / f"{name}.fake.json"
        path.write_text(json.dumps(content or {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}))
        return path

    return write
