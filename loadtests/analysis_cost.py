"""What the analysis of a rollout costs: microseconds for durations that are counted, for a look, and for verdicts.

Each is timed in short runs, all in turn, of which the fastest counts.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from functools import partial
from time import perf_counter

from tidegate.analysis.confidence import interval
from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.histogram import Histogram
from tidegate.analysis.increments import advance
from tidegate.analysis.judge import judge
from tidegate.analysis.observation import Look, Observation
from tidegate.analysis.settings import AnalysisSettings


def count(histogram: Histogram, durations: list[float]) -> None:
    add = histogram.add
    for duration in durations:
        add(duration)


def looks(sizes: int, durations: list[float]) -> tuple[Look, Look]:
    """Two of them; in between both arms had all durations, as latency and as executions of each size."""
    histogram, made = Histogram(), []
    for _ in range(2):
        count(histogram, durations)
        counts = histogram.counts()
        arm = Observation(sum(counts), 0, counts, {rows: histogram.counts() for rows in range(1, sizes + 1)})
        made.append(Look(arm, arm))
    return made[0], made[1]


def seconds(act: Callable[[], object], times: int) -> float:
    """Of one call, in a run of so many."""
    began = perf_counter()
    for _ in range(times):
        act()
    return (perf_counter() - began) / times


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    made.add_argument("--sizes", type=int, default=64, help="of batches that were executed (default: %(default)s)")
    options = made.parse_args()
    chance, settings = random.Random(1), AnalysisSettings()
    durations = [chance.lognormvariate(-4.0, 0.5) for _ in range(1000)]
    before, now = looks(options.sizes, durations)
    _, baseline = advance(None, before, settings)
    evidence = Evidence(stable_errors=Share(87, 43_100), canary_errors=Share(9, 4310), slow=Share(90, 4310))
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "1,000 durations, counted": (partial(count, Histogram(), durations), 20),
        "an interval, 9 of 4,310": (partial(interval, 9, 4310, 0.0025), 1000),
        "an interval, half of a million": (partial(interval, 500_000, 1_000_000, 0.0025), 1000),
        "verdicts": (partial(judge, evidence, settings), 200),
        f"a look at which all slices end, {options.sizes} sizes": (partial(advance, baseline, now, settings), 10),
        "a look at which none does": (partial(advance, baseline, before, settings), 10),
    }
    runs = [{name: seconds(act, times) for name, (act, times) in ways.items()} for _ in range(options.rounds)]
    for name in ways:
        print(f"{name:48} {min(run[name] for run in runs) * 1e6:8.1f} µs")


if __name__ == "__main__":
    main()
