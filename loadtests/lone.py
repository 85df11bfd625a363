"""What a lone request costs: one at a time through tidegate, beside the model called in this process.

The small model is scikit-learn's iris classifier over v2 JSON, the large one a network of the `onnx` package over v2's
binary form; threads of the framework are equal on both sides. A repetition takes the medians of the model alone, of
tidegate and of the null server, which shows what the caller and the loopback cost by themselves. The aim is 1.2 times
the model's own time + 0.5 ms.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tidegate.client import Client
from tidegate.loadtests.caller import Caller, NotAnswered
from tidegate.loadtests.cnn import NETWORKS, images, open_session, save_network
from tidegate.loadtests.comparison import alternate, columns, machine, spread
from tidegate.loadtests.payload import host_and_port, http_body, http_message, sample_request
from tidegate.loadtests.peers import train
from tidegate.loadtests.report import percentile
from tidegate.loadtests.server import NotServing, Server, null, tidegate

ROW = [[5.1, 3.5, 1.4, 0.2]]
AIM_FACTOR, AIM_MORE = 1.2, 0.0005


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--requests", type=int, default=2000, help="small ones in a run; a tenth of large ones (default: %(default)s)")
    add("--repetitions", type=int, default=5, help="(default: %(default)s)")
    add("--threads", type=int, default=1, help="of the framework, on both sides (default: %(default)s)")
    add("--network", choices=NETWORKS, default="squeezenet", help="the large model (default: %(default)s)")
    add("--serve", default="", metavar="WORDS", help="further options of `tidegate serve`, as one word")
    return made.parse_args()


def median(call: Callable[[], object], count: int) -> float:
    """Seconds; a tenth more calls warm up."""
    taken = []
    for number in range(-count // 10, count):
        start = time.perf_counter()
        call()
        if number >= 0:
            taken.append(time.perf_counter() - start)
    return percentile(sorted(taken), 50)


def small(folder: Path, threads: int) -> tuple[Path, Callable[[], object]]:
    """The iris model's file, and a call of the model."""
    import joblib
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    path = train(Path(sys.executable), folder / "small.joblib")
    estimator = joblib.load(path)
    row = np.array(ROW)
    threadpool_limits(threads)
    return path, lambda: estimator.predict(row)


def large(folder: Path, threads: int, network: str) -> tuple[Path, Callable[[], object]]:
    """The network's file, and a call of it."""
    path = folder / "large.onnx"
    save_network(network, path)
    session = open_session(path, threads)
    feed = {session.get_inputs()[0].name: images(1)}
    return path, lambda: session.run(None, feed)


def message(server: Server, model: str, binary: bool) -> bytes:
    if not binary:
        tensor = {"name": "X", "shape": [1, 4], "datatype": "FP64", "data": ROW}
        body = json.dumps({"inputs": [tensor], "outputs": [{"name": "predict"}]}).encode()
        return http_message(server.url, model, body, None)
    with Client(server.url) as client:
        request = sample_request(model, client.model_metadata(model), 1, 0)
    return http_message(server.url, model, *http_body(request, True))


def measure(options: argparse.Namespace, path: Path, model: Callable[[], object], count: int) -> tuple[str, ...]:
    """A row of the table: medians in milliseconds, and whether the aim is met."""
    binary = path.suffix == ".onnx"
    served = tidegate(path, path.stem, *shlex.split(options.serve), threads=options.threads)
    with served, null() as nothing:
        for server in (served, nothing):
            server.ready()
        sent = message(served, path.stem, binary)
        with Caller(*host_and_port(served.url), sent) as asked, Caller(*host_and_port(nothing.url), sent) as idle:
            subjects = {"model": model, "tidegate": asked.ask, "null": idle.ask}
            runs = {name: partial(median, call, count) for name, call in subjects.items()}
            taken = alternate(runs, options.repetitions)
    aims = [AIM_FACTOR * own + AIM_MORE for own in taken["model"]]
    met = sum(whole <= aim for whole, aim in zip(taken["tidegate"], aims, strict=True))
    shown = [spread([s * 1e3 for s in figures], ".3f") for figures in (*taken.values(), aims)]
    return (path.stem, *shown, f"{met} of {options.repetitions}")


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        rows = [
            measure(options, *small(folder, options.threads), options.requests),
            measure(options, *large(folder, options.threads, options.network), max(10, options.requests // 10)),
        ]
    print(
        f"p50 of one caller, ms, median [range] of {options.repetitions} alternating repetitions; "
        f"{options.threads} threads; small: iris, large: {options.network}; {machine()}\n"
    )
    print(columns(("request", "model alone", "tidegate", "null server", "1.2 x model + 0.5", "met"), rows))


if __name__ == "__main__":
    try:
        main()
    except (NotServing, NotAnswered) as error:
        sys.exit(f"error: {error}")
