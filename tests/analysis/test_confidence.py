"""Confidence sequences of a share: the right ends, and the right error probability over all looks together."""

from __future__ import annotations

import random
from math import exp, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.analysis.confidence import interval, log_martingale

ALPHA = 0.0025

counts = st.integers(0, 10**6).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))
alphas = st.floats(1e-9, 0.5)


@given(counts, alphas)
def test_the_ends_are_where_the_martingale_reaches_its_bound(seen: tuple[int, int], alpha: float) -> None:
    """Both, to a part in a million, unless they are 0 or 1; and what was seen lies between them."""
    low, high = interval(*seen, alpha)
    hits, of = seen
    assert 0.0 <= low <= (hits / of if of else 0.5) <= high <= 1.0
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert exp(log_martingale(hits, of, end) + log(alpha)) == pytest.approx(1.0, rel=1e-6)
    assert (low == 0.0) == (hits == 0)
    assert (high == 1.0) == (hits == of)


@given(counts, alphas)
def test_hits_and_misses_are_one_question(seen: tuple[int, int], alpha: float) -> None:
    """The interval of the misses is that of the hits from the other side."""
    hits, of = seen
    low, high = interval(hits, of, alpha)
    assert interval(of - hits, of, alpha) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(counts, alphas)
def test_more_hits_move_both_ends_up(seen: tuple[int, int], alpha: float) -> None:
    """And a smaller error probability widens."""
    hits, of = seen
    low, high = interval(hits, of, alpha)
    if hits < of:
        more = interval(hits + 1, of, alpha)
        assert more[0] >= low
        assert more[1] >= high
    wider = interval(hits, of, alpha / 2)
    assert wider[0] <= low
    assert wider[1] >= high


def test_nothing_leaves_everything_possible() -> None:
    """And one of one, or none of one, is what can be worked out by hand: M(p) = 1 / (2 p)."""
    assert interval(0, 0, ALPHA) == (0.0, 1.0)
    assert interval(1, 1, ALPHA) == pytest.approx((ALPHA / 2, 1.0))
    assert interval(0, 1, ALPHA) == pytest.approx((0.0, 1 - ALPHA / 2))


def test_a_billion_is_no_matter() -> None:
    """Very large counts neither overflow nor lose their digits."""
    low, high = interval(2_000_000, 10**9, ALPHA)
    assert low < 0.002 < high
    assert high - low == pytest.approx(2 * 6.3 * sqrt(0.002 / 10**9), rel=0.1)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
def test_looking_after_every_request_misses_the_share_no_more_often_than_alpha(share: float) -> None:
    """Of 400 sequences of 400 requests, within four standard deviations. An interval of the textbook does."""
    alpha, sequences, length = 0.1, 400, 400
    chance = random.Random(7)
    missed = textbook = 0
    for _ in range(sequences):
        hits, ours, theirs = 0, False, False
        for of in range(1, length + 1):
            hits += chance.random() < share
            low, high = interval(hits, of, alpha)
            ours |= not low <= share <= high
            rate = hits / of
            theirs |= of > 30 and abs(rate - share) > 1.645 * sqrt(max(rate * (1 - rate), 1e-12) / of)
        missed += ours
        textbook += theirs
    allowed = sequences * alpha + 4 * sqrt(sequences * alpha * (1 - alpha))
    assert missed <= allowed
    assert textbook > allowed
