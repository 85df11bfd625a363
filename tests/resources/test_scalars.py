"""Durations and quantities as they are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.resources.scalars import Amount, Duration, Quantity, Span

MILLISECONDS, SECONDS = Span("ms"), Span("s")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("500ms", 500_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("0s", 0),
        ("1µs", 1000),
        ("7ns", 7),
    ],
)
def test_a_duration(text: str, nanoseconds: int) -> None:
    """As Go writes it, to the nanosecond."""
    assert SECONDS.read(text).nanoseconds == nanoseconds
    assert SECONDS.read(text) == text


def test_bare_numbers_have_the_unit_of_their_field() -> None:
    """KServe's: 500 is half a second for maxLatency, 60 a minute for timeout."""
    assert MILLISECONDS.read(500).seconds == 0.5
    assert SECONDS.read(60).seconds == 60


@pytest.mark.parametrize(
    "value", ["", "5", "-1s", "1d", "1 s", "s", "1.2.3s", "1s\n", "١s", -1, 1.5, True, None, "9" * 70]
)
def test_no_duration(value: object) -> None:
    """What Go does not write either, or cannot hold."""
    with pytest.raises(ValueError, match="a duration like"):
        SECONDS.read(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("1Gi", "1073741824"),
        ("2", "2"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        ("0.5", "0.5"),
        ("-1k", "-1000"),
    ],
)
def test_a_quantity(text: str, value: str) -> None:
    """With Kubernetes' suffixes, decimal and binary, or an exponent."""
    assert Amount().read(text).value == Decimal(value)


@pytest.mark.parametrize("value", ["", "1GB", "1 Gi", "Gi", "1e", "1.2.3", "١", True, None, "1" * 40])
def test_no_quantity(value: object) -> None:
    """What Kubernetes does not read either."""
    with pytest.raises(ValueError, match="a quantity like"):
        Amount().read(value)


@given(st.integers(0, 2**31 - 1), st.sampled_from(["ns", "us", "µs", "ms", "s", "m", "h"]))
def test_a_duration_is_read_as_it_is_written(number: int, unit: str) -> None:
    """Every number with every unit, as far as Go's Duration goes."""
    sizes = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
    expected = number * sizes[unit]
    if expected < 2**63:
        assert SECONDS.read(f"{number}{unit}") == Duration(f"{number}{unit}")
        assert SECONDS.read(f"{number}{unit}").nanoseconds == expected


@given(st.integers(0, 10**15) | st.decimals(0, 10**9, places=3).map(float))
def test_a_bare_number_is_a_quantity(number: float) -> None:
    """What YAML takes for a number is one."""
    assert isinstance(Amount().read(number), Quantity)
