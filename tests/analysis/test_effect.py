"""Mann and Whitney on histograms, against the pairs themselves."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.analysis.effect import effect, latency_report

few = st.lists(st.integers(0, 4), min_size=3, max_size=3).map(tuple).filter(any)


@given(few, few)
def test_the_size_is_the_share_of_pairs_that_the_new_one_wins(stable: tuple[int, ...], canary: tuple[int, ...]) -> None:
    """Ties count half."""
    a = [place for place, count in enumerate(stable) for _ in range(count)]
    b = [place for place, count in enumerate(canary) for _ in range(count)]
    pairs = [1.0 if y > x else 0.5 if y == x else 0.0 for x, y in product(a, b)]
    found = effect(stable, canary)
    assert found is not None
    assert found.size == pytest.approx(sum(pairs) / len(pairs))
    assert 0.0 <= found.p <= 1.0


def test_a_known_example_with_ties() -> None:
    """As scipy.stats.mannwhitneyu(…, method="asymptotic", use_continuity=False) has it for these counts."""
    found = effect((10, 20, 30, 5), (5, 10, 30, 20))
    assert found is not None
    assert found.size == pytest.approx(2825 / 65**2)
    assert found.p == pytest.approx(0.00040779, rel=1e-4)


def test_nothing_to_compare() -> None:
    """One of them has no durations; or all are alike, which is no difference."""
    assert effect((), (1,)) is None
    assert latency_report((1,), (), 95.0) == {}
    same = effect((5,), (5,))
    assert same is not None
    assert (same.size, same.p) == (0.5, 1.0)
