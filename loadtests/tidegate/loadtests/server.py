"""A server under load: a child process with all that it starts, known by its ids, reached over its wire, ended at last.

Its output goes to a file, whose end is shown if it does not come up. Needs psutil.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError

import psutil

PATIENCE = 60.0
"""Seconds for a server to give its first right answer; importing a framework takes most of them."""
GRACE = 20.0
"""Seconds for a server to end once it is told to; then it is killed."""
POLL = 0.1


class NotServing(Exception):
    """A server did not come up, and what it wrote."""


class Server:
    """Starts on entering, ends on leaving. ``model`` is asked as v2's model of that name at ``port``."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        port: int,
        model: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.infer_url = f"{self.url}/v2/models/{model}/infer"
        self._command = [str(word) for word in command]
        self._cwd = cwd
        self._env = None if env is None else dict(env)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # A session of its own, so that Ctrl-C ends this script first, which then ends the server.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=self._cwd,
            env=self._env,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        processes = self.processes()
        if processes:
            processes[0].send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(processes, GRACE)
        for process in alive:
            process.kill()
        if self._process is not None:
            self._process.wait()
        self._log.close()

    def processes(self) -> list[psutil.Process]:
        """Itself, and all that it has started and that still runs."""
        if self._process is None or self._process.poll() is not None:
            return []
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]

    def first_answer(self, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """Ask until it answers with 200, and return that answer's body.

        Raises:
            NotServing: it ended, or did not answer in time.
        """
        return self._until(lambda: post(self.infer_url, body, headers))

    def ready(self, model: str = "") -> None:
        """Wait until it calls its model, or another that it serves, ready.

        Raises:
            NotServing: it ended, or did not tell in time.
        """
        url = f"{self.url}/v2/models/{model}/infer" if model else self.infer_url
        self._until(lambda: get(url.removesuffix("/infer") + "/ready"))

    def _until(self, ask: Callable[[], bytes]) -> bytes:
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        failed = "no answer"
        while time.monotonic() < end and self._process.poll() is None:
            try:
                return ask()
            except (URLError, ConnectionError, TimeoutError) as error:
                failed = str(error)
            time.sleep(POLL)
        raise NotServing(f"{self.name} does not serve ({failed}); it wrote:\n{self._told()}")

    def _told(self) -> str:
        self._log.seek(0)
        return self._log.read()[-3000:].decode(errors="replace")


def tidegate(model: Path, name: str, *words: str, threads: int = 0, python: Path | None = None) -> Server:
    """``tidegate serve`` of one file or folder of models on free ports; ``words`` are further options.

    ``python`` is the interpreter of another environment.
    """
    http, grpc, admin, status = free_ports(4)
    command: list[str | Path] = [python or sys.executable, "-P", "-m", "tidegate", "serve", model]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), "--status-port", str(status)]
    command += ["--admin-port", str(admin)]
    command += ["--threads", str(threads)] if threads else []
    return Server("tidegate", [*command, *words], http, name)


def null() -> Server:
    """The server that does nothing: what the load generator can do at most."""
    [http] = free_ports(1)
    command = [sys.executable, "-P", "-m", "tidegate.loadtests.null", "--http-port", str(http)]
    return Server("null server", command, http, "null")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(taken.getsockname()[1]) for taken in sockets]
    finally:
        for taken in sockets:
            taken.close()


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """The body of the answer to a POST.

    Raises:
        URLError, ConnectionError, TimeoutError: there is none, or its status is not 2xx.
    """
    return _answer(urllib.request.Request(url, body, {"content-type": "application/json", **(headers or {})}))


def get(url: str) -> bytes:
    """The body of the answer to a GET; raises as ``post``."""
    return _answer(urllib.request.Request(url))


def _answer(request: urllib.request.Request) -> bytes:
    with _OPENER.open(request, timeout=PATIENCE) as answer:
        return bytes(answer.read())


def first_output(answer: bytes) -> list[Any]:
    """The elements of the first output of a v2 answer in JSON, flattened."""

    def flat(data: Any) -> list[Any]:
        return [element for part in data for element in flat(part)] if isinstance(data, list) else [data]

    return flat(json.loads(answer)["outputs"][0]["data"])


# A proxy of the environment cannot reach this machine's own loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
