"""A shadow's outputs against those that the caller got: numbers within a tolerance, all else exactly.

Safe whatever the numbers are: a NaN equals a NaN, an infinity itself, and neither is in a difference that is reported.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from math import isfinite, log
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.analysis.evidence import add
from tidegate.analysis.observation import Comparison
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.tensors import Tensor, by_name

Array = npt.NDArray[Any]

_BEYOND_ONE = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)
SCORES = (
    *(-bound for bound in reversed(_BEYOND_ONE)),
    *(number / 20 for number in range(-20, 21)),
    *_BEYOND_ONE,
)
"""Bounds of the classes that the numbers of floating-point outputs are counted in: twentieths for probabilities, wider
ones beyond 1. Class k holds numbers below SCORES[k] and not below SCORES[k - 1]; one more is above all, and the last is
for NaN."""
SCORE_CLASSES = len(SCORES) + 2
SCORES_OF_AN_OUTPUT = 4096
"""Numbers of one output that are counted, evenly spread over it: a distribution needs no more."""
PORTION = 1 << 18
"""Elements that are compared at once: more memory than for these is not taken, however large an output is."""


def compare(stable: Sequence[Tensor], shadow: Sequence[Tensor], rtol: float = 0.0, atol: float = 0.0) -> Comparison:
    """One copy's outputs against those of the request: a Comparison of 1, to be added to the others (``add``).

    They are different if names, shapes or datatypes are, or if a number is farther from the stable revision's than
    ``atol + rtol * |that|``. The order of outputs, and their parameters, say nothing.
    """
    ours, theirs = by_name(stable), by_name(shadow)
    different = len(stable) != len(shadow) or ours.keys() != theirs.keys()
    found = Comparison(compared=1)
    with np.errstate(all="ignore"):  # what is no number or too large is dealt with, and no reason for a warning
        for name in ours.keys() & theirs.keys():
            found = add(found, _output(ours[name], theirs[name], rtol, atol))
    return msgspec.structs.replace(found, different=int(different or found.different > 0))


def _output(stable: Tensor, shadow: Tensor, rtol: float, atol: float) -> Comparison:
    if stable.datatype is not shadow.datatype or stable.shape != shadow.shape:
        return Comparison(different=1)
    if stable.datatype is Datatype.BYTES:
        return Comparison(different=int(bytes(stable.data) != bytes(shadow.data)))
    a, b = stable.numpy(), shadow.numpy()
    found = Comparison()
    for one, other in _portions(a.reshape(-1), b.reshape(-1)):
        found = add(found, _numbers(one, other, rtol, atol))
    if not stable.datatype.is_float:
        return found
    compared, agreed = _top1(a, b)
    top = Comparison(
        top1_compared=compared, top1_agreed=agreed, scores=_distribution(a), shadow_scores=_distribution(b)
    )
    return add(found, top)


def _portions(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    return ((a[begin : begin + PORTION], b[begin : begin + PORTION]) for begin in range(0, a.size, PORTION))


def _numbers(stable: Array, shadow: Array, rtol: float, atol: float) -> Comparison:
    same = stable == shadow
    if same.all():
        return Comparison()
    # Only those that differ are looked at: their doubles, whose differences are exact enough for a tolerance.
    a, b = stable[~same].astype(np.float64), shadow[~same].astype(np.float64)
    apart = np.abs(a - b)
    if stable.dtype.kind != "f":
        apart = np.maximum(apart, 1.0)  # 2 ** 60 and the next integer are one double
    finite = np.isfinite(a) & np.isfinite(b)
    close = (finite & (apart <= atol + rtol * np.abs(a))) | (np.isnan(a) & np.isnan(b))
    divided = finite & (a != 0.0)
    relative = apart[divided] / np.abs(a[divided])
    return Comparison(
        different=int(not close.all()), max_absolute=_largest(apart[finite]), max_relative=_largest(relative)
    )


def _largest(differences: Array) -> float:
    """0 of none, and always a number that JSON can have."""
    largest = float(differences.max(initial=0.0))
    return largest if isfinite(largest) else sys.float_info.max


def _top1(stable: Array, shadow: Array) -> tuple[int, int]:
    """Rows of the stable revision in which one score alone is the largest; those in which the shadow's is the same."""
    if stable.ndim != 2 or stable.shape[1] < 2 or not stable.size:
        return 0, 0
    best, place = stable.max(axis=1), stable.argmax(axis=1)  # a NaN is the largest, and equals nothing
    told = (stable == best[:, None]).sum(axis=1) == 1
    largest = shadow == shadow.max(axis=1)[:, None]
    agreed = told & (largest.sum(axis=1) == 1) & (shadow.argmax(axis=1) == place)
    return int(told.sum()), int(agreed.sum())


def _distribution(numbers: Array) -> tuple[int, ...]:
    if not numbers.size:
        return ()
    flat = numbers.reshape(-1)
    some = flat[:: -(-flat.size // SCORES_OF_AN_OUTPUT)].astype(np.float64)
    nan = np.isnan(some)
    places = np.searchsorted(SCORES, some[~nan], side="right")
    counts = np.bincount(places, minlength=SCORE_CLASSES)
    counts[-1] = nan.sum()
    return tuple(counts.tolist())


def class_of(score: float) -> int:
    """The class of ``Comparison.scores`` that a number is counted in."""
    return SCORE_CLASSES - 1 if score != score else bisect_right(SCORES, score)


def instability(stable: Sequence[int], shadow: Sequence[int]) -> float | None:
    """How far two distributions of scores are apart, as the population stability index; None without scores.

    The sum over classes of (q - p) ln(q / p), each class with half a score more, so that an empty one is not infinitely
    far. Rules of thumb call less than 0.1 the same and more than 0.25 another distribution; chance alone makes about
    (classes that are not empty) * (1 / n + 1 / m). It is reported, and decides nothing.

    Source: Siddiqi, "Credit Risk Scorecards" (2006); it is the symmetric divergence of Kullback and Leibler (1951).
    """
    pairs = [(a, b) for a, b in zip_longest(stable, shadow, fillvalue=0) if a or b] if stable and shadow else []
    if not pairs:
        return None
    ours, theirs = sum(a + 0.5 for a, _ in pairs), sum(b + 0.5 for _, b in pairs)
    shares = [((a + 0.5) / ours, (b + 0.5) / theirs) for a, b in pairs]
    return sum((q - p) * log(q / p) for p, q in shares)
