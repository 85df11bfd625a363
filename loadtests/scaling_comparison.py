"""Every policy against every workload: who wins, who loses, and where. Numbers alone, in virtual time.

Each run is one line of a file of results as soon as it is done; what is there is not run again, so that an interrupted
comparison goes on where it was. The tables are made of what the file holds, and say of how many runs that is.

    python loadtests/scaling_comparison.py --quick --jobs 2      one seed of the main comparison, under 20 minutes
    python loadtests/scaling_comparison.py --parts main,sweep,fairer,held_out --jobs 2        all of it, overnight
    python loadtests/scaling_comparison.py --plant product       the same with the product's queue and dispatch
    python loadtests/scaling_comparison.py --report              the tables only
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from tidegate.autoscaler.simulator import catalogue
from tidegate.autoscaler.simulator.clairvoyant import bound
from tidegate.autoscaler.simulator.comparison import Cell, Mean, Verdict, compare, geometric, mean, summarise
from tidegate.autoscaler.simulator.conditions import Conditions, draw
from tidegate.autoscaler.simulator.contestants import KNOBS, parse
from tidegate.autoscaler.simulator.outcome import Outcome
from tidegate.autoscaler.simulator.plays import Play, key_of, outcomes

STARTS = (1.0, 5.0, 30.0, 100.0)
OURS = "qda@0.5"
BASELINES = ("kpa@0.7", "kpa@0.5", "hpa@0.7", "ray@0.7")
FAIRER = (
    "kpa@0.7:scale_down_delay=60",
    "kpa@0.7:scale_down_delay=300",
    "kpa@0.5:scale_down_delay=300",
    "hpa@0.7:down_window=60",
    "hpa@0.5:down_window=60:tolerance=0",
)
"""Baselines whose hold times are not the defaults."""
SWEPT = tuple(f"{name}@{knob:g}" for name, knobs in KNOBS.items() for knob in knobs)
PARTS = {
    "main": (tuple(catalogue.WORKLOADS), (OURS, *BASELINES)),
    "fairer": (tuple(catalogue.WORKLOADS), FAIRER),
    "sweep": (tuple(catalogue.WORKLOADS), SWEPT),
    "held_out": (tuple(catalogue.HELD_OUT), (OURS, *BASELINES)),
}


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--results", type=Path, default=Path("build/scaling.jsonl"), help="one line a run (default: %(default)s)")
    add("--parts", default="main", help=f"with commas: {', '.join(PARTS)} (default: %(default)s)")
    add("--seeds", type=int, default=5, help="(default: %(default)s)")
    add("--first-seed", type=int, default=2, help="0 and 1 chose the constants (default: %(default)s)")
    add("--starts", default="1,5,30,100", help="cold starts in seconds (default: %(default)s)")
    add("--workloads", default="", help="only these, with commas")
    add("--policies", default="", help="these instead of those of the parts, with commas")
    add("--plant", choices=("own", "product"), default="own")
    add("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    add("--quick", action="store_true", help="one seed of the main comparison")
    add("--report", action="store_true", help="run nothing")
    return made.parse_args()


def plays_of(options: argparse.Namespace) -> Iterator[Play]:
    """Seed by seed, so that what is there at any time is as complete as can be."""
    starts = [float(text) for text in options.starts.split(",")]
    only = set(options.workloads.split(",")) if options.workloads else None
    seeds = 1 if options.quick else options.seeds
    told = set()
    for seed in range(options.first_seed, options.first_seed + seeds):
        for part in ["main"] if options.quick else options.parts.split(","):
            workloads, policies = PARTS[part]
            policies = tuple(options.policies.split(",")) if options.policies else policies
            for name in workloads:
                for start in starts if only is None or name in only else ():
                    for policy in policies:
                        conditions = Conditions(cold_start=start)
                        make = partial(catalogue.make, name)
                        each = Play(name, make, parse(policy), conditions, seed, options.plant)
                        if each.key not in told:
                            told.add(each.key)
                            yield each


def run(options: argparse.Namespace) -> None:
    """Do what is not done yet, and write it down."""
    done = {key_of(outcome) for outcome in read(options.results)}
    left = [each for each in plays_of(options) if each.key not in done]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    begun, told = time.monotonic(), 0.0
    with options.results.open("ab") as file:
        for count, outcome in enumerate(played(left, options.jobs), 1):
            file.write(msgspec.json.encode(outcome) + b"\n")
            file.flush()
            passed = time.monotonic() - begun
            if passed - told > 30 or count == len(left):
                told = passed
                print(f"{count} of {len(left)} runs in {passed:.0f} s", file=sys.stderr, flush=True)


def played(plays: Sequence[Play], jobs: int) -> Iterator[Outcome]:
    """The outcomes, in order."""
    if jobs == 1:
        yield from outcomes(plays)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the processes of the pool would stay behind
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(one, plays)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def one(what: Play) -> Outcome:
    return what()


def read(path: Path) -> list[Outcome]:
    """What has been written down. A last line that was cut off does not count."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    if lines[-1]:  # the process ended while it wrote
        path.write_bytes(b"\n".join([*lines[:-1], b""]))
    return [msgspec.json.decode(line, type=Outcome) for line in lines[:-1]]


