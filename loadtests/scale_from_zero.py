"""How long the first answer of a service takes that sleeps: from nothing to the answer at the client.

One service of `minReplicas: 0` with a small scikit-learn model. Again and again it goes to sleep, and when no process
of it is left, one client asks once over a connection that is open. Beside that: a hundred clients that ask at once, and
the CPU time of the server while nobody asks.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import joblib
import psutil
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.loadtests.comparison import machine, spread
from tidegate.testing.service_server import ServiceServer, manifest

ROW = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}
PATH = "/v2/models/iris/infer"


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repetitions", type=int, default=20, help="(default: %(default)s)")
    made.add_argument("--clients", type=int, default=100, help="that ask at once (default: %(default)s)")
    made.add_argument("--idle", type=float, default=20.0, help="seconds without a request (default: %(default)s)")
    made.add_argument("--sleep-after", type=float, default=0.2, help="(default: %(default)s)")
    return made.parse_args()


def model(folder: Path) -> Path:
    rows, labels = load_iris(return_X_y=True)
    path = folder / "iris.joblib"
    joblib.dump(LogisticRegression(max_iter=500).fit(rows, labels), path)
    return path


def asleep(status: dict[str, Any]) -> bool:
    return any((each["type"], each.get("reason")) == ("Ready", "Asleep") for each in status.get("conditions", ()))


def settled(server: ServiceServer) -> psutil.Process:
    """The server, once the service sleeps and no process of it is left but a zygote, which holds no model."""
    server.until("iris", asleep)
    process = psutil.Process(server.serving.process.pid)
    while len(process.children(recursive=True)) > 1:
        time.sleep(0.05)
    time.sleep(0.2)  # for whoever the kernel still tidies up after
    return process


def first(http: httpx.Client) -> float:
    """Seconds until the answer of one request."""
    began = time.perf_counter()
    http.post(PATH, json=ROW).raise_for_status()
    return time.perf_counter() - began


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        words = ("--trust", folder, "--sleep-after", str(options.sleep_after))
        with ServiceServer.start(folder / "state", *words) as server:
            server.write(manifest("iris", model(folder), "sklearn", minReplicas=0))
            took = []
            for _ in range(options.repetitions):
                settled(server)
                server.http.get("/v2/models/iris/ready").raise_for_status()  # the connection is open
                took.append(first(server.http) * 1000)
            process = settled(server)
            time.sleep(1.0)
            before = process.cpu_times()
            time.sleep(options.idle)
            after = process.cpu_times()
            idle = (after.user + after.system - before.user - before.system) / options.idle

            def ask(_: int) -> float:
                with httpx.Client(base_url=server.serving.url, trust_env=False, timeout=120) as http:
                    return first(http) * 1000

            with ThreadPoolExecutor(options.clients) as pool:
                together = list(pool.map(ask, range(options.clients)))
    print(f"{options.repetitions} times from zero; {machine()}\n")
    print(f"first answer at the client       {spread(took)} ms (median {statistics.median(took):,.0f})")
    print(f"{options.clients} first requests at once    {len(together)} answered, {spread(together)} ms")
    print(
        f"asleep for {options.idle:g} s               {100 * idle:.2f} % of a core, with the server and a zygote alone"
    )


if __name__ == "__main__":
    main()
