"""What a batch or a dimension is padded to. Only the sizes: writing the padding is the work of who writes the batch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec


class PaddedDimension(msgspec.Struct, frozen=True):
    """One variable dimension and the sizes it is padded to."""

    input: str
    """Name of the input tensor."""
    axis: int
    """Which dimension; 0 counts the rows of a batch, so it is at least 1."""
    sizes: tuple[int, ...]
    """Ascending. A request that is longer than the largest keeps its own size, and so its own bucket."""
    fill: int | float = 0
    """What the new elements are, in the tensor's own datatype."""


def padded_size(size: int, sizes: Sequence[int]) -> int:
    """The smallest of ascending ``sizes`` that is not below ``size``; ``size`` itself where there is none."""
    index = bisect_left(sizes, size)
    return sizes[index] if index < len(sizes) else size


def unpadded_limit(limit: int, sizes: Sequence[int]) -> int:
    """The most rows whose padded size is within ``limit``; ``limit`` itself where even the smallest size is above."""
    index = bisect_right(sizes, limit)
    return sizes[index - 1] if index else limit


def item_shape(name: str, shape: Sequence[int], dimensions: Sequence[PaddedDimension]) -> tuple[int, ...]:
    """The shape of one row of an input after padding: ``shape`` without axis 0."""
    padded = list(shape)
    for dimension in dimensions:
        if dimension.input == name and dimension.axis < len(padded):
            padded[dimension.axis] = padded_size(padded[dimension.axis], dimension.sizes)
    return tuple(padded[1:])
