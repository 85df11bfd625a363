"""One run, several times: each time the looks of the policy come a bit later in their second.

When in its second a real server looks is chance. What differs between these plays is what chance makes of a run; what
differs from them in a real one, by more than that, is to be explained.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, Policy, ScalingConfig
from tidegate.autoscaler.simulator.conditions import Conditions
from tidegate.autoscaler.simulator.outcome import Outcome
from tidegate.autoscaler.simulator.run import TICK, Kind, simulate
from tidegate.autoscaler.simulator.workload import Workload


class Look(msgspec.Struct, frozen=True, array_like=True):
    """What was seen and decided, in seconds since the run began."""

    at: float
    ready: int
    desired: int


class Played(msgspec.Struct, frozen=True):
    """One of the plays."""

    outcome: Outcome
    looks: list[Look]


class Recorded:
    """A policy, and its looks. Implements Policy."""

    def __init__(self, policy: Policy[Any], later: float) -> None:
        self.looks: list[Look] = []
        self._policy = policy
        self._later = later

    @property
    def name(self) -> str:
        return self._policy.name

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> Any:
        return self._policy.begin(now, provisioned, config)

    def decide(self, now: float, observation: Observation | None, state: Any, config: ScalingConfig) -> Decision[Any]:
        decision = self._policy.decide(now, observation, state, config)
        ready = 0 if observation is None else observation.ready
        self.looks.append(Look(now - self._later, ready, decision.replicas))
        return decision


def play(
    workload: Workload,
    policy: Policy[Any],
    config: ScalingConfig,
    conditions: Conditions,
    *,
    phases: int,
    seed: int = 0,
    plant: Kind = "product",
) -> list[Played]:
    """The run ``phases`` times, evenly over the second; the first as ``simulate`` plays it.

    Everything comes so much later in the others, and what the replicas cost until then is not counted.
    """
    found = []
    for later in (TICK * phase / phases for phase in range(phases)):
        shifted = msgspec.structs.replace(
            workload, arrivals=workload.arrivals + later, duration=workload.duration + later, begin=workload.initial
        )
        recorded = Recorded(policy, later)
        outcome = simulate(shifted, recorded, config, conditions, seed=seed, plant=plant)
        paid = outcome.replica_seconds - later * workload.initial
        found.append(Played(msgspec.structs.replace(outcome, replica_seconds=paid), recorded.looks))
    return found
