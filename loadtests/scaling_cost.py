"""What a decision of a scaling policy costs: microseconds for one look, and bytes of the state that is stored.

Three kinds of services are played for an hour each, of which the last half is timed: one whose level is steady, one
whose traffic comes and goes (where gaps are learned), and one with hundreds of replicas. The fastest of several runs
of each look counts, for the machine may be in use. The keep rule is cached; "cold" is the median without the cache, as
once a minute and whenever a gap was learned.
"""

from __future__ import annotations

import argparse
import time
from random import Random

import msgspec

from tidegate.autoscaler.gaps import rule_of
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import ScalingConfig
from tidegate.autoscaler.qda import Qda
from tidegate.autoscaler.qda_state import QdaState
from tidegate.testing.scaled import FluidService, poisson

POLICY = Qda()
Look = tuple[float, Observation, QdaState]


def on_and_off(high: float, seconds: int) -> list[int]:
    """A minute of traffic, and then one to six without much."""
    random, arrivals = Random(1), list[int]()
    while len(arrivals) < seconds:
        arrivals += poisson(high * random.uniform(0.3, 1.0), 60, seed=len(arrivals))
        arrivals += poisson(high / 30, random.randint(60, 360), seed=len(arrivals))
    return arrivals[:seconds]


def looks(arrivals: list[int], config: ScalingConfig, replicas: int) -> list[Look]:
    """What the policy was asked each second."""
    service, made = FluidService(replicas=replicas), list[Look]()
    state = POLICY.begin(0.0, replicas, config)
    for came in arrivals:
        seen = service.pass_second(came)
        made.append((service.now, seen, state))
        decision = POLICY.decide(service.now, seen, state, config)
        state = decision.state
        service.scale(decision.replicas)
    return made


def microseconds(look: Look, config: ScalingConfig, runs: int, cold: bool = False) -> float:
    fastest = float("inf")
    for _ in range(runs):
        if cold:
            rule_of.cache_clear()
        began = time.perf_counter()
        POLICY.decide(*look, config)
        fastest = min(fastest, time.perf_counter() - began)
    return fastest * 1e6


def measure(name: str, arrivals: list[int], config: ScalingConfig, replicas: int, runs: int) -> None:
    made = looks(arrivals, config, replicas)
    timed = sorted(microseconds(look, config, runs) for look in made[len(made) // 2 :])
    middle, late = timed[len(timed) // 2], timed[len(timed) * 99 // 100]
    cold = sorted(microseconds(look, config, runs, cold=True) for look in made[len(made) // 2 :: 10])
    size = len(msgspec.json.encode(made[-1][2]))
    most = max(seen.provisioned for _, seen, _ in made)
    print(f"{name:14} {most:>8} {middle:>9.0f} {late:>9.0f} {timed[-1]:>9.0f} {cold[len(cold) // 2]:>9.0f} {size:>9}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600, help="how long each service is played")
    parser.add_argument("--runs", type=int, default=5, help="how often each look is timed")
    told = parser.parse_args()
    config = ScalingConfig(least=1, most=400, slo=0.72, first_per_row=0.18, first_start=30.0)
    print(f"{'service':14} {'replicas':>8} {'median µs':>9} {'99 % µs':>9} {'most µs':>9} {'cold µs':>9} {'bytes':>9}")
    measure("steady", poisson(40.0, told.seconds), config, 10, told.runs)
    measure("on and off", on_and_off(120.0, told.seconds), config, 10, told.runs)
    measure("large", on_and_off(1200.0, told.seconds), config, 100, told.runs)


if __name__ == "__main__":
    main()
