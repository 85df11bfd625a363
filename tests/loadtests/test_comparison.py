"""Subjects are measured in turn, and their figures shown with their spread."""

from __future__ import annotations

import pytest

from tidegate.loadtests.comparison import alternate, columns, ratios, spread


def test_rounds_go_forth_and_back() -> None:
    """Every subject runs once in a round, and none is always first."""
    order: list[str] = []

    def subject(name: str) -> int:
        order.append(name)
        return len(order)

    taken = alternate({"a": lambda: subject("a"), "b": lambda: subject("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert taken == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_a_ratio_is_of_one_repetition() -> None:
    """A machine that was slow for both in one repetition leaves the ratio as it is."""
    assert ratios([100, 50], [10, 5]) == [10, 10]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_a_spread_is_median_and_range() -> None:
    """One outlier moves the range and not the median."""
    assert spread([1200, 1150, 9000]) == "1,200 [1,150..9,000]"
    assert spread([0.5], ".2f") == "0.50 [0.50..0.50]"


def test_columns_are_aligned() -> None:
    """Names to the left, figures to the right."""
    assert columns(("server", "n"), [("a", "1"), ("longer", "10")]).splitlines() == [
        "server   n",
        "a        1",
        "longer  10",
    ]
