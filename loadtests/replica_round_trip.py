"""What one request costs between the gateway's port and a worker's model: dispatch, channel, shared memory.

One identity model in a real worker, in this process' event loop (uvloop, as the server has it); no listener, no
codec. Prints the median and the 99th percentile of lone requests, and requests per second of many at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import uvloop

from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics

SMALL, LARGE = 4, 150_000
"""Elements of FP32: 16 bytes, which travel in the frame, and 600 KB, which lie in shared memory."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the round trip between the gateway and a worker.")
    parser.add_argument("--requests", type=int, default=5000, help="small requests measured (default: %(default)s)")
    parser.add_argument("--large", type=int, default=1000, help="600 KB requests measured (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=16, help="requests at once for req/s (default: %(default)s)")
    return parser.parse_args()


def row(elements: int) -> InferRequest:
    return InferRequest("identity", (Tensor.from_numpy("x", np.zeros((1, elements), dtype=np.float32)),))


async def ask(backend: LocalBackend, request: InferRequest) -> None:
    answer = await backend.infer(request, asyncio.get_running_loop().time() + 60)
    answer.release()


async def lone(backend: LocalBackend, request: InferRequest, count: int) -> list[float]:
    """Microseconds of each of ``count`` requests, one after the other, after as many as a tenth to warm up."""
    taken: list[float] = []
    for number in range(-count // 10, count):
        start = time.perf_counter()
        await ask(backend, request)
        if number >= 0:
            taken.append((time.perf_counter() - start) * 1e6)
    return taken


async def together(backend: LocalBackend, request: InferRequest, count: int, clients: int) -> float:
    """Requests per second of ``clients`` that each send the next as soon as the last is answered."""

    async def client() -> None:
        for _ in range(count // clients):
            await ask(backend, request)

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return count // clients * clients / (time.perf_counter() - start)


def shown(name: str, taken: list[float]) -> str:
    p50, p99 = np.percentile(taken, [50, 99])
    return f"{name:<16} p50 {p50:7.0f} us   p99 {p99:7.0f} us   n {len(taken)}"


async def main(options: argparse.Namespace, model: Path) -> None:
    artifact = Artifact("identity", "1", model)
    backend = LocalBackend(artifact, "fake", ReplicaSettings(), Metrics("loadtest").bind("identity", "1"))
    await backend.start()
    try:
        await backend.wait_ready(60)
        print(shown("4 floats", await lone(backend, row(SMALL), options.requests)))
        print(shown("600 KB in, out", await lone(backend, row(LARGE), options.large)))
        rate = await together(backend, row(SMALL), options.requests * 2, options.clients)
        print(f"{options.clients} clients       {rate:7.0f} requests/s of 4 floats")
    finally:
        await backend.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "identity.fake.json"
        path.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}))
        uvloop.run(main(arguments(), path))
