"""A shadow's outputs against the caller's: whatever the numbers are, the same answer as numpy's, and no warning."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tidegate.analysis.observation import Comparison
from tidegate.analysis.outputs import PORTION, SCORE_CLASSES, SCORES, class_of, compare, instability
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.tensors import Tensor

NAN, INF = float("nan"), float("inf")


def tensor(values: Any, datatype: Datatype | None = None, name: str = "y", dtype: Any = None) -> Tensor:
    return Tensor.from_numpy(name, np.asarray(values, dtype=dtype), datatype)


def compared(stable: Any, shadow: Any, rtol: float = 0.0, atol: float = 0.0) -> Comparison:
    return compare([tensor(stable)], [tensor(shadow)], rtol, atol)


hostile = arrays.array_shapes(max_dims=2, min_side=0, max_side=4).flatmap(
    lambda shape: st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint64, np.int64, np.bool_]).flatmap(
        lambda dtype: st.tuples(arrays.arrays(dtype, shape), arrays.arrays(dtype, shape))
    )
)


@given(hostile, st.sampled_from([0.0, 1e-3, 0.5, 1e300]), st.sampled_from([0.0, 1e-3, 1.0]))
def test_numbers_are_compared_as_numpy_does(pair: tuple[Any, Any], rtol: float, atol: float) -> None:
    """isclose with equal NaNs, of doubles; what it says of itself is finite; and it can be written as JSON."""
    stable, shadow = pair
    found = compared(stable, shadow, rtol, atol)
    with np.errstate(all="ignore"):
        a, b = stable.astype(np.float64), shadow.astype(np.float64)
        close = bool(np.isclose(b, a, rtol, atol, equal_nan=True).all())
    whole = stable.dtype.kind in "iu"
    if not (whole and rtol == 0.0 and atol == 0.0):
        assert found.different == int(not close)
    else:
        assert found.different == int(not np.array_equal(stable, shadow))
    assert found.compared == 1
    assert 0.0 <= found.max_absolute <= sys.float_info.max
    assert 0.0 <= found.max_relative <= sys.float_info.max
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


@given(hostile)
def test_the_same_is_never_different(pair: tuple[Any, Any]) -> None:
    """NaNs and infinities included."""
    found = compared(pair[0], pair[0])
    assert (found.different, found.max_absolute, found.max_relative) == (0, 0.0, 0.0)
    assert found.top1_agreed == found.top1_compared
    assert found.scores == found.shadow_scores


@pytest.mark.parametrize(
    ("stable", "shadow"),
    [
        ([tensor([1.0])], []),
        ([tensor([1.0])], [tensor([1.0], name="z")]),
        ([tensor([1.0])], [tensor([1.0]), tensor([1.0], name="z")]),
        ([tensor([1.0])], [tensor([[1.0]])]),
        ([tensor([1.0])], [tensor([1])]),
        ([tensor([1.0])], [tensor([1.0], dtype=np.float32)]),
        ([tensor([b"a", b"b"])], [tensor([b"a", b"c"])]),
        ([tensor([b"ab", b"c"])], [tensor([b"a", b"bc"])]),
        ([tensor([1.0]), tensor([2.0], name="z")], [tensor([1.0]), tensor([3.0], name="z")]),
    ],
    ids=["missing", "name", "more", "shape", "datatype", "width", "text", "lengths", "second"],
)
def test_what_has_another_form_is_different(stable: list[Tensor], shadow: list[Tensor]) -> None:
    """Names, shapes, datatypes and texts, once for each copy."""
    assert compare(stable, shadow, 0.1, 0.1).different == 1


def test_order_of_outputs_says_nothing() -> None:
    """They are found by name."""
    one, other = tensor([1.0]), tensor([b"x"], name="z")
    assert compare([one, other], [other, one]).different == 0
    assert compare([], []) == Comparison(compared=1)


def test_differences_are_told() -> None:
    """The largest, and the largest by the caller's number; what is not finite or is divided by 0 is left out."""
    found = compared([1.0, 100.0, 0.0, NAN, INF], [1.5, 110.0, 0.25, 1.0, -INF])
    assert (found.different, found.max_absolute, found.max_relative) == (1, 10.0, 0.5)


@pytest.mark.parametrize("datatype", [Datatype.BF16, Datatype.FP16])
def test_half_precision(datatype: Datatype) -> None:
    """Both kinds, by their values."""
    stable, shadow = tensor([[1.0, 2.0]], datatype), tensor([[1.0, 2.5]], datatype)
    assert compare([stable], [shadow]).max_absolute == 0.5
    assert compare([stable], [shadow], atol=0.5).different == 0


def test_integers_that_are_one_double_differ() -> None:
    """2 ** 60 and the next."""
    assert compared([2**60], [2**60 + 1]).different == 1
    assert compared([2**60], [2**60 + 1], atol=1.0).different == 0


@pytest.mark.parametrize(
    ("stable", "shadow", "rows", "agreed"),
    [
        ([[0.1, 0.9], [0.8, 0.2]], [[0.2, 0.8], [0.4, 0.6]], 2, 1),
        ([[0.5, 0.5], [0.4, 0.6]], [[0.1, 0.9], [0.4, 0.6]], 1, 1),
        ([[0.4, 0.6]], [[0.5, 0.5]], 1, 0),
        ([[NAN, 0.6], [0.1, 0.6]], [[0.4, 0.6], [NAN, 0.6]], 1, 0),
        ([[0.1, INF]], [[0.1, INF]], 1, 1),
        ([[0.4], [0.5]], [[0.4], [0.5]], 0, 0),
        ([0.4, 0.5], [0.4, 0.5], 0, 0),
        ([[1, 2]], [[1, 2]], 0, 0),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0, 0),
        (np.zeros((3, 0)), np.zeros((3, 0)), 0, 0),
    ],
)
def test_the_largest_score(stable: Any, shadow: Any, rows: int, agreed: int) -> None:
    """Of rows of two or more floating-point scores in which one alone is the largest; a tie agrees with nobody."""
    found = compared(stable, shadow)
    assert (found.top1_compared, found.top1_agreed) == (rows, agreed)


def test_large_outputs_are_compared_to_their_end() -> None:
    """In portions, and the last number counts."""
    stable = np.zeros(PORTION + 10, np.float32)
    shadow = stable.copy()
    shadow[-1] = 1.0
    assert compared(stable, shadow).different == 1
    assert sum(compared(stable, stable).scores) <= 4096


@given(st.floats())
def test_every_score_has_a_class(score: float) -> None:
    """NaN the last, others between their bounds; it is the class that outputs are counted in."""
    place = class_of(score)
    assert compared([score], [score]).scores[place] == 1
    if score == score:
        below, next_ = (-INF, *SCORES)[place], (*SCORES, INF)[place]
        assert below <= score < next_ or score == next_ == INF
    else:
        assert place == SCORE_CLASSES - 1
    assert list(SCORES) == sorted(set(SCORES))


def test_how_far_scores_are_apart() -> None:
    """0 for the same, more for others, symmetric; None without scores."""
    assert instability((), ()) is None
    assert instability((0, 0), (0, 0)) is None
    assert instability((10, 90), (10, 90)) == 0.0
    near, far = instability((100, 900), (120, 880)), instability((100, 900), (900, 100))
    assert near is not None
    assert far is not None
    assert near < 0.01 < 1.0 < far
    assert instability((900, 100), (100, 900)) == pytest.approx(far)
    # Without the half score for empty classes: 0.8 ln 9, twice.
    assert far == pytest.approx(1.6 * np.log(9), rel=0.01)
