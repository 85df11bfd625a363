"""Arrival times are fixed before a run, and the same for the same seed."""

from __future__ import annotations

import re
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.loadtests.arrivals import bounded, constant, poisson, read_trace


def test_a_constant_rate_is_evenly_spaced() -> None:
    """Four per second come at each quarter, without the error of a running sum."""
    assert list(islice(constant(4), 5)) == [0, 0.25, 0.5, 0.75, 1.0]


def test_poisson_arrivals_are_those_of_the_seed() -> None:
    """The times are pinned: a figure can be made again on another machine."""
    assert [round(at, 6) for at in islice(poisson(10, seed=1), 3)] == [0.014429, 0.202445, 0.346742]
    assert list(islice(poisson(10, seed=1), 3)) != list(islice(poisson(10, seed=2), 3))


@given(rate=st.floats(0.1, 1e5), seed=st.integers(0, 1000))
def test_poisson_arrivals_ascend(rate: float, seed: int) -> None:
    """Time never goes back, whatever the rate."""
    assert all(a <= b for a, b in pairwise(islice(poisson(rate, seed), 50)))


def test_poisson_keeps_its_rate() -> None:
    """Ten thousand arrivals at 100 per second take 100 seconds, give or take a few standard deviations (1 s)."""
    [last] = islice(poisson(100, seed=7), 9_999, 10_000)
    assert 96 < last < 104


@pytest.mark.parametrize(
    ("duration", "requests", "expected"),
    [
        pytest.param(0.5, None, [0, 0.25], id="before-the-duration"),
        pytest.param(None, 3, [0, 0.25, 0.5], id="so-many-requests"),
        pytest.param(0.5, 1, [0], id="whichever-comes-first"),
    ],
)
def test_arrivals_end(duration: float | None, requests: int | None, expected: list[float]) -> None:
    """An endless process is cut by time, by number, or by both."""
    assert list(bounded(constant(4), duration, requests)) == expected


def test_a_trace_of_seconds_starts_at_zero() -> None:
    """The lines are sorted, moved to 0 and played faster; further columns and blank lines do not matter."""
    assert read_trace(["12,x\n", "10\n", "\n", "11.5\n"], speed=2) == (0, 0.75, 1)


def test_an_azure_trace_is_known_by_its_header() -> None:
    """Its times of day have seven digits after the point, and may pass midnight."""
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens\n", "2023-11-16 23:59:59.5000000,4808,10\n"]
    assert read_trace([*lines, "2023-11-17 00:00:00.7500000,110,27\n"]) == (0, 1.25)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(["1", "soon"], "line 2 of the trace has 'soon'; expected a number of seconds", id="text"),
        pytest.param(["inf"], "line 1 of the trace has 'inf'; expected a number of seconds", id="infinite"),
        pytest.param(["nan"], "line 1 of the trace has 'nan'; expected a number of seconds", id="nan"),
        pytest.param(
            ["TIMESTAMP,x", "7"], "line 2 of the trace has '7'; expected a time as 2023-11-16 18:17:03.97", id="azure"
        ),
        pytest.param([], "the trace holds no arrival", id="empty"),
    ],
)
def test_a_bad_trace_names_its_line(lines: list[str], message: str) -> None:
    """The message says which line, what it has and what was expected."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_trace(lines)
