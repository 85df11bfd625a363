"""What settings cannot mean, they refuse."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings

LENGTH = PaddedDimension("ids", 1, (16, 32))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"max_batch": 0}, "max_batch is 0, expected at least 1"),
        ({"max_batch_bytes": 0}, "max_batch_bytes is 0, expected at least 1"),
        ({"initial_batch_size": -1}, "initial_batch_size is -1, expected at least 1"),
        ({"max_deaths": 0}, "max_deaths is 0, expected at least 1"),
        ({"max_queue": -1}, "max_queue is -1, expected at least 0"),
        ({"max_queue_bytes": -1}, "max_queue_bytes is -1, expected at least 0"),
        ({"max_latency": -0.5}, "max_latency is -0.5, expected a finite number of seconds, at least 0"),
        ({"ageing": float("inf")}, "ageing is inf, expected a finite number of seconds, at least 0"),
        ({"max_retry_after": float("nan")}, "max_retry_after is nan, expected a finite number of seconds, at least 0"),
        ({"quarantine_seconds": 0.0}, "quarantine_seconds is 0, expected a number of seconds above 0"),
        ({"batch_sizes": (2, 1)}, "batch_sizes is 2,1, expected ascending whole numbers of at least 1"),
        ({"batch_sizes": (2, 2)}, "batch_sizes is 2,2, expected ascending whole numbers of at least 1"),
        ({"batch_sizes": (0, 1)}, "batch_sizes is 0,1, expected ascending whole numbers of at least 1"),
        (
            {"padded_dimensions": (LENGTH, LENGTH)},
            "padded_dimensions has axis 1 of input 'ids' more than once, expected once",
        ),
        (
            {"padded_dimensions": (LENGTH, PaddedDimension("ids", 2, (8,), -1))},
            "padded_dimensions fills axes of input 'ids' with 0 and -1, expected one value for all of them",
        ),
    ],
)
def test_a_field_out_of_its_range_is_refused(fields: dict[str, Any], problem: str) -> None:
    """With its name, its value and what was expected; also where other settings are changed to these."""
    with pytest.raises(ValueError, match="expected") as raised:
        BatchSettings(**fields)
    assert str(raised.value) == problem
    with pytest.raises(ValueError, match="expected"):
        msgspec.structs.replace(BatchSettings(), **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_batch": 1, "max_queue": 0, "max_queue_bytes": 0},
        {"ageing": 0.0, "max_bucket_wait": 0.0, "max_retry_after": 0.0},
        {"batch_sizes": (1, 2, 4)},
        {"padded_dimensions": (LENGTH, PaddedDimension("ids", 2, (8,)), PaddedDimension("mask", 1, (16, 32)))},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(fields: dict[str, Any]) -> None:
    """Each of them means something."""
    assert {name: getattr(BatchSettings(**fields), name) for name in fields} == fields


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (("", 1, (8,)), "input is empty, expected the name of an input"),
        (("x", 0, (8,)), "axis is 0, expected at least 1"),
        (("x", 1, ()), "sizes of input 'x' is empty, expected at least one"),
        (("x", 1, (8, 8)), "sizes is 8,8, expected ascending whole numbers of at least 1"),
        (("x", 1, (0,)), "sizes is 0, expected ascending whole numbers of at least 1"),
    ],
)
def test_a_dimension_that_cannot_be_padded_is_refused(values: tuple[str, int, tuple[int, ...]], problem: str) -> None:
    """Axis 0 counts rows; batch_sizes are for those."""
    with pytest.raises(ValueError, match="expected") as raised:
        PaddedDimension(*values)
    assert str(raised.value) == problem
