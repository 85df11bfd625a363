"""Closed-loop load by wrk, which is faster than anything that it is pointed at here.

wrk is a Debian package of that name; its Lua script (post.lua) makes the one request that is repeated, and tells the
totals as JSON.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).with_name("post.lua")


class WrkFailed(Exception):
    """wrk is not installed, or a run of it is worth nothing, and why."""


class Totals(msgspec.Struct, frozen=True):
    """One run. ``failed`` counts answers that are not 2xx or 3xx; ``seconds`` is what wrk measured."""

    requests: int
    seconds: float
    failed: int
    connect: int
    read: int
    write: int
    timeout: int

    @property
    def rate(self) -> float:
        """Good answers per second.

        Raises:
            WrkFailed: a request was not answered well: the figure would be one of errors.
        """
        wrong = {name: getattr(self, name) for name in ("failed", "connect", "read", "write", "timeout")}
        if any(wrong.values()) or not self.requests:
            raise WrkFailed(f"of {self.requests} requests not all were answered with 2xx: {wrong}")
        return self.requests / self.seconds


def wrk(
    url: str, body: Path, seconds: float, connections: int = 64, threads: int = 1, json_length: int | None = None
) -> Totals:
    """Post the file ``body`` for so many whole seconds; ``json_length`` tells that it is v2's binary form.

    Raises:
        WrkFailed: wrk is not installed, or did not run.
    """
    program = shutil.which("wrk")
    if program is None:
        raise WrkFailed("wrk is not installed; Debian: apt-get install wrk")
    command = [program, f"-t{threads}", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "30s"]
    command += ["-s", str(SCRIPT), url, "--", str(body), "" if json_length is None else str(json_length)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise WrkFailed(f"wrk ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    return parse(ran.stdout)


def parse(output: str) -> Totals:
    """The totals in what wrk printed, on the last line, by post.lua.

    Raises:
        WrkFailed: they are not there.
    """
    last = output.strip().rpartition("\n")[2]
    try:
        return msgspec.json.decode(last, type=Totals)
    except msgspec.DecodeError as error:
        raise WrkFailed(f"wrk printed no totals but '{last}'") from error
