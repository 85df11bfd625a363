"""Measured and simulated side by side: by how much they differ, and who reads it."""

from __future__ import annotations

import msgspec
import pytest

from tidegate.loadtests.census import Count
from tidegate.loadtests.likeness import Figures, Result, difference, late, shown, table, timeline
from tidegate.loadtests.load import UNANSWERED, Sample


def result(violations: float = 5.0, seconds: float = 100.0) -> Result:
    return Result(
        schedule="step",
        policy="qda",
        options={},
        statuses={"200": 2, "503": 1},
        measured=Figures(violations, seconds, 3, 0.5),
        simulated=[Figures(4.0, 90.0, 2, 0.4), Figures(6.0, 110.0, 4, 0.6)],
        starts=[5.0, 6.0],
        called_off=[4.0],
        start=5.7,
        lag=0.001,
        processor={"gateway": 0.05, "client": 0.02},
        load_average=(1.0, 2.0),
        history=[],
        samples=[Sample(0.5, 0.5, 0.6, "200"), Sample(1.0, 1.0, 3.0, "200"), Sample(12.0, 12.0, 12.1, "503")],
        counts=[Count(0.0, 2, 2, 2), Count(15.0, 4, 3, 4)],
        looks=[Count(0.0, 2, 2, 2), Count(9.0, 5, 2, 5)],
    )


@pytest.mark.parametrize(
    ("violations", "seconds", "within"),
    [(8.0, 120.0, True), (2.0, 80.0, True), (8.1, 100.0, False), (5.0, 121.0, False), (1.9, 100.0, False)],
)
def test_both_bounds_hold_in_both_directions(violations: float, seconds: float, within: bool) -> None:
    """3 points and 20 %, from the mean of the plays."""
    found = difference(result(violations, seconds))
    assert found.points == pytest.approx(violations - 5.0)
    assert found.part == pytest.approx(seconds / 100.0 - 1)
    assert found.within == within


def test_late_is_whoever_had_no_good_answer_in_time() -> None:
    """From when it was meant to be sent; a refusal is late however quick it was."""
    assert not late(Sample(1.0, 1.4, 1.5, "200"), 0.5)
    assert late(Sample(1.0, 1.4, 1.6, "200"), 0.5)
    assert late(Sample(1.0, 1.0, 1.001, "503"), 0.5)
    assert late(Sample(1.0, 1.0, 1.1, UNANSWERED), 0.5)


def test_the_time_line_has_both() -> None:
    """Each column is what there is at its end, or came within it."""
    lines = timeline(result(), 0.72, 20.0, 10.0).splitlines()
    assert [line.split()[-2:] for line in lines] == [
        ["10", "20"],
        ["0", "0"],
        ["50", "100"],
        ["2", "4"],
        ["5", "5"],
        ["2", "3"],
        ["2", "2"],
    ]


def test_a_table_says_whether_it_is_within() -> None:
    """And what the simulator's own chance is."""
    told = table([result(), result(9.0)]).splitlines()
    assert told[1].endswith("yes")
    assert told[2].endswith("no")
    assert "5.00 % [4.0..6.0]" in told[1]
    assert "2 starts, 1 called off, mean 5.70 s" in shown(result())


def test_a_result_is_a_line_that_is_read_again() -> None:
    """A report is made of the file alone."""
    line = msgspec.json.encode(result())
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Result) == result()
