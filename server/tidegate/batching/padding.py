"""What a batch or a dimension is padded to. Only the sizes: writing the padding is the work of who writes the batch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from tidegate.batching.checks import check_ascending, check_whole


class PaddedDimension(msgspec.Struct, frozen=True):
    """One variable dimension and the sizes it is padded to.

    Raises:
        ValueError: there is no input, no size, the axis is that of the rows, or the sizes do not ascend.
    """

    input: str
    """Name of the input tensor."""
    axis: int
    """Which dimension; 0 counts the rows of a batch, so it is at least 1."""
    sizes: tuple[int, ...]
    """Ascending. A request that is longer than the largest keeps its own size, and so its own bucket."""
    fill: int | float = 0
    """What the new elements are, in the tensor's own datatype."""

    def __post_init__(self) -> None:
        if not self.input:
            raise ValueError("input is empty, expected the name of an input")
        check_whole(self, 1, "axis")
        if not self.sizes:
            raise ValueError(f"sizes of input '{self.input}' is empty, expected at least one")
        check_ascending("sizes", self.sizes)


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
