"""What the resource API costs over HTTP: lists, reads and writes of many services, as its clients ask for them.

The admin port runs in a thread of this process, on SQLite under a temporary directory (``--directory`` takes another
disk); the client is httpx over one connection. Prints median and 99th percentile in milliseconds, client included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from tidegate.testing.admin import Administered
from tidegate.testing.api import APPLY, MERGE, SERVICES, TABLE, model_service


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the resource API.")
    parser.add_argument("--services", type=int, nargs="+", default=[1000], help="(default: %(default)s)")
    parser.add_argument("--count", type=int, default=100, help="calls per figure (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where the state lies (default: a temporary directory)")
    return parser.parse_args()


def measured(name: str, count: int, call: Callable[[int], httpx.Response]) -> None:
    """Print the milliseconds of each call, one after the other."""
    taken: list[float] = []
    size = 0
    for number in range(count):
        start = time.perf_counter()
        reply = call(number)
        taken.append((time.perf_counter() - start) * 1e3)
        reply.raise_for_status()
        size = len(reply.content)
    median, tail = np.percentile(taken, [50, 99])
    print(f"  {name:32} {median:8.2f} {tail:8.2f}   {size:>9,} bytes", flush=True)


def measure(client: httpx.Client, services: int, count: int) -> None:
    def fill(number: int) -> httpx.Response:
        return client.post(
            SERVICES, json=model_service(f"s{number:05}", metadata={"labels": {"team": f"{number % 100}"}})
        )

    def patch(number: int) -> httpx.Response:
        body = f'{{"spec":{{"predictor":{{"minReplicas":{number % 7 + 1}}}}}}}'
        return client.patch(f"{SERVICES}/s00001", content=body, headers={"content-type": MERGE})

    def apply(number: int) -> httpx.Response:
        body = httpx.Request("PATCH", client.base_url, json=model_service("s00002", minReplicas=number % 7 + 1)).content
        path = f"{SERVICES}/s00002?fieldManager=bench&force=true"
        return client.patch(path, content=body, headers={"content-type": APPLY})

    print(f"{services} services: median and p99 of {count} calls, in ms")
    measured("create (each of them)", services, fill)
    measured("list", count, lambda number: client.get(SERVICES))
    measured("list as a table", count, lambda number: client.get(SERVICES, headers={"accept": TABLE}))
    measured("list, gzip", count, lambda number: client.get(SERVICES, headers={"accept-encoding": "gzip"}))
    measured("page of 500", count, lambda number: client.get(f"{SERVICES}?limit=500"))
    measured("list by label (1 %)", count, lambda number: client.get(f"{SERVICES}?labelSelector=team%3D7"))
    measured("get", count, lambda number: client.get(f"{SERVICES}/s00001"))
    measured("merge patch", count, patch)
    measured("server-side apply", count, apply)


def main() -> None:
    told = arguments()
    for services in told.services:
        with (
            tempfile.TemporaryDirectory(dir=told.directory) as directory,
            Administered.start(Path(directory), ready=False) as admin,
            httpx.Client(base_url=admin.url, headers={"accept-encoding": "identity"}, timeout=60) as client,
        ):
            measure(client, services, told.count)


if __name__ == "__main__":
    main()
