from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol.float32 import SMALL, shortest


@pytest.mark.parametrize("size", [pytest.param(4, id="small"), pytest.param(SMALL + 1, id="large")])
@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.data())
def test_every_bit_survives_the_text(size: int, data: st.DataObject) -> None:
    """Any float32 pattern that is finite is printed, read and cast back to the same bits, in both ways of working."""
    patterns = data.draw(st.lists(st.integers(0, (1 << 32) - 1), min_size=size, max_size=size))
    values = np.array(patterns, dtype=np.uint32).view(np.float32)
    values = np.where(np.isfinite(values), values, np.float32(0))
    text = msgspec.json.encode(shortest(values).tolist())
    assert np.array_equal(np.array(json.loads(text), dtype=np.float32).view(np.uint32), values.view(np.uint32))


def test_both_ways_print_the_same() -> None:
    """The array arithmetic finds the decimals that numpy prints one by one."""
    values = np.random.default_rng(7).normal(size=(50, 20)).astype(np.float32)
    one_by_one = [float(str(value)) for value in values.reshape(-1)]
    assert shortest(values).reshape(-1).tolist() == one_by_one
    assert shortest(values).shape == (50, 20)


@pytest.mark.parametrize("size", [pytest.param(1, id="small"), pytest.param(SMALL + 1, id="large")])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0.1, "0.1", id="tenth"),
        pytest.param(1 / 3, "0.33333334", id="third"),
        pytest.param(34233512.0, "34233512.0", id="whole"),
        pytest.param(-0.0, "-0.0", id="negative-zero"),
        pytest.param(np.nan, "nan", id="nan"),
        pytest.param(-np.inf, "-inf", id="infinity"),
        pytest.param(1e-5, "1e-05", id="small"),
    ],
)
def test_prints(value: float, text: str, size: int) -> None:
    """Fractions print as the shortest decimal, whole and special numbers as they are."""
    assert str(shortest(np.full(size, value, dtype=np.float32)).tolist()[-1]) == text
