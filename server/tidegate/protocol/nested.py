"""A tensor whose shape is read off the lists that it is given in, for the protocols that name no shapes."""

from __future__ import annotations

from typing import Any

from tidegate.protocol.json_data import flatten, natural_shape, pack
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import TensorSpec
from tidegate.protocol.shapes import check_shape
from tidegate.protocol.tensors import Tensor


def nested_tensor(spec: TensorSpec, nested: list[Any], limits: Limits) -> Tensor:
    """The tensor of ``nested``, as many lists deep as the signature has dimensions; a scalar is one list deep.

    Raises:
        InvalidTensor: it is ragged, too large, or a number is out of the datatype's range.
    """
    shape: list[int] = []
    level = nested
    for size in spec.shape or (1,):
        # Nothing nests below an empty list, so the signature tells the rest; a size that it leaves open is 0.
        shape.append(len(level) if level or not shape else max(size, 0))
        level = level[0] if level and isinstance(level[0], list) else []
    check_shape(spec.name, shape, spec.datatype, limits)
    flat = flatten(spec.name, nested, natural_shape(shape), "rows")
    return Tensor(spec.name, spec.datatype, tuple(shape), pack(spec.name, spec.datatype, flat))