def report(found: Sequence[Outcome]) -> None:
    """Tables for docs/simulate.md."""
    of_catalogue = [each for each in found if each.workload in catalogue.WORKLOADS]
    for plant in sorted({each.plant for each in found}):
        chosen = [each for each in of_catalogue if each.plant == plant]
        if not chosen:
            continue
        by_policy: dict[str, list[Outcome]] = {}
        for each in chosen:
            by_policy.setdefault(each.policy, []).append(each)
        seeds = sorted({each.seed for each in chosen})
        print(f"\n## Plant: {plant}; seeds {', '.join(map(str, seeds))}; {len(chosen)} runs\n")
        usual = {name: by_policy[name] for name in (OURS, *BASELINES) if name in by_policy}
        if usual:
            overview(usual)
        if len(by_policy) > len(usual):
            print("\nAll policies, in what every one of them was run in:\n")
            overview(by_policy)
        if OURS in by_policy:
            wins(by_policy)
    held_out([each for each in found if each.workload in catalogue.HELD_OUT])


def overview(by_policy: dict[str, list[Outcome]]) -> None:
    """Of the cells and seeds that all were run in."""
    common = set.intersection(*({run_of(each) for each in runs} for runs in by_policy.values()))
    bounds = bounds_of(common)
    print(f"{len(bounds)} cells, {len(common)} runs of each.\n")
    print("| policy | mean violations | geometric-mean replica-seconds | of the bound | replica changes |")
    print("|---|---|---|---|---|")
    for name, runs in by_policy.items() if common else ():
        cells = summarise(each for each in runs if run_of(each) in common)
        violations = sum(each.violations.value for each in cells.values()) / len(cells)
        cost = geometric(each.cost.value for each in cells.values())
        least = geometric(bounds.values())
        changes = sum(each.changes.value for each in cells.values()) / len(cells)
        numbers = f"{100 * violations:.2f} % | {cost:,.0f} | {cost / least:.2f} | {changes:,.0f}"
        print(f"| `{name}` | {numbers} |")


def run_of(outcome: Outcome) -> tuple[int, str, float]:
    return outcome.seed, outcome.workload, outcome.cold_start


def bounds_of(runs: Iterable[tuple[int, str, float]]) -> dict[Cell, float]:
    """The clairvoyant bound of each cell, on average over the seeds that were run."""
    found: dict[Cell, list[float]] = {}
    for seed, name, start in sorted(runs):
        jitter = draw(Conditions(cold_start=start), seed).jitter
        found.setdefault(Cell(name, start), []).append(bound(catalogue.make(name, seed), start, jitter))
    return {cell: sum(values) / len(values) for cell, values in found.items()}


def wins(by_policy: dict[str, list[Outcome]]) -> None:
    head = "cells | won | more violations, not dearer | dearer, no more violations | lost on both |"
    print(f"\n| `{OURS}` beside | {head}\n|---|---|---|---|---|---|")
    total = dict.fromkeys(Verdict, 0)
    not_won = []
    for name in [name for name in by_policy if not name.startswith("qda")]:
        duels = compare(by_policy[OURS], by_policy[name])
        counts = {kind: sum(duel.verdict is kind for duel in duels.values()) for kind in Verdict}
        print(f"| `{name}` | {len(duels)} | " + " | ".join(str(counts[kind]) for kind in Verdict) + " |")
        if name in BASELINES:
            total = {kind: total[kind] + counts[kind] for kind in Verdict}
            not_won += [(cell, name, duel) for cell, duel in duels.items() if duel.verdict is not Verdict.WON]
    played = sum(total.values())
    print(f"| **the four baselines** | {played} | " + " | ".join(str(total[kind]) for kind in Verdict) + " |")
    print("\n| not won | against | verdict | violations | replica-seconds |\n|---|---|---|---|---|")
    place = list(catalogue.WORKLOADS).index
    for cell, name, duel in sorted(not_won, key=lambda each: (place(each[0].workload), each[0].cold_start)):
        mine, other = duel.ours, duel.theirs
        print(
            f"| {cell.workload}, {cell.cold_start:g} s | `{name}` | {duel.verdict} | {share(mine.violations)} : "
            f"{share(other.violations)} | {mine.cost.value:,.0f} : {other.cost.value:,.0f} |"
        )


def held_out(runs: Sequence[Outcome]) -> None:
    """Days of a function are its replicates, beside the seeds."""
    if not runs:
        return
    print(f"\n## Held out; {len(runs)} runs\n")
    print("| function, start | days × seeds | policy | violations | replica-seconds |\n|---|---|---|---|---|")
    groups: dict[tuple[str, float, str], list[Outcome]] = {}
    for each in runs:
        groups.setdefault((each.workload.partition("_day")[0], each.cold_start, each.policy), []).append(each)
    for (function, start, policy), days in sorted(groups.items()):
        violations, cost = mean([each.violations for each in days]), mean([each.replica_seconds for each in days])
        print(
            f"| {function}, {start:g} s | {len(days)} | `{policy}` | {share(violations)} | "
            f"{cost.value:,.0f} ±{cost.half:,.0f} |"
        )


def share(of: Mean) -> str:
    """With its interval; of two runs that is too wide to tell anything."""
    return f"{100 * of.value:.2f} %" + (f" ±{100 * of.half:.2f}" if of.runs > 2 else "")


def main() -> None:
    options = arguments()
    if not options.report:
        run(options)
    report(read(options.results))


if __name__ == "__main__":
    main()
