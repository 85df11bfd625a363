"""From looks to evidence: nothing is counted twice or lost, and durations are held against their own slice."""

from __future__ import annotations

from itertools import accumulate, pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.analysis.evidence import Evidence, Share, add, plus
from tidegate.analysis.histogram import Counts, Histogram
from tidegate.analysis.increments import Baseline, advance
from tidegate.analysis.observation import Comparison, Look, Observation
from tidegate.analysis.settings import AnalysisSettings

SETTINGS = AnalysisSettings()


def counted(*durations: float, times: int = 1) -> Counts:
    histogram = Histogram()
    for duration in durations * times:
        histogram.add(duration)
    return histogram.counts()


def spread(number: int, slower: float = 1.0) -> list[float]:
    """From 10 to 20 ms."""
    return [slower * (0.010 + 0.010 * k / number) for k in range(number)]


def latency(stable: Counts, canary: Counts) -> Look:
    return Look(Observation(sum(stable), 0, stable), Observation(sum(canary), 0, canary))


def executions(stable: dict[int, Counts], canary: dict[int, Counts]) -> Look:
    return Look(Observation(execution=stable), Observation(execution=canary))


def total(looks: list[Look], settings: AnalysisSettings = SETTINGS) -> Evidence:
    """All that came from the first look to the last."""
    sum_, baseline = Evidence(), None
    for look in looks:
        came, baseline = advance(baseline, look, settings)
        sum_ = plus(sum_, came)
    return sum_


shares = st.tuples(st.integers(0, 50), st.integers(0, 50))


