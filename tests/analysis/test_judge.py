"""Verdicts: failures are shown, passes exclude harm, and missing data is neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.histogram import Histogram
from tidegate.analysis.judge import judge
from tidegate.analysis.observation import Comparison
from tidegate.analysis.settings import AnalysisSettings
from tidegate.analysis.verdict import Outcome, Verdict, percent

SETTINGS = AnalysisSettings(max_different=0.02)


def verdict(check: str, evidence: Evidence, settings: AnalysisSettings = SETTINGS, *, shadow: bool = False) -> Verdict:
    return next(one for one in judge(evidence, settings, shadow=shadow) if one.check == check)


def errors(stable: Share, canary: Share) -> Evidence:
    return Evidence(stable_errors=stable, canary_errors=canary)


@pytest.mark.parametrize(
    ("stable", "canary", "outcome", "sentence"),
    [
        (
            Share(20, 10_000),
            Share(21, 412),
            Outcome.FAIL,
            "errors 5.1 % vs 0.2 %, n = 412: more than 1 % above the stable revision",
        ),
        (Share(87, 43_100), Share(9, 4_310), Outcome.PASS, "errors 0.21 % vs 0.2 %, n = 4,310: pass"),
        (
            Share(87, 43_100),
            Share(1, 431),
            Outcome.UNDECIDED,
            "errors 0.23 % vs 0.2 %, n = 431: up to 2.82 % above the stable revision is possible",
        ),
        (Share(87, 43_100), Share(0, 43), Outcome.NO_DATA, "errors 0 % vs 0.2 %, n = 43: 200 are needed"),
        (Share(), Share(), Outcome.NO_DATA, "errors 0 % vs 0 %, n = 0: 200 are needed"),
        (Share(), Share(0, 9000), Outcome.NO_DATA, "errors 0 % vs 0 %, n = 9,000: the stable revision had no requests"),
        (
            Share(0, 100),
            Share(10, 10),
            Outcome.FAIL,
            "errors 100 % vs 0 %, n = 10: more than 1 % above the stable revision",
        ),
    ],
)
def test_errors(stable: Share, canary: Share, outcome: Outcome, sentence: str) -> None:
    """A failure needs no least number of requests, a pass does."""
    found = verdict("errors", errors(stable, canary))
    assert (found.outcome, found.sentence) == (outcome, sentence)
    assert found.numbers["n"] == canary.of


@pytest.mark.parametrize(
    ("slow", "outcome", "sentence"),
    [
        (
            Share(80, 500),
            Outcome.FAIL,
            "latency: 16 % slower than 1.2 times the stable p95, n = 500: more than 5 %",
        ),
        (Share(40, 2000), Outcome.PASS, "latency: 2 % slower than 1.2 times the stable p95, n = 2,000: pass"),
        (
            Share(10, 500),
            Outcome.UNDECIDED,
            "latency: 2 % slower than 1.2 times the stable p95, n = 500: up to 5.97 % is possible, 5 % is allowed",
        ),
        (
            Share(1, 50),
            Outcome.NO_DATA,
            "latency: 2 % slower than 1.2 times the stable p95, n = 50: 200 are needed",
        ),
        (Share(), Outcome.NO_DATA, "latency: 200 are needed"),
    ],
)
def test_latency_and_executions(slow: Share, outcome: Outcome, sentence: str) -> None:
    """One law for both."""
    found = verdict("latency", Evidence(slow=slow))
    assert (found.outcome, found.sentence) == (outcome, sentence)
    of_executions = verdict("execution", Evidence(slow_executions=slow))
    assert (of_executions.outcome, of_executions.sentence) == (outcome, sentence.replace("latency", "execution"))


def test_durations_of_the_phase_are_in_the_numbers_of_the_latency() -> None:
    """Their ratio is in the sentence; they decide nothing."""
    histograms = Histogram(), Histogram()
    for histogram, slower in zip(histograms, (1.0, 3.0), strict=True):
        for number in range(1000):
            histogram.add(slower * (0.01 + number * 1e-5))
    stable, canary = (histogram.counts() for histogram in histograms)
    found = judge(Evidence(slow=Share(40, 2000)), SETTINGS, durations=(stable, canary))[1]
    assert found.outcome is Outcome.PASS
    assert found.sentence.startswith("latency: p95 ratio 2.93, 2 % slower than")
    assert found.numbers["ratio"] == pytest.approx(3.0, rel=0.051)
    assert found.numbers["effect"] == 1.0
    assert found.numbers["stable_seconds"] == pytest.approx(0.0195, rel=0.026)


@pytest.mark.parametrize(
    ("outputs", "outcome", "sentence"),
    [
        (Comparison(compared=400, different=30), Outcome.FAIL, "outputs 7.5 % different, n = 400: more than 2 %"),
        (Comparison(compared=300, failed=100), Outcome.FAIL, "outputs 25 % different, n = 400: more than 2 %"),
        (Comparison(compared=1000, dropped=500), Outcome.PASS, "outputs 0 % different, n = 1,000: pass"),
        (
            Comparison(compared=300),
            Outcome.UNDECIDED,
            "outputs 0 % different, n = 300: up to 3.09 % is possible, 2 % is allowed",
        ),
        (Comparison(compared=100), Outcome.NO_DATA, "outputs 0 % different, n = 100: 200 are needed"),
    ],
)
def test_outputs(outputs: Comparison, outcome: Outcome, sentence: str) -> None:
    """A copy that failed is different, one that was dropped is none."""
    found = verdict("outputs", Evidence(outputs=outputs), shadow=True)
    assert (found.outcome, found.sentence) == (outcome, sentence)
    assert found.numbers["dropped"] == outputs.dropped


def test_numbers_of_outputs_tell_what_there_is_to_tell() -> None:
    """How often the largest score is the same, and how far the distributions are apart, if there were scores."""
    bare = verdict("outputs", Evidence(outputs=Comparison(compared=300)), shadow=True)
    assert not {"top1", "instability"} & bare.numbers.keys()
    seen = Comparison(compared=300, top1_compared=200, top1_agreed=150, scores=(300, 0), shadow_scores=(0, 300))
    told = verdict("outputs", Evidence(outputs=seen), shadow=True)
    assert told.numbers["top1"] == 0.75
    assert told.numbers["instability"] > 1.0


@pytest.mark.parametrize(
    ("settings", "shadow", "checks"),
    [
        (SETTINGS, False, ["errors", "latency", "execution"]),
        (SETTINGS, True, ["errors", "execution", "outputs"]),
        (AnalysisSettings(), True, ["errors", "execution"]),
        (AnalysisSettings(percentile=None), False, ["errors"]),
        (AnalysisSettings(max_increase=None), False, ["latency", "execution"]),
        (AnalysisSettings(max_increase=None, percentile=None), False, []),
    ],
)
def test_only_what_is_compared_is_judged(settings: AnalysisSettings, shadow: bool, checks: list[str]) -> None:
    """A shadow's latency is not, and outputs are a shadow's alone; so four sequences share the error probability."""
    assert [one.check for one in judge(Evidence(), settings, shadow=shadow)] == checks


def test_executions_that_are_alike_in_nothing_are_no_reason_to_wait() -> None:
    """Once there were enough requests, too few of them leave no verdict; but they can fail at any time."""
    enough = Share(0, SETTINGS.min_samples)
    seen = Evidence(canary_errors=enough, slow_executions=Share(0, 199))
    assert [one.check for one in judge(seen, SETTINGS)] == ["errors", "latency"]
    slow = Evidence(canary_errors=enough, slow_executions=Share(150, 150))
    assert verdict("execution", slow).outcome is Outcome.FAIL
    alike = Evidence(canary_errors=enough, slow_executions=Share(5, 200))
    assert verdict("execution", alike).outcome is Outcome.UNDECIDED


counts = st.integers(0, 10**5).flatmap(lambda of: st.builds(Share, st.integers(0, of), st.just(of)))


@given(counts, counts, st.integers(0, 300))
def test_a_revision_as_good_as_the_stable_one_never_fails(stable: Share, canary: Share, least: int) -> None:
    """By what was seen: no failure without a higher rate; no pass without enough, nor with a rate beyond the limit."""
    settings = AnalysisSettings(min_samples=least)
    found = verdict("errors", errors(stable, canary), settings)
    if canary.rate <= stable.rate + 0.01:
        assert found.outcome is not Outcome.FAIL
    if canary.rate > stable.rate + 0.01 or canary.of < least:
        assert found.outcome is not Outcome.PASS


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.0021, "0.21 %"), (0.051, "5.1 %"), (0.123, "12.3 %"), (1e-6, "< 0.01 %")],
)
def test_shares_are_said_in_per_cent(share: float, said: str) -> None:
    """With as many digits as mean something."""
    assert percent(share) == said


@pytest.mark.parametrize(("failed", "suspect"), [(1, False), (2, False), (3, True), (10, True)])
def test_what_is_suspect_is_beyond_what_is_allowed(failed: int, suspect: bool) -> None:
    """Too little to be a failure, and no reason to go on when time is up."""
    found = verdict("errors", errors(Share(0, 1000), Share(failed, 200)))
    assert (found.outcome, found.suspect) == (Outcome.UNDECIDED, suspect)
