"""The analysis over many rollouts: the simulation is the analysis, which is rarely wrong, and right soon."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from tidegate.analysis.confidence import interval
from tidegate.analysis.evidence import Evidence, plus
from tidegate.analysis.histogram import CLASSES, Counts
from tidegate.analysis.increments import advance
from tidegate.analysis.judge import judge
from tidegate.analysis.observation import Look, Observation
from tidegate.analysis.settings import AnalysisSettings
from tidegate.analysis.verdict import Outcome
from tidegate.loadtests import rollouts as traffic
from tidegate.loadtests.rollouts import Courses, Scenario, Second, blackouts, bursts, outage, slowing, steady, swinging
from tidegate.loadtests.rules import Argo, Flagger, Law, Rule, intervals

SETTINGS = AnalysisSettings()


def whole(row: traffic.Ints) -> Counts:
    """A row of the simulation as the product's counts."""
    behind = CLASSES - traffic.FIRST - traffic.CLASSES
    return (*(0,) * traffic.FIRST, *(int(count) for count in row), *(0,) * behind)


def sums(a: Counts, b: Counts) -> Counts:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def look(before: Look, seen: Second, rollout: int) -> Look:
    """A second later, through the product's own values."""

    def arm(
        was: Observation, of: traffic.Ints, failed: traffic.Ints, latency: traffic.Ints, rows: traffic.Ints
    ) -> Observation:
        return Observation(
            was.requests + int(of[rollout]),
            was.failures + int(failed[rollout]),
            sums(was.latency or (0,) * CLASSES, whole(latency[rollout])),
            {1: sums(was.execution.get(1, (0,) * CLASSES), whole(rows[rollout]))},
        )

    return Look(
        arm(before.stable, seen.stable, seen.stable_failed, seen.stable_latency, seen.stable_execution),
        arm(before.canary, seen.canary, seen.canary_failed, seen.canary_latency, seen.canary_execution),
    )


@pytest.mark.parametrize(
    "courses", [steady(0.01, 0.05, 1.5), slowing(2.0), bursts(0.3)], ids=["worse", "slowing", "own"]
)
@pytest.mark.parametrize("weight", [0.01, 0.5, 0.9])
def test_the_simulation_is_the_analysis(courses: Courses, weight: float) -> None:
    """Look by look: the same evidence, the same failures and passes."""
    count, seconds = 3, 60
    seen = list(traffic.step(Scenario("", 80, courses), weight, seconds, count, np.random.default_rng(3)))
    law = Law(count, SETTINGS, 1)
    back = [law.second(one) for one in seen[:-1]]
    back.append(law.second(seen[-1]))
    for rollout in range(count):
        evidence = Evidence()
        now = Look()
        _, baseline = advance(None, now, SETTINGS)
        for one, failed in zip(seen, back, strict=True):
            now = look(now, one, rollout)
            came, baseline = advance(baseline, now, SETTINGS)
            evidence = plus(evidence, came)
            outcomes = [verdict.outcome for verdict in judge(evidence, SETTINGS)]
            assert (Outcome.FAIL in outcomes) == bool(failed[rollout])
        assert (evidence.canary_errors.hits, evidence.canary_errors.of) == (
            law.canary_failed[rollout],
            law.canary[rollout],
        )
        for share, slices in ((evidence.slow, law.latency), (evidence.slow_executions, law.execution)):
            hits, of = slices.shares()
            assert (share.hits, share.of) == (hits[rollout], of[rollout])
        assert (outcomes == [Outcome.PASS] * 3) == bool(law.passed[rollout])


def test_the_simulation_has_the_same_intervals() -> None:
    """From nothing to all of a million."""
    of = np.array([0, 1, 1, 10, 1000, 10**6, 10**6])
    hits = np.array([0, 0, 1, 3, 7, 0, 4000])
    low, high = intervals(hits, of, 0.0025)
    for index in range(of.size):
        assert (low[index], high[index]) == pytest.approx(interval(int(hits[index]), int(of[index]), 0.0025), rel=1e-6)