@given(st.lists(st.tuples(shares, shares), max_size=20))
def test_errors_add_up(steps: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """However often one looks: what came since the first look is the difference to the last."""
    looks = [Look(Observation(7, 3), Observation(2, 1))]
    for (good, bad), (canary_good, canary_bad) in steps:
        stable, canary = looks[-1].stable, looks[-1].canary
        looks.append(
            Look(
                Observation(stable.requests + good + bad, stable.failures + bad),
                Observation(canary.requests + canary_good + canary_bad, canary.failures + canary_bad),
            )
        )
    found = total(looks)
    assert found.stable_errors == Share(looks[-1].stable.failures - 3, looks[-1].stable.requests - 7)
    assert found.canary_errors == Share(looks[-1].canary.failures - 1, looks[-1].canary.requests - 2)
    assert found.slow == found.slow_executions == Share()


def test_without_a_baseline_counting_begins_now() -> None:
    """What there was before is no evidence."""
    evidence, baseline = advance(None, latency(counted(*spread(200)), counted(1.0)), SETTINGS)
    assert evidence == Evidence()
    assert baseline == Baseline(taken=latency(counted(*spread(200)), counted(1.0)))


@pytest.mark.parametrize(
    "later",
    [
        Look(Observation(9, 1), Observation(10, 1)),
        Look(Observation(10, 1), Observation(10, 0)),
        Look(Observation(10, 1), Observation(50, 1), Comparison(compared=1)),
        Look(Observation(10, 1), Observation(10, 1), Comparison(compared=5, scores=(1,))),
        Look(Observation(10, 1, ()), Observation(10, 1), Comparison(compared=5)),
    ],
    ids=["stable", "failures", "outputs", "scores", "latency"],
)
def test_a_restart_begins_anew(later: Look) -> None:
    """A count that is smaller than before is no evidence, and neither is any other of that look; then it goes on."""
    before = Look(
        Observation(10, 1, counted(0.01)), Observation(10, 1), Comparison(compared=5, scores=(2,), shadow_scores=(2,))
    )
    after = Look(Observation(1000, 5), Observation(1000, 5), Comparison(compared=9, scores=(4,), shadow_scores=(4,)))
    _, baseline = advance(None, before, SETTINGS)
    evidence, baseline = advance(baseline, later, SETTINGS)
    assert evidence == Evidence()
    assert baseline == Baseline(taken=later)
    assert advance(baseline, after, SETTINGS)[0].canary_errors.of == 1000 - later.canary.requests


def test_a_slice_ends_when_both_have_enough() -> None:
    """A hundred of the stable revision's for its 95th percentile, and one of the canary's; before, nothing is taken."""
    empty = latency((), ())
    assert total([empty, latency(counted(*spread(99)), counted(1.0, times=9))]).slow == Share()
    assert total([empty, latency(counted(*spread(500)), ())]).slow == Share()
    # 9 of 9, worth 102 / 110 each
    assert total([empty, latency(counted(*spread(100)), counted(1.0, times=9))]).slow == Share(8, 8)
    parts = [latency(counted(*spread(99)), ()), latency(counted(*spread(99)), counted(1.0, times=9))]
    assert total([empty, *parts, latency(counted(*spread(100)), counted(1.0, times=9))]).slow == Share(8, 8)


def test_a_slice_is_held_against_itself_only() -> None:
    """Both get ten times as slow, and nobody is slow; the canary alone does, and all of it is."""
    first = latency(counted(*spread(200)), counted(*spread(20)))
    both = latency(counted(*spread(200), *spread(200, 10.0)), counted(*spread(20), *spread(20, 10.0)))
    alone = latency(counted(*spread(400)), counted(*spread(20), *spread(20, 10.0)))
    assert total([latency((), ()), first, both]).slow.hits == 0
    assert total([latency((), ()), first, alone]).slow == Share(18, 36)


@pytest.mark.parametrize(("slower", "slow"), [(1.0, False), (1.2, False), (1.21, False), (1.28, True), (2.0, True)])
@given(level=st.floats(0.001, 1.0))
def test_who_is_as_slow_as_allowed_is_never_slow(slower: float, slow: bool, level: float) -> None:
    """Wherever the bounds of classes lie: 1.2 times as slow counts as nothing, and 1.28 times as everything."""
    looks = [latency((), ()), latency(counted(level, times=1000), counted(level * slower, times=10))]
    assert total(looks).slow == Share(9 if slow else 0, 9)


def test_equal_weights_count_half() -> None:
    """A threshold that is estimated from as many is worth half as many; nothing is lost between slices."""
    slices = [counted(*spread(100), times=number) for number in range(1, 21)]
    looks = [latency((), ()), *(latency(counts, counts) for counts in slices)]
    assert total(looks).slow == Share(0, int(20 * 100 * 102 / 201))


def test_executions_are_held_against_those_of_as_many_rows() -> None:
    """Large ones take longer than small ones, and that makes no canary slow that has the large ones."""
    small, large = counted(*spread(200)), counted(*spread(200, 5.0))
    start = executions({1: small}, {1: small})
    there = executions(
        {1: counted(*spread(200), times=2), 8: large}, {1: small, 8: counted(*spread(10, 5.0)), 9: counted(9.0)}
    )
    assert total([start, there]).slow_executions == Share(0, 9)
    slower = executions({8: large}, {8: counted(*spread(10, 50.0))})
    assert total([executions({}, {}), slower]).slow_executions == Share(9, 9)


def test_a_percentile_that_is_not_compared_takes_no_slices() -> None:
    """Errors are taken all the same."""
    settings = AnalysisSettings(percentile=None)
    found = total([latency((), ()), latency(counted(*spread(200)), counted(*spread(20, 9.0)))], settings)
    assert (found.slow, found.canary_errors) == (Share(), Share(0, 20))


def test_outputs_add_up() -> None:
    """Counts are differences, the largest differences stay, scores go class by class."""
    seen = [
        Comparison(compared=2, different=1, max_absolute=0.5, scores=(1, 1), shadow_scores=(2, 0)),
        Comparison(compared=5, different=1, failed=2, dropped=4, max_absolute=0.7, scores=(4, 1), shadow_scores=(5, 0)),
    ]
    found = total([Look(), *(Look(outputs=one) for one in seen)])
    assert found.outputs == seen[-1]


comparisons = st.builds(
    Comparison,
    compared=st.integers(0, 9),
    different=st.integers(0, 9),
    top1_compared=st.integers(0, 9),
    max_absolute=st.floats(0, 9),
    max_relative=st.floats(0, 9),
    scores=st.sampled_from([(), (1, 2), (3, 0)]),
    shadow_scores=st.sampled_from([(), (1, 2), (3, 0)]),
)


@given(st.lists(comparisons, min_size=3, max_size=3))
def test_sums_of_outputs_have_no_order(three: list[Comparison]) -> None:
    """Nothing added is the same, and it does not matter who is added first."""
    a, b, c = three
    assert add(a, Comparison()) == a
    assert add(a, b) == add(b, a)
    assert add(add(a, b), c) == add(a, add(b, c))


def test_evidence_and_baseline_survive_being_written_down() -> None:
    """As JSON, for a restart."""
    looks = [latency((), ()), latency(counted(*spread(250)), counted(*spread(7))), latency(counted(0.5, times=900), ())]
    baseline: Baseline | None = None
    for look in looks[:2]:
        _, baseline = advance(baseline, look, SETTINGS)
    assert msgspec.json.decode(msgspec.json.encode(baseline), type=Baseline) == baseline
    evidence = total(looks[:2])
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 150)), max_size=15))
def test_slices_never_have_more_hits_than_there_are(sizes: list[tuple[int, int]]) -> None:
    """However the weights are: also where everything is slow, and fractions are carried on."""
    sums = accumulate(sizes, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0, 0))
    looks = [latency(counted(0.01, times=stable), counted(1.0, times=canary)) for stable, canary in sums]
    found = total(looks)
    assert found.slow.hits == found.slow.of <= looks[-1].canary.requests
    for before, after in pairwise(looks):
        assert total([before, after]).slow.of <= after.canary.requests - before.canary.requests
