"""How often a canary is rolled back that does no harm, and how soon one that does: tidegate's analysis, and thresholds.

Whole rollouts in numbers alone: steps of 1, 10 and 50 %, a look each second, evidence that begins anew with each step.
Each rule sees the same requests, and goes on after it would have rolled back, which is counted once. Scenarios without
harm show false alarms, with the upper end of their 95 % interval (Clopper and Pearson); the others how many were rolled
back, and after how many requests to the canary and seconds: median, and 95th percentile.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import exp, lgamma, log, log1p

import msgspec
import numpy as np

from tidegate.analysis.settings import AnalysisSettings
from tidegate.loadtests.rollouts import SCENARIOS, WEIGHTS, Ints, Scenario, step
from tidegate.loadtests.rules import Argo, Flagger, Law, Rule


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--rollouts", type=int, default=2000, help="of each scenario (default: %(default)s)")
    add("--seconds", type=int, default=300, help="of each step (default: %(default)s)")
    add("--alpha", type=float, default=0.01, help="of tidegate, for the whole rollout (default: %(default)s)")
    add("--max-increase", type=float, default=0.01, help="(default: %(default)s)")
    add("--percentile", type=float, default=95.0, help="(default: %(default)s)")
    add("--max-ratio", type=float, default=1.2, help="(default: %(default)s)")
    add("--seed", type=int, default=1, help="(default: %(default)s)")
    add("--scenario", default="", metavar="WORDS", help="only those whose name has them")
    add("--exclude", action="store_true", help="also show when harm is excluded: requests to the canary in each step")
    return made.parse_args()


class Found(msgspec.Struct, frozen=True):
    """Of one rule and scenario: when it rolled back, per rollout; -1 for never."""

    seconds: Ints
    requests: Ints


class Passed(msgspec.Struct, frozen=True):
    """Of one step: requests to the canary in it until harm was first excluded, per rollout; -1 for never."""

    weight: float
    requests: Ints


def play(scenario: Scenario, rules: Sequence[Rule], options: argparse.Namespace) -> tuple[list[Found], list[Passed]]:
    """All rollouts of a scenario, before every rule; the first is tidegate's."""
    random = np.random.default_rng([options.seed, SCENARIOS.index(scenario)])
    found = [Found(np.full(options.rollouts, -1), np.full(options.rollouts, -1)) for _ in rules]
    passes = []
    sent, passed_seconds = np.zeros(options.rollouts, np.int64), 0
    for weight in WEIGHTS:
        for rule in rules:
            rule.begin()
        passed, of_step = np.full(options.rollouts, -1), np.zeros(options.rollouts, np.int64)
        for seen in step(scenario, weight, options.seconds, options.rollouts, random):
            passed_seconds += 1
            sent += seen.canary
            of_step += seen.canary
            for rule, when in zip(rules, found, strict=True):
                now = rule.second(seen) & (when.seconds < 0)
                when.seconds[now] = passed_seconds
                when.requests[now] = sent[now]
            law = rules[0]
            assert isinstance(law, Law)
            now = law.passed & (passed < 0)
            passed[now] = of_step[now]
        passes.append(Passed(weight, passed))
    return found, passes


def most(hits: int, of: int) -> float:
    """The upper end of the two-sided 95 % interval of Clopper and Pearson."""
    if hits == of:
        return 1.0

    def at_most(share: float) -> float:
        return sum(
            exp(lgamma(of + 1) - lgamma(k + 1) - lgamma(of - k + 1) + k * log(share) + (of - k) * log1p(-share))
            for k in range(hits + 1)
        )

    low, high = hits / of, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(middle) > 0.025 else (low, middle)
    return high


def percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < 0.9995 else "100 %"


def cell(found: Found, harmful: bool) -> str:
    back = found.seconds >= 0
    if not harmful:
        hits, of = int(back.sum()), back.size
        return percent(hits / of) if hits > of / 2 else f"{percent(hits / of)} (≤ {percent(most(hits, of))})"
    if not back.any():
        return "0 %"
    requests = np.percentile(found.requests[back], (50, 95))
    seconds = np.percentile(found.seconds[back], (50, 95))
    return (
        f"{percent(back.mean())}; {requests[0]:,.0f}, {requests[1]:,.0f} requests; {seconds[0]:.0f}, {seconds[1]:.0f} s"
    )


def excluded(passes: Sequence[Passed]) -> str:
    cells = []
    for one in passes:
        some = one.requests[one.requests >= 0]
        cells.append(f"{percent(some.size / one.requests.size)}" + (f"; {np.median(some):,.0f}" if some.size else ""))
    return " | ".join(cells)


def main() -> None:
    options = arguments()
    settings = AnalysisSettings(
        alpha=options.alpha,
        max_increase=options.max_increase,
        percentile=options.percentile,
        max_ratio=options.max_ratio,
    )
    scenarios = [scenario for scenario in SCENARIOS if options.scenario in scenario.name]
    header, passed = "", []
    for scenario in scenarios:
        rules: list[Rule] = [
            Law(options.rollouts, settings),
            Flagger(options.rollouts, 1),
            Flagger(options.rollouts, 5),
            Argo(options.rollouts),
        ]
        found, passes = play(scenario, rules, options)
        if not header:
            header = "scenario | " + " | ".join(rule.name for rule in rules)
            print(f"| {header} |\n|{'---|' * (len(rules) + 1)}", flush=True)
        cells = " | ".join(cell(one, scenario.harmful) for one in found)
        print(f"| {scenario.name} | {cells} |", flush=True)
        passed.append(f"| {scenario.name} | {excluded(passes)} |")
    if options.exclude:
        steps = " | ".join(f"{weight:.0%}" for weight in WEIGHTS)
        print(f"\n| harm excluded within the step | {steps} |\n|{'---|' * (len(WEIGHTS) + 1)}")
        print("\n".join(passed))


if __name__ == "__main__":
    main()
