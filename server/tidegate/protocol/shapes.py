"""Whether a tensor of a shape may exist at all, decided before a byte is allocated for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, shown
from tidegate.protocol.limits import Limits


@lru_cache(maxsize=64)  # of few values, for every tensor
def most_elements(datatype: Datatype, limits: Limits) -> int:
    """How many elements a tensor may have: what fits the larger of the body limits in binary form.

    A tensor that no body could carry as bytes is not taken in a shorter form either: JSON writes a zero in two
    bytes, whatever its datatype.
    """
    itemsize = datatype.itemsize or 4  # a BYTES element is at least its 4-byte length
    return min(limits.max_elements, max(limits.max_body_bytes, limits.max_inflated_bytes) // itemsize)


def check_shape(name: str, shape: Sequence[int], datatype: Datatype, limits: Limits) -> int:
    """The number of elements of a tensor.

    Raises:
        InvalidTensor: too many dimensions, a negative one, or too many elements.
    """
    if len(shape) > limits.max_rank:
        raise InvalidTensor(name, f"shape has {len(shape)} dimensions, at most {limits.max_rank} are allowed")
    most = most_elements(datatype, limits)
    count = extent = 1
    for axis, size in enumerate(shape):
        if size < 0:
            raise InvalidTensor(name, f"shape[{axis}] is {shown(size)}, expected an integer >= 0")
        count *= size
        # numpy multiplies the other dimensions of an empty array too, so [2^62, 2^62, 0] must not pass.
        extent *= size or 1
        if extent > most:
            raise InvalidTensor(name, f"shape {shown(list(shape))} has more than {most} elements of {datatype.value}")
    return count
