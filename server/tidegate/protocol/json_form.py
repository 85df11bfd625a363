"""A tensor's elements as JSON shows them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.float32 import shortest
from tidegate.protocol.nan import NanPolicy, name_of
from tidegate.protocol.tensors import Tensor, split_bytes


def json_form(tensor: Tensor, nan: NanPolicy) -> npt.NDArray[Any]:
    """An array of the tensor's shape; its ``tolist()`` is what msgspec's encoder writes.

    Raises:
        InvalidRequest: there is no JSON form: FP16, BF16, or BYTES that are not UTF-8.
    """
    kind = tensor.datatype
    if kind.raw_only:
        raise InvalidRequest(_binary_only(tensor, f"is {kind.value}"))
    if kind is Datatype.BYTES:
        return _texts(tensor)
    array: npt.NDArray[Any] = np.frombuffer(tensor.data, dtype=kind.stored, count=tensor.count).reshape(tensor.shape)
    if not kind.is_float:
        return array
    if kind is Datatype.FP32:
        array = shortest(array)
    # The encoder writes null for every non-finite float by itself.
    return array if nan is NanPolicy.NULL or np.isfinite(array).all() else _named(array, nan)


def _texts(tensor: Tensor) -> npt.NDArray[Any]:
    array = np.empty(tensor.count, dtype=object)
    for index, element in enumerate(split_bytes(tensor.name, tensor.data, tensor.count)):
        try:
            array[index] = element.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(_binary_only(tensor, f"holds bytes that are no UTF-8 (element {index})")) from None
    return array.reshape(tensor.shape)


def _named(array: npt.NDArray[np.floating[Any]], nan: NanPolicy) -> npt.NDArray[Any]:
    named = array.reshape(-1).astype(object)
    for index in np.flatnonzero(~np.isfinite(array)):
        name = name_of(float(array.flat[index]))
        named[index] = name if nan is NanPolicy.STRING else msgspec.Raw(name)
    return named.reshape(array.shape)


def _binary_only(tensor: Tensor, why: str) -> str:
    return f"'{shown(tensor.name)}' {why}, which JSON cannot carry; use binary data (parameters.binary_data: true)"
