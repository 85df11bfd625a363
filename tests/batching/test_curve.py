"""The learned service time, on synthetic executions."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as effort

from tidegate.batching.curve import Curve

SIZES = (1, 2, 3, 5, 8, 13, 21, 32)


def learned(base: float, per_row: float, *, noise: float = 0.0, outliers: float = 0.0, seed: int = 1) -> Curve:
    """After 600 executions of random sizes; ``outliers`` of them take twenty times as long."""
    random_source, curve = random.Random(seed), Curve(60.0)
    for _ in range(600):
        rows = random_source.choice(SIZES)
        seconds = (base + per_row * rows) * random_source.lognormvariate(0.0, noise)
        curve.observe(rows, seconds * (20.0 if random_source.random() < outliers else 1.0), 0.0)
    return curve


def fitted(curve: Curve, rows: int) -> float:
    return curve.base + curve.per_row * rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("base", "per_row", "noise", "outliers", "within"),
    [
        pytest.param(0.002, 0.0005, 0.0, 0.0, 0.001, id="exact"),
        pytest.param(0.002, 0.0005, 0.1, 0.0, 0.10, id="noise"),
        pytest.param(0.002, 0.0005, 0.1, 0.04, 0.15, id="noise and outliers"),
        pytest.param(0.01, 0.0, 0.05, 0.02, 0.10, id="constant"),
        pytest.param(0.0, 0.001, 0.05, 0.02, 0.10, id="proportional"),
    ],
)
def test_it_converges(base: float, per_row: float, noise: float, outliers: float, within: float, seed: int) -> None:
    """The fit is near the truth at every size, whatever a few executions say."""
    curve = learned(base, per_row, noise=noise, outliers=outliers, seed=seed)
    for rows in SIZES:
        assert fitted(curve, rows) == pytest.approx(base + per_row * rows, rel=within)


@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_most_executions_stay_within_the_margin(noise: float) -> None:
    """About 95 of 100, by executions that it has not seen."""
    curve, random_source = learned(0.002, 0.0005, noise=noise), random.Random(99)
    within = 0
    for _ in range(4000):
        rows = random_source.choice(SIZES)
        predicted = curve.predict(rows, 0.0)
        assert predicted is not None
        within += (0.002 + 0.0005 * rows) * random_source.lognormvariate(0.0, noise) <= predicted
    assert 0.89 <= within / 4000 <= 0.99


def test_the_first_execution_does_not_count_for_long() -> None:
    """A model that is cold takes a second once; after some executions that is forgotten."""
    curve = Curve(60.0)
    curve.observe(1, 1.0, 0.0)
    for _ in range(2):
        curve.observe(1, 0.01, 0.0)
    assert fitted(curve, 1) == pytest.approx(0.01)


def test_it_follows_a_model_that_becomes_slower() -> None:
    """After as many executions as a class of sizes remembers."""
    curve = learned(0.002, 0.0005)
    for _ in range(9):
        for rows in SIZES:
            curve.observe(rows, 10 * (0.002 + 0.0005 * rows), 0.0)
    for rows in SIZES:
        assert fitted(curve, rows) == pytest.approx(10 * (0.002 + 0.0005 * rows), rel=0.01)


def test_a_size_that_is_not_seen_any_more_loses_its_weight() -> None:
    """What was learned long ago about large batches does not hold a fit of the present in place."""
    curve = Curve(60.0)
    for _ in range(9):
        curve.observe(32, 0.1, 0.0)
    for _ in range(3000):
        for rows in (1, 2, 3):
            curve.observe(rows, 0.001 * rows, 0.0)
    assert fitted(curve, 2) == pytest.approx(0.002, rel=0.05)


def test_it_knows_nothing_at_first() -> None:
    """And says so, instead of guessing."""
    curve = Curve(60.0)
    assert curve.predict(1, 0.0) is None
    assert curve.fits(1.0, 0.0) is None


def test_it_knows_nothing_after_a_while() -> None:
    """After the time that it may be believed without being confirmed."""
    curve = Curve(60.0)
    curve.observe(1, 0.01, 100.0)
    assert curve.predict(1, 160.0) is not None
    assert curve.predict(1, 160.1) is None


def test_one_size_scales_with_the_rows() -> None:
    """With nothing else to go by a larger batch is expected to take longer, a smaller one less."""
    curve = Curve(60.0)
    curve.observe(4, 0.04, 0.0)
    assert fitted(curve, 8) == pytest.approx(0.08)


def test_more_than_was_ever_executed_takes_at_least_as_long() -> None:
    """Where a wait must not be overrated, nothing is guessed beyond the largest size that was seen."""
    curve = Curve(60.0)
    curve.observe(4, 0.04, 0.0)
    assert curve.expect(2) == pytest.approx(0.02)
    assert curve.expect(8) == curve.expect(4) == pytest.approx(0.04)


def test_sizes_worth_a_try() -> None:
    """A quarter above the largest that was executed, by at least one row."""
    curve = Curve(60.0)
    tries = [curve.explorable(2)]
    for rows in (1, 2, 4, 8, 40):
        curve.observe(rows, 0.01, 0.0)
        tries.append(curve.explorable(2))
    assert tries == [2, 2, 3, 5, 10, 50]


@given(st.lists(st.tuples(st.integers(1, 5000), st.floats(0.0, 1e4)), min_size=1, max_size=60), st.floats(0.0, 100.0))
@effort(max_examples=200, deadline=None)
def test_it_is_always_sane(executions: list[tuple[int, float]], slack: float) -> None:
    """Whatever was observed: no negative times, monotone in the rows, and ``fits`` agrees with ``predict``."""
    curve = Curve(60.0)
    for rows, seconds in executions:
        curve.observe(rows, seconds, 0.0)
    assert min(curve.base, curve.per_row) >= 0.0
    assert 1.0 <= curve.margin <= 8.0
    fits = curve.fits(slack, 0.0)
    assert fits is not None
    assert fits >= 0
    if 0 < fits < 1 << 30:
        at, above = curve.predict(fits, 0.0), curve.predict(fits + 1, 0.0)
        assert at is not None
        assert above is not None
        assert at <= slack * (1 + 1e-6) + 1e-6
        assert above >= slack * (1 - 1e-6) - 1e-6


def test_repr() -> None:
    """It reads as the formula."""
    curve = learned(0.002, 0.0005)
    assert repr(curve).startswith("<Curve 0.002s + 0.0005s·n, times 1")
