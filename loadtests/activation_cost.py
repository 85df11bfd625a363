"""What it costs a request that its model is loaded on demand: time in front of a model that answers at once.

A request to a model that is awake passes one more coroutine, which counts it in and out. Asked side by side with the
same model without it, in short alternating runs of which the fastest counts.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np
import uvloop

from tidegate.control.activation import ActivationSettings
from tidegate.control.activator import Activator
from tidegate.control.model import Executor
from tidegate.control.sleeping import SleepingModel
from tidegate.gateway.backend import ANYBODY, Caller
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import FakeAnswer
from tidegate.testing.lives import FakeLife, FakeLives

FAR = 1e9
REQUEST = InferRequest("m", (Tensor.from_numpy("fp32", np.zeros((1, 1), np.float32), Datatype.FP32),))


class Instant(FakeLife):
    """Answers with nothing, at once."""

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> FakeAnswer:
        return None  # type: ignore[return-value]


class InstantLives(FakeLives):
    def next(self) -> Instant:
        self.begun.append(Instant(self))
        return self.begun[-1]  # type: ignore[return-value]


async def nanoseconds(executor: Executor, requests: int) -> float:
    """Of one request, in a run of so many."""
    began = perf_counter()
    for _ in range(requests):
        await executor.infer(REQUEST, FAR)
    return (perf_counter() - began) / requests * 1e9


async def main(requests: int, rounds: int, models: int) -> None:
    activator = Activator(ActivationSettings(max_awake=2, sleep_after=600), Metrics("0").activation)
    lives = InstantLives("m", load_seconds=0)
    model = SleepingModel(lives.settings(), lives, activator)
    for number in range(models - 1):
        others = InstantLives(f"other-{number}")
        SleepingModel(others.settings(), others, activator)
    await model.wake(60)
    bare, behind = [], []
    for _ in range(rounds):
        bare.append(await nanoseconds(lives.begun[0], requests))
        behind.append(await nanoseconds(model, requests))
    print(f"{min(bare):.0f} ns without, {min(behind):.0f} ns with: {min(behind) - min(bare):.0f} ns a request")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300, help="in one run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1500, help="(default: %(default)s)")
    parser.add_argument("--models", type=int, default=300, help="that share the limits (default: %(default)s)")
    options = parser.parse_args()
    uvloop.run(main(options.requests, options.rounds, options.models))
