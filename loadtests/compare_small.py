"""Small-model throughput over HTTP, tidegate beside other servers, in one run.

scikit-learn's iris classifier and one row of four FP64 numbers as v2 JSON, the same bytes to all. All servers are up,
each is asked in turn, and only the one that is asked works; a repetition's ratio is of neighbours in time. A run
counts only if every answer is 2xx, and begins only if all servers give the same classes. The null server tells what
the load generator, wrk, can do.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tidegate.loadtests.comparison import alternate, columns, machine, ratios, spread
from tidegate.loadtests.peers import PEERS, NotInstalled, Peer, install, train
from tidegate.loadtests.server import NotServing, Server, first_output, null, tidegate
from tidegate.loadtests.wrk import WrkFailed, wrk

ROWS = ([5.1, 3.5, 1.4, 0.2], [6.4, 3.2, 4.5, 1.5], [7.7, 2.6, 6.9, 2.3])
"""One of each species; the first is the request of the load."""
WARMUP = 2.0


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--peers", type=Path, default=Path("build/peers"), metavar="DIR", help="their environments (%(default)s)")
    add("--only", default="", metavar="NAMES", help="peers to compare with, by comma (default: all)")
    add("--tuned", action="store_true", help="add the peers with their own documented best settings")
    add("--connections", type=int, default=64, help="(default: %(default)s)")
    add("--threads", type=int, default=1, help="of wrk (default: %(default)s)")
    add("--seconds", type=int, default=5, help="of each run (default: %(default)s)")
    add("--repetitions", type=int, default=5, help="(default: %(default)s)")
    add("--serve", default="", metavar="WORDS", help="further options of `tidegate serve`, as one word")
    return made.parse_args()


def request(row: list[float]) -> bytes:
    """A v2 request. It names the one output that all servers give: tidegate would add the probabilities."""
    tensor = {"name": "X", "shape": [1, 4], "datatype": "FP64", "data": [row]}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": "predict"}]}).encode()


def chosen(options: argparse.Namespace) -> list[Peer]:
    names = [name for name in options.only.split(",") if name]
    return [peer for peer in PEERS if (options.tuned or not peer.tuned) and (not names or peer.environment in names)]


def start(options: argparse.Namespace, stack: ExitStack, folder: Path) -> dict[str, Server]:
    """All servers, started and left by ``stack``."""
    own = train(Path(sys.executable), folder / "iris.joblib")
    servers = {"tidegate": stack.enter_context(tidegate(own, "iris", *shlex.split(options.serve)))}
    for peer in chosen(options):
        python = install(peer, options.peers)
        home = folder / peer.name
        home.mkdir()
        server = peer.serve(python, train(python, home / "iris.joblib"), home)
        servers[peer.name] = stack.enter_context(server)
    return servers


def check(servers: dict[str, Server]) -> None:
    """Raises: NotServing: a server does not answer, or with other classes than the others."""
    for expected, row in enumerate(ROWS):
        for name, server in servers.items():
            got = first_output(server.first_answer(request(row)))
            if got != [expected]:
                raise NotServing(f"{name} answers {got} to {row}, expected [{expected}]")


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        folder = Path(directory)
        body = folder / "request.json"
        body.write_bytes(request(ROWS[0]))
        servers = start(options, stack, folder)
        check(servers)
        servers["null server"] = stack.enter_context(null())
        servers["null server"].first_answer(body.read_bytes())

        def rate(server: Server, seconds: float) -> float:
            return wrk(server.infer_url, body, seconds, options.connections, options.threads).rate

        for server in servers.values():
            rate(server, WARMUP)
        taken = alternate({n: partial(rate, s, options.seconds) for n, s in servers.items()}, options.repetitions)
    tool = f"wrk -t{options.threads} -c{options.connections}, {options.seconds} s x {options.repetitions} alternating"
    print(f"{tool}; {machine()}; every answer 2xx\n")
    rows = [(n, spread(r), spread(ratios(taken["tidegate"], r), ".2f")) for n, r in taken.items()]
    print(columns(("server", "requests/s, median [range]", "tidegate / it"), rows))


if __name__ == "__main__":
    try:
        main()
    except (NotInstalled, NotServing, WrkFailed) as error:
        sys.exit(f"error: {error}")
