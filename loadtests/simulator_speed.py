"""How fast a simulation goes: events (arrivals and executions) per second of each plant, and what a policy takes of it.

python loadtests/simulator_speed.py
"""

from __future__ import annotations

import time

from tidegate.autoscaler.simulator import catalogue
from tidegate.autoscaler.simulator.conditions import Conditions
from tidegate.autoscaler.simulator.contestants import parse
from tidegate.autoscaler.simulator.run import Kind, simulate

PLANTS: tuple[tuple[Kind, float], ...] = (("own", 3600.0), ("product", 600.0))
"""And how much of a workload is played in it."""


def main() -> None:
    print("| plant | workload | policy | seconds | events per second |\n|---|---|---|---|---|")
    for plant, duration in PLANTS:
        for name in ("diurnal", "mmpp_b8"):
            workload = catalogue.make(name, 0).first(duration)
            for policy in ("fixed@16", "qda", "kpa"):
                contestant, conditions = parse(policy), Conditions()
                config = contestant.config(workload, conditions)
                begun = time.perf_counter()
                simulate(workload, contestant.policy(), config, conditions, plant=plant)
                seconds = time.perf_counter() - begun
                events = 2 * workload.arrivals.size
                print(f"| {plant} | {name} | `{policy}` | {seconds:.2f} | {events / seconds:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
