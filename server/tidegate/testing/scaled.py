"""A service of which there are only numbers, for tests of scaling policies: a fluid queue, looked at each second."""

from __future__ import annotations

from math import exp
from random import Random
from typing import Any

import msgspec

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, Policy, ScalingConfig

QUIET = Observation(arrivals=0, completions=0, busy_seconds=0.0, batches=0, waiting=0, ready=1, provisioned=1)
"""A look at one replica that has nothing to do and never had."""


def quiet(replicas: int) -> Observation:
    """The same of so many."""
    return msgspec.structs.replace(QUIET, ready=replicas, provisioned=replicas)


class FluidService:
    """Replicas that answer ``1/single`` requests a second each, and are ready ``start`` seconds after their order."""

    def __init__(self, *, single: float = 0.18, start: float = 5.0, replicas: int = 1, now: float = 0.0) -> None:
        self.now = now
        self.ready = replicas
        self.warming: list[float] = []
        self.waiting = 0.0
        self.seen = quiet(replicas)
        self._single = single
        self._start = start
        self._answered = 0.0

    def pass_second(self, came: int) -> Observation:
        """One second, in which so many came."""
        self.now += 1.0
        there = [order for order in self.warming if order + self._start <= self.now]
        self.warming = self.warming[len(there) :]
        self.ready += len(there)
        answered = min(self.waiting + came, self.ready / self._single)
        self.waiting += came - answered
        self._answered += answered
        self.seen = Observation(
            arrivals=self.seen.arrivals + came,
            completions=int(self._answered),
            busy_seconds=int(self._answered) * self._single,
            batches=int(self._answered),
            waiting=int(self.waiting),
            ready=self.ready,
            provisioned=self.ready + len(self.warming),
            warming=tuple(self.warming),
            started=tuple(self.now - order for order in there),
        )
        return self.seen

    def scale(self, replicas: int) -> None:
        """Order what lacks; end what is too much, those that are not ready first."""
        provisioned = self.ready + len(self.warming)
        self.warming += [self.now] * (replicas - provisioned)
        excess = max(provisioned - replicas, 0)
        unready = min(excess, len(self.warming))
        self.warming = self.warming[: len(self.warming) - unready]
        self.ready -= excess - unready


def play(
    policy: Policy[Any], config: ScalingConfig, service: FluidService, arrivals: list[int], state: Any = None
) -> list[Decision[Any]]:
    """A decision for each second of ``arrivals``, each carried out at once."""
    state = policy.begin(service.now, service.seen.provisioned, config) if state is None else state
    made = []
    for came in arrivals:
        seen = service.pass_second(came)
        made.append(policy.decide(service.now, seen, state, config))
        state = made[-1].state
        service.scale(made[-1].replicas)
    return made


def poisson(rate: float, seconds: int, seed: int = 1) -> list[int]:
    """Arrivals of each second."""
    random = Random(seed)
    return [_draw(random, rate) for _ in range(seconds)]


def _draw(random: Random, rate: float) -> int:
    """Knuth's: how many uniform numbers until their product is below exp(-rate)."""
    least, product, count = exp(-rate), random.random(), 0
    while product > least:
        product *= random.random()
        count += 1
    return count
