"""What a small request costs the gateway's process: processor time, this checkout beside another one.

scikit-learn's iris classifier and one row as v2 JSON, in a closed loop of wrk. Both servers are up, and are asked in
turn for a second each, many times, because machines differ from one second to the next by more than a change does: what
counts is the median of the ratios of neighbours. ``--other`` is the interpreter of the other checkout's environment.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from compare_small import ROWS, request
from tidegate.loadtests.comparison import alternate, columns, machine, ratios, spread
from tidegate.loadtests.peers import train
from tidegate.loadtests.server import NotServing, Server, tidegate
from tidegate.loadtests.wrk import WrkFailed, wrk

WARMUP = 2.0
WINDOW = 1.0


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--other", type=Path, metavar="PYTHON", help="of another checkout, whose server is measured beside this one's")
    add("--connections", type=int, default=64, help="(default: %(default)s)")
    add("--windows", type=int, default=24, help="of a second, for each server (default: %(default)s)")
    return made.parse_args()


def cost(server: Server, body: Path, connections: int, seconds: float) -> float:
    """Microseconds of the gateway's process for each request."""
    gateway = server.processes()[0]
    before = gateway.cpu_times()
    totals = wrk(server.infer_url, body, seconds, connections)
    after = gateway.cpu_times()
    return (after.user - before.user + after.system - before.system) * 1e6 / (totals.rate * totals.seconds)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        model = train(Path(sys.executable), Path(directory) / "iris.joblib")
        body = Path(directory) / "request.json"
        body.write_bytes(request(ROWS[0]))
        pythons = {"this": Path(sys.executable)} | ({"other": options.other} if options.other else {})
        servers = {n: stack.enter_context(tidegate(model, "iris", python=python)) for n, python in pythons.items()}
        for server in servers.values():
            server.first_answer(body.read_bytes())
            cost(server, body, options.connections, WARMUP)
        sides = {n: partial(cost, s, body, options.connections, WINDOW) for n, s in servers.items()}
        taken = alternate(sides, options.windows)
    print(f"wrk -t1 -c{options.connections}, {options.windows} x {WINDOW:g} s alternating; {machine()}\n")
    rows = [(n, spread(times), spread(ratios(taken["this"], times), ".2f")) for n, times in taken.items()]
    print(columns(("gateway of", "us of processor time each", "this / it"), rows))
    if options.other:
        quarters = statistics.quantiles(ratios(taken["this"], taken["other"]), n=4)
        print(f"\nquartiles of this / other: {', '.join(f'{each:.2f}' for each in quarters)}")


if __name__ == "__main__":
    try:
        main()
    except (NotServing, WrkFailed) as error:
        sys.exit(f"error: {error}")
