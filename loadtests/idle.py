"""What an idle server costs: CPU time of `tidegate serve` and all its replicas, while nobody asks.

Several small models are loaded and each is asked once; then the CPU seconds of the whole process tree are read before
and after a pause. A pause in which it is asked a hundred times a second comes last: a control that must show, or
nothing is measured. The aim is under 1 % of a core with ten models.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from tidegate.client import Client
from tidegate.loadtests.comparison import machine, spread
from tidegate.loadtests.payload import sample_request
from tidegate.loadtests.peers import train
from tidegate.loadtests.server import NotServing, Server, tidegate
from tidegate.protocol.messages import InferRequest

SETTLE = 5.0
"""Seconds after the last request: garbage of the start and idle memory are dealt with."""
ASKED = 200


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--models", type=int, default=10, help="(default: %(default)s)")
    add("--seconds", type=float, default=30.0, help="of each pause (default: %(default)s)")
    add("--repetitions", type=int, default=5, help="(default: %(default)s)")
    add("--serve", default="", metavar="WORDS", help="further options of `tidegate serve`, as one word")
    return made.parse_args()


def ask(client: Client, request: InferRequest) -> None:
    """The control: a load that costs little, and yet more than any idling."""
    for _ in range(ASKED):
        client.infer(request.model_name, request)
        time.sleep(0.01)


def copies(folder: Path, count: int) -> list[str]:
    """The names of so many models in the folder."""
    names = [f"iris{number}" for number in range(count)]
    first = train(Path(sys.executable), folder / f"{names[0]}.joblib")
    for name in names[1:]:
        shutil.copyfile(first, folder / f"{name}.joblib")
    return names


def cpu_seconds(server: Server) -> float:
    """Of user and system, by all processes that run: the scheduler's nanoseconds, where the kernel shows them."""
    return sum(_scheduled(process) for process in server.processes())


def _scheduled(process: psutil.Process) -> float:
    told = [path.read_text().split()[0] for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat")]
    return sum(map(int, told)) / 1e9 if told else sum(process.cpu_times()[:2])


def used(server: Server, during: Callable[[], object]) -> float:
    """Per cent of a core while ``during`` runs."""
    start, before = time.perf_counter(), cpu_seconds(server)
    during()
    return (cpu_seconds(server) - before) / (time.perf_counter() - start) * 100


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        names = copies(Path(directory), options.models)
        server = tidegate(Path(directory), names[0], *shlex.split(options.serve))
        with server, Client(server.url) as client:
            for name in names:
                server.ready(name)
                request = sample_request(name, client.model_metadata(name), 1, 0)
                client.infer(request.model_name, request)
            time.sleep(SETTLE)
            processes = len(server.processes())
            taken = [used(server, partial(time.sleep, options.seconds)) for _ in range(options.repetitions)]
            control = used(server, partial(ask, client, request))
    print(
        f"{options.models} models, {processes} processes, {options.repetitions} pauses of {options.seconds:g} s; "
        f"{machine()}\nidle CPU {spread(taken, '.3f')} % of a core, median [range]; "
        f"control, {ASKED} requests: {control:.1f} %; aim {'met' if statistics.median(taken) < 1 else 'missed'}"
    )


if __name__ == "__main__":
    try:
        main()
    except NotServing as error:
        sys.exit(f"error: {error}")