def rolled_back(
    rule: Rule, courses: Courses, rate: float, weights: tuple[float, ...], count: int, seconds: int = 100
) -> list[int]:
    """Of each rollout the requests to the canary until it was rolled back; -1 for never."""
    chance = np.random.default_rng(11)
    when, sent = np.full(count, -1), np.zeros(count, np.int64)
    for weight in weights:
        rule.begin()
        for seen in traffic.step(Scenario("", rate, courses), weight, seconds, count, chance):
            sent += seen.canary
            now = rule.second(seen) & (when < 0)
            when[now] = sent[now]
    return [int(one) for one in when]


@pytest.mark.parametrize(
    "courses",
    [
        steady(),
        steady(0.05, 0.05),
        steady(0.002, 0.012, 1.2),
        swinging(0.002, 0.1),
        outage(0.5),
        slowing(3.0),
        bursts(),
    ],
    ids=["equal", "both-fail", "just-allowed", "swing", "outage", "slowing", "bursts"],
)
def test_false_alarms_are_within_alpha(courses: Courses) -> None:
    """Of 200 rollouts of three steps, at an error probability of 0.1 so that it can be told; with what both have in
    common changing as it likes."""
    count, alpha = 200, 0.1
    law = Law(count, AnalysisSettings(alpha=alpha))
    alarms = sum(one >= 0 for one in rolled_back(law, courses, 100, (0.01, 0.1, 0.5), count))
    assert alarms <= count * alpha + 3 * sqrt(count * alpha * (1 - alpha))


def test_an_estimated_threshold_raises_no_alarms() -> None:
    """Nor if more are held against it than it is estimated from: a revision as slow as allowed, with most traffic."""
    count, alpha = 200, 0.2
    law = Law(count, AnalysisSettings(max_ratio=1.0, alpha=alpha), 1)
    alarms = sum(one >= 0 for one in rolled_back(law, steady(0.0, 0.0), 100, (0.9,), count, 200))
    assert alarms <= count * alpha / 4


@pytest.mark.parametrize(
    ("courses", "requests"), [(steady(0.002, 0.05), 1000), (steady(0.002, 0.10), 400), (steady(slower=2.0), 100)]
)
def test_harm_is_caught(courses: Courses, requests: int) -> None:
    """5 % of failures within 1,000 requests to the canary at 10 %, in 95 of 100 rollouts; worse sooner."""
    law = Law(200, SETTINGS, 1)
    found = rolled_back(law, courses, 100, (0.1,), 200, seconds=110)
    assert sum(0 <= one <= requests for one in found) >= 190


def test_thresholds_alarm_where_the_analysis_does_not() -> None:
    """The rules it is compared with: without a difference at all, without requests; and that they do see harm."""
    count = 100
    assert sum(one >= 0 for one in rolled_back(Flagger(count, 1), steady(), 100, (0.01,), count)) > 20
    assert all(one >= 0 for one in rolled_back(Flagger(count, 5), steady(0.0, 0.05), 100, (0.1,), count, 300))
    assert all(one >= 0 for one in rolled_back(Argo(count), steady(0.0, 0.1), 100, (0.1,), count, 240))
    for rule in (Flagger(count, 1), Argo(count)):
        assert all(one == 0 for one in rolled_back(rule, steady(), 0, (0.1,), count, 240))
    assert all(one == -1 for one in rolled_back(Law(count, SETTINGS), steady(), 0, (0.1,), count, 240))


def test_what_a_revision_does_by_itself_is_an_alarm() -> None:
    """No chance divides a second in which everything fails: that is what the page says it cannot tell from harm."""
    found = rolled_back(Law(100, SETTINGS, 1), blackouts(0.02), 100, (0.1,), 100)
    assert sum(one >= 0 for one in found) > 10
