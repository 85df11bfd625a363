"""One run: a policy looks at a plant once a second, as late and as often in vain as conditions say, and is obeyed."""

from __future__ import annotations

from collections import deque
from math import isfinite
from typing import Literal, TypeVar

import msgspec
import numpy as np

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Policy, ScalingConfig
from tidegate.autoscaler.simulator.conditions import Conditions, draw
from tidegate.autoscaler.simulator.fleet import Fleet
from tidegate.autoscaler.simulator.outcome import Outcome
from tidegate.autoscaler.simulator.own_queues import OwnQueues
from tidegate.autoscaler.simulator.plant import Counters, Plant
from tidegate.autoscaler.simulator.product import Product
from tidegate.autoscaler.simulator.workload import Floats, Workload

S = TypeVar("S", bound=msgspec.Struct)

Kind = Literal["own", "product"]
"""Which plant: a queue of each replica's own, as the design's; or the product's queue, batch former and dispatch."""

TICK = 1.0
"""Seconds between two looks."""


def simulate(
    workload: Workload,
    policy: Policy[S],
    config: ScalingConfig,
    conditions: Conditions,
    *,
    label: str = "",
    seed: int = 0,
    plant: Kind = "own",
) -> Outcome:
    """Play a workload through. The same arguments give the same outcome, in which the policy is called ``label``.

    Where a look is missing the policy is told so, beside the counters that it saw last; so it is until the first comes.
    """
    draws = draw(conditions, seed)
    played: Plant = OwnQueues(workload, draws) if plant == "own" else Product(workload, draws)
    fleet = played.fleet
    state = policy.begin(0.0, fleet.provisioned, config)
    seen: deque[Counters] = deque(maxlen=conditions.late + 1)
    counters = played.look()
    for tick in range(1, int(np.ceil(workload.duration / TICK)) + 1):
        now = min(tick * TICK, workload.duration)
        played.advance(now)
        seen.append(played.look())
        blind = next(draws.missing) or any(begin <= now < end for begin, end in conditions.blackouts)
        fresh = not blind and len(seen) > conditions.late
        if fresh:
            counters = seen[0]
        observation = _observation(counters, fleet, fresh=fresh)
        decision = policy.decide(now, observation, state, config)
        state = decision.state
        played.scale(decision.replicas)
    fleet.account(workload.duration)
    seconds, changes = fleet.seconds, fleet.changes
    latencies = played.finish() - workload.arrivals
    return Outcome(
        workload=workload.name,
        policy=label or policy.name,
        cold_start=conditions.cold_start,
        seed=seed,
        plant=plant,
        requests=int(latencies.size),
        late=int(np.count_nonzero(latencies > workload.service.slo)),
        replica_seconds=seconds,
        changes=changes,
        p99=_percentile(latencies),
    )


def _percentile(latencies: Floats) -> float | None:
    if not latencies.size:
        return 0.0
    found = float(np.percentile(latencies, 99, method="higher"))
    return found if isfinite(found) else None


def _observation(counters: Counters, fleet: Fleet, *, fresh: bool) -> Observation:
    """Who orders replicas knows of them at once; only what the service itself tells is late, or missing."""
    return Observation(
        arrivals=counters.arrivals,
        completions=counters.completions,
        busy_seconds=counters.busy_seconds,
        batches=counters.batches,
        waiting=counters.waiting,
        in_flight=counters.in_flight,
        ready=fleet.ready,
        provisioned=fleet.provisioned,
        warming=tuple(fleet.warming.values()),
        started=fleet.risen(),
        fresh=fresh,
    )
