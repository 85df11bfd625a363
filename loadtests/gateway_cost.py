"""What a request costs in the processes of a server: processor time and page faults, by one caller.

The request is an image of 600 KB to a network of the `onnx` package, in v2's binary form. Times of processes are
disturbed less by what else runs on the machine than latencies are, but disturbed they are: compare runs side by side.
`--serve` and the environment (glibc's tunables, for one) make the sides.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

import msgspec
import psutil

from tidegate.client import Client
from tidegate.loadtests.caller import Caller, NotAnswered
from tidegate.loadtests.cnn import NETWORKS, save_network
from tidegate.loadtests.comparison import columns, machine
from tidegate.loadtests.payload import host_and_port, http_body, http_message, sample_request
from tidegate.loadtests.server import NotServing, tidegate

WARMUP = 30
MODEL = "network"


class Spent(msgspec.Struct, frozen=True):
    """Of a process since it began: milliseconds, and pages that the system had to bring."""

    user: float
    system: float
    faults: int


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--network", choices=NETWORKS, default="squeezenet", help="(default: %(default)s)")
    add("--requests", type=int, default=300, help="(default: %(default)s)")
    add("--threads", type=int, default=1, help="of the framework (default: %(default)s)")
    add("--serve", default="", metavar="WORDS", help="further options of `tidegate serve`, as one word")
    return made.parse_args()


def spent(process: psutil.Process) -> Spent:
    times = process.cpu_times()
    # proc(5): minor faults are the tenth field, counted behind the command, which may hold blanks.
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return Spent(times.user * 1e3, times.system * 1e3, int(fields[7]))


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{MODEL}.onnx"
        save_network(options.network, path)
        with tidegate(path, MODEL, *shlex.split(options.serve), threads=options.threads) as server:
            server.ready()
            with Client(server.url) as client:
                request = sample_request(MODEL, client.model_metadata(MODEL), 1, 0)
            message = http_message(server.url, MODEL, *http_body(request, True))
            with Caller(*host_and_port(server.url), message) as caller:
                caller.times(WARMUP)
                processes = list(server.processes())
                before = [spent(process) for process in processes]
                caller.times(options.requests)
                after = [spent(process) for process in processes]
    count = options.requests
    rows = [
        (
            "gateway" if number == 0 else "worker",
            f"{(end.user - start.user) / count:.2f}",
            f"{(end.system - start.system) / count:.2f}",
            f"{(end.faults - start.faults) / count:.1f}",
        )
        for number, (start, end) in enumerate(zip(before, after, strict=True))
    ]
    print(f"{count} requests to {options.network}, one after the other, {options.threads} threads; {machine()}\n")
    print(columns(("process", "user, ms each", "system, ms each", "page faults each"), rows))


if __name__ == "__main__":
    try:
        main()
    except (NotServing, NotAnswered) as error:
        sys.exit(f"error: {error}")
