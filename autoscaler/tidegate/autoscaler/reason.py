"""The sentence of a decision: where from, where to, and the numbers why."""

from __future__ import annotations

from collections.abc import Iterable


def sentence(now: int, then: int, *because: str) -> str:
    """``n -> m: one; two``, of whatever is not empty."""
    return f"{now} -> {then}: {'; '.join(_told(because))}"


def number(value: float) -> str:
    """With two decimals at most, and none that is 0."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _told(clauses: Iterable[str]) -> Iterable[str]:
    return (clause for clause in clauses if clause)
