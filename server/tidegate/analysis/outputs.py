"""Outputs of two revisions for one request, held against one another, and the sums of many such comparisons. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.analysis.observation import Comparison
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.tensors import Tensor


class Compared(msgspec.Struct, frozen=True):
    """One comparison."""

    different: bool
    """Beyond the tolerance, or of another form."""
    max_absolute: float = 0.0
    max_relative: float = 0.0
    top1_compared: int = 0
    top1_agreed: int = 0
    scores: tuple[int, ...] = ()
    shadow_scores: tuple[int, ...] = ()


def compare(stable: Sequence[Tensor], shadow: Sequence[Tensor], rtol: float, atol: float) -> Compared:
    """Hold a shadow's outputs against the stable ones: relative tolerance counts from the stable ones.

    Raises:
        InvalidTensor: BYTES that are none.
    """
    others = {tensor.name: tensor for tensor in shadow}
    if {tensor.name for tensor in stable} != others.keys():
        return Compared(different=True)
    total = Compared(different=False)
    for tensor in stable:
        other = others[tensor.name]
        if (tensor.datatype, tensor.shape) != (other.datatype, other.shape):
            return Compared(different=True)
        total = _joined(total, _numbers(tensor, other, rtol, atol))
    return total


def add(total: Comparison, one: Compared) -> Comparison:
    """The sums with one comparison more."""
    return msgspec.structs.replace(
        total,
        compared=total.compared + 1,
        different=total.different + one.different,
        max_absolute=max(total.max_absolute, one.max_absolute),
        max_relative=max(total.max_relative, one.max_relative),
        top1_compared=total.top1_compared + one.top1_compared,
        top1_agreed=total.top1_agreed + one.top1_agreed,
    )


def _numbers(tensor: Tensor, other: Tensor, rtol: float, atol: float) -> Compared:
    if tensor.datatype is Datatype.BYTES:
        return Compared(different=bytes(tensor.data) != bytes(other.data))
    expected, got = tensor.numpy().astype(np.float64), other.numpy().astype(np.float64)
    close = np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    finite = np.isfinite(expected) & np.isfinite(got)
    apart = np.abs(got - expected)[finite]
    size = np.abs(expected)[finite]
    relative = apart[size > 0] / size[size > 0]
    return Compared(
        not bool(close.all()),
        float(apart.max(initial=0.0)),
        float(relative.max(initial=0.0)),
        *_top1(expected, got),
    )


def _top1(expected: npt.NDArray[Any], got: npt.NDArray[Any]) -> tuple[int, int]:
    if expected.ndim < 2 or expected.shape[-1] < 2 or not expected.size:
        return 0, 0
    agreed = expected.argmax(axis=-1) == got.argmax(axis=-1)
    return int(agreed.size), int(agreed.sum())


def _joined(total: Compared, one: Compared) -> Compared:
    return Compared(
        total.different or one.different,
        max(total.max_absolute, one.max_absolute),
        max(total.max_relative, one.max_relative),
        total.top1_compared + one.top1_compared,
        total.top1_agreed + one.top1_agreed,
    )
