"""What admission costs per request: signature, deadline, metrics, over a backend that answers at once."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

import numpy as np

from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.routes import RouteTable
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import IdentityBackend, identity_route


async def measure(requests: int) -> float:
    """Microseconds per request."""
    route = identity_route("m", Datatype.FP32)
    plane = DataPlane(RouteTable.of(route), Metrics("0"), GatewaySettings("0"))
    request = InferRequest("m", (Tensor.from_numpy("fp32", np.zeros((1, 4), np.float32)),))
    backend = route.backend
    assert isinstance(backend, IdentityBackend)
    deadline = asyncio.get_running_loop().time() + 3600
    start = time.perf_counter()
    for _ in range(requests):
        (await plane.infer(route, request, deadline)).release()
        backend.requests.clear()
        backend.answers.clear()
    return (time.perf_counter() - start) / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="requests in a run (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=7, help="runs, of which the median counts (default: %(default)s)")
    options = parser.parse_args()
    runs = [asyncio.run(measure(options.requests)) for _ in range(options.runs)]
    print(
        f"{statistics.median(runs):.1f} us per request (median of {options.runs}; {min(runs):.1f} to {max(runs):.1f})"
    )


if __name__ == "__main__":
    main()
