"""A convolutional network through tidegate, beside ONNX Runtime alone, at equal threads and equal batch.

A network of the `onnx` package with one image per request, in v2's binary form, closed loop by wrk. In each repetition
tidegate goes first; then ONNX Runtime runs in this process over batches of the sizes that tidegate has just executed
by its own statistics ("same batches"), in a loop with nothing around it, and over batches of the size that is best for
it. wrk and the gateway take their share of the cores, the loop alone has all of them. The aim is 90 % of ONNX Runtime.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np

from tidegate.client import Client
from tidegate.loadtests.cnn import NETWORKS, images, open_session, save_network
from tidegate.loadtests.comparison import columns, machine, ratios, spread
from tidegate.loadtests.payload import http_body, sample_request
from tidegate.loadtests.server import NotServing, Server, get, tidegate
from tidegate.loadtests.wrk import WrkFailed, wrk

WARMUP = 3.0
CEILING = 1.02
"""Of the ratio to the loop alone; the rest is noise."""
DRAWN = 1024
"""Batches after which the sequence of sizes begins again."""
CHECKED = 16
"""Different images whose answers are compared, all at once, so that they meet in batches."""


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--network", choices=NETWORKS, default="squeezenet", help="(default: %(default)s)")
    add("--threads", type=int, default=1, help="of ONNX Runtime, on both sides (default: %(default)s)")
    add("--connections", type=int, default=32, help="of wrk (default: %(default)s)")
    add("--seconds", type=int, default=5, help="of each run (default: %(default)s)")
    add("--repetitions", type=int, default=5, help="(default: %(default)s)")
    add("--largest", type=int, default=32, help="batch tried for the best one (default: %(default)s)")
    add("--serve", default="", metavar="WORDS", help="further options of `tidegate serve`, as one word")
    return made.parse_args()


class Alone:
    """ONNX Runtime in a loop. Batches of each size are made once."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.name: str = session.get_inputs()[0].name
        self._feeds: dict[int, dict[str, Any]] = {}

    def rate(self, sizes: Sequence[int], seconds: float) -> float:
        """Images per second over batches of these sizes, again and again. Making images is not in it."""
        for size in set(sizes) - set(self._feeds):
            self._feeds[size] = {self.name: images(size)}
            self.session.run(None, self._feeds[size])
        done, start = 0, time.perf_counter()
        for size in itertools.cycle(sizes):
            self.session.run(None, self._feeds[size])
            done += size
            if time.perf_counter() - start >= seconds:
                break
        return done / (time.perf_counter() - start)

    def best(self, largest: int, seconds: float) -> tuple[int, dict[int, float]]:
        """The best of the batch sizes 1, 2, 4, …, and images per second at each."""
        sizes = [1 << power for power in range(largest.bit_length())]
        rates = {size: self.rate([size], seconds) for size in sizes}
        return max(rates, key=lambda size: rates[size]), rates


def check(server: Server, alone: Alone) -> float:
    """The largest difference between tidegate's answers and ONNX Runtime's own.

    Raises:
        NotServing: it is more than rounding explains.
    """
    pictures = images(CHECKED, seed=1)
    expected = alone.session.run(None, {alone.name: pictures})[0]

    def ask(picture: Any) -> Any:
        with Client(server.url) as client:
            [answer] = client.infer("network", {alone.name: picture[np.newaxis]}).outputs.values()
            return answer[0]

    with ThreadPoolExecutor(CHECKED) as callers:
        given = np.stack(list(callers.map(ask, pictures)))
    if not np.allclose(given, expected, rtol=1e-3, atol=1e-6):
        raise NotServing("tidegate's answers are not those of ONNX Runtime")
    return float(np.abs(given - expected).max())


def executed(server: Server) -> Counter[int]:
    """How many batches of each size have been executed, by v2's statistics; nothing where there are none."""
    try:
        told = json.loads(get(f"{server.url}/v2/models/network/stats"))
    except HTTPError:
        return Counter()
    [model] = told["model_stats"]
    return Counter({batch["batch_size"]: batch["compute_infer"]["count"] for batch in model["batch_stats"]})


def drawn(sizes: Counter[int]) -> list[int]:
    """Sizes as often, in proportion, as they were counted; 1 where nothing was."""
    counted = sizes or Counter({1: 1})
    values = np.random.default_rng(0)
    weights = np.array(list(counted.values()), float)
    return [int(size) for size in values.choice(list(counted), DRAWN, p=weights / weights.sum())]


def compare(options: argparse.Namespace, server: Server, alone: Alone, body: Path, length: int | None) -> None:
    difference = check(server, alone)
    best, rates = alone.best(options.largest, 1.0)
    through: list[float] = []
    same: list[float] = []
    ideal: list[float] = []
    total: Counter[int] = Counter()
    told = bool(executed(server))
    wrk(server.infer_url, body, WARMUP, options.connections, 1, length)
    for _ in range(options.repetitions):
        before = executed(server)
        through.append(wrk(server.infer_url, body, options.seconds, options.connections, 1, length).rate)
        sizes = executed(server) - before
        total += sizes
        same.append(alone.rate(drawn(sizes), options.seconds))
        ideal.append(alone.rate([best], options.seconds))
    print(
        f"{options.network}, {options.threads} threads, one image per request; wrk -t1 -c{options.connections}, "
        f"{options.seconds} s x {options.repetitions} alternating; {machine()}; every answer 2xx; "
        f"{CHECKED} answers within {difference:.1g} of ONNX Runtime's\n"
    )
    rows = [("tidegate", spread(through, ",.1f"), "")]
    for name, taken in (("same batches", same), (f"batches of {best}", ideal)):
        rows.append((f"alone, {name}", spread(taken, ",.1f"), spread(ratios(through, taken), ".3f")))
    print(columns(("", "images/s, median [range]", "tidegate / it"), rows))
    print("\nalone by batch size, images/s: " + ", ".join(f"{size}: {rate:.1f}" for size, rate in rates.items()))
    shown = ", ".join(f"{size}: {count}" for size, count in sorted(total.items()))
    print(f"batches that tidegate executed: {shown if told else 'not told by this server; taken as 1'}")
    print(verdict(statistics.median(ratios(through, same))))


def verdict(ratio: float) -> str:
    """The loop alone is a ceiling for the same batches: a ratio above it is a fault of the measurement."""
    if ratio > CEILING:
        return f"unsound: {ratio:.3f} of ONNX Runtime alone cannot be; the loop alone was disturbed"
    return f"aim (0.9 of the same batches): {'met' if ratio >= 0.9 else 'missed'}"


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        model, body = Path(directory) / "network.onnx", Path(directory) / "body"
        save_network(options.network, model)
        alone = Alone(open_session(model, options.threads))
        with tidegate(model, "network", *shlex.split(options.serve), threads=options.threads) as server:
            server.ready()
            with Client(server.url) as client:
                request = sample_request("network", client.model_metadata("network"), 1, 0)
            content, length = http_body(request, True)
            body.write_bytes(content)
            compare(options, server, alone, body, length)


if __name__ == "__main__":
    try:
        main()
    except (NotServing, WrkFailed) as error:
        sys.exit(f"error: {error}")
