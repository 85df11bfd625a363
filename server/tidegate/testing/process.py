"""A real `tidegate serve` for a test: started on free ports, read by its JSON lines, and gone afterwards. ::

with Serving.start("models/") as server:
    server.until("ready")
    httpx.get(f"{server.url}/v2/models")
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil
from prometheus_client.parser import text_string_to_metric_families

PATIENCE = 60.0
"""Seconds after which a test that waits is hanging; nothing is measured by it."""

Event = dict[str, Any]
PORTS = ("--http-port", "--grpc-port", "--admin-port", "--status-port")


class Serving:
    """A server process. ``events`` are those read so far; ``until`` reads on."""

    def __init__(self, process: subprocess.Popen[str], log: IO[bytes]) -> None:
        self.process = process
        self.events: list[Event] = []
        self._log = log
        self._children: list[psutil.Process] = []

    @classmethod
    def start(cls, *words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Self:
        """Start ``tidegate serve`` with these arguments, on free ports where they name none."""
        command = [sys.executable, "-P", "-m", "tidegate", "serve", "-o", "json", *map(str, words)]
        for port in PORTS:
            command += [] if port in words else [port, "0"]
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=cwd, env=env)
        return cls(process, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        # Not by seeking: the server writes where the same offset stands.
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    @property
    def http(self) -> str:
        """host:port of the data plane over HTTP."""
        return str(self.events[0]["http"])

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    @property
    def grpc(self) -> str:
        """host:port of the data plane over gRPC."""
        return str(self.events[0]["grpc"])

    @property
    def admin(self) -> str:
        """Address of the resource API."""
        return str(self.events[0]["admin"])

    @property
    def status(self) -> str:
        """Address of the status port."""
        return f"http://{self.events[0]['status']}"

    def figure(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels, as the status port tells it now."""
        connection = http.client.HTTPConnection(self.events[0]["status"], timeout=PATIENCE)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(
            sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def until_figure(self, value: float, name: str, **labels: str) -> None:
        """Return once a figure has this value."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.figure(name, **labels)) != value:
            assert time.monotonic() < deadline, f"{name} is {found}, and should be {value}"

    @property
    def workers(self) -> list[psutil.Process]:
        """The replicas that run now."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; returns the exit code, once no process that it started is left."""
        code = self.process.wait(PATIENCE)
        _, alive = psutil.wait_procs(self._children, PATIENCE)
        assert alive == [], f"processes are left behind: {alive}"
        return code

    def stop(self) -> int:
        """SIGTERM, and wait for the end; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def close(self) -> None:
        """End it however it stands, and leave nothing open."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()
