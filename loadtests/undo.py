"""How long going back takes: from `rollout undo` until the earlier revision answers, and alone answers, under load.

Two scikit-learn models that disagree, one service. The second one takes over, then the first is asked for again; a
caller asks all the time and never waits. Counted are calls that fail, from the first manifest to the last answer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.loadtests.comparison import machine, spread
from tidegate.resources.revision import undone
from tidegate.testing.service_server import SERVICES, ServiceServer, manifest, split

ROW = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repetitions", type=int, default=10, help="(default: %(default)s)")
    return made.parse_args()


class Caller(threading.Thread):
    """Asks without a pause. ``answers`` has the moment and the label of each answer, ``failed`` what else came."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.answers: list[tuple[float, int]] = []
        self.failed: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=60) as http:
            while not self.ending.is_set():
                got = http.post("/v2/models/iris/infer", json=ROW)
                if got.status_code != 200:
                    self.failed.append(got.text)
                    continue
                self.answers.append((time.perf_counter(), int(got.json()["outputs"][0]["data"][0])))


def models(folder: Path) -> tuple[Path, Path]:
    rows, labels = load_iris(return_X_y=True)
    first, second = folder / "first.joblib", folder / "second.joblib"
    joblib.dump(LogisticRegression(max_iter=500).fit(rows, labels), first)
    joblib.dump(LogisticRegression(max_iter=500).fit(rows, 2 - labels), second)
    return first, second


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        first, second = models(folder)
        with ServiceServer.start(folder / "state", "--trust", folder) as server:
            server.write(manifest("iris", first, "sklearn"))
            server.until("iris", lambda status: split(status) == {"iris-00001": 100})
            caller = Caller(server.serving.url)
            caller.start()
            began, only = [], []
            try:
                for _ in range(options.repetitions):
                    server.write(manifest("iris", second, "sklearn"))
                    server.until("iris", lambda status: split(status) == {"iris-00002": 100})
                    asked = time.perf_counter()
                    back: Any = undone(server.read("iris"), server.revisions("iris")[0])
                    server.admin.put(f"{SERVICES}/iris", json=back).raise_for_status()
                    server.until("iris", lambda status: split(status) == {"iris-00001": 100})
                    time.sleep(0.5)  # for answers that were still on their way
                    seen = [(at, label) for at, label in caller.answers if at > asked]
                    began.append((next(at for at, label in seen if label == 0) - asked) * 1000)
                    only.append((max((at for at, label in seen if label == 2), default=asked) - asked) * 1000)
            finally:
                caller.ending.set()
                caller.join()
    print(f"{options.repetitions} undos, {len(caller.answers)} answers, {len(caller.failed)} failed; {machine()}\n")
    print(f"first answer of the earlier revision after  {spread(began)} ms")
    print(f"last answer of the later one after          {spread(only)} ms (median {statistics.median(only):.0f})")
    if caller.failed:
        sys.exit(f"error: {caller.failed[0]}")


if __name__ == "__main__":
    main()
