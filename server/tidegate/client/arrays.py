"""From what a caller has, an array or what numpy makes one of, to a tensor. Nothing changes its value unseen.

Without a datatype the array's own holds. With one, values are converted: a number that the datatype cannot hold is an
error, never wrapped or cut; only a float may be rounded, to a narrower float. bfloat16 is ml_dtypes' own, whose bytes
are taken as they are, or any float with the datatype BF16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, shown
from tidegate.protocol.tensors import Tensor


def tensor_of(name: str, value: npt.ArrayLike | Tensor, datatype: Datatype | None = None) -> Tensor:
    """The tensor of that name; a Tensor is taken as it is.

    Raises:
        InvalidTensor: it is ragged, has no datatype in the protocol, or does not fit the one that is asked for.
    """
    if isinstance(value, Tensor):
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidTensor(name, "its rows differ in length; expected an array") from error
    if array.dtype.name == "bfloat16":
        if datatype in (None, Datatype.BF16):
            bits = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            return Tensor(name, Datatype.BF16, array.shape, memoryview(bits.data))
        array = array.astype(np.float32)
    kind = datatype or _own(name, array)
    return Tensor.from_numpy(name, _texts(name, array) if kind is Datatype.BYTES else _numbers(name, array, kind), kind)


def _own(name: str, array: npt.NDArray[Any]) -> Datatype:
    try:
        return Datatype.of(array.dtype)
    except TypeError as error:
        raise InvalidTensor(name, f"{error}; expected numbers, bools, text or bytes") from error


def _texts(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind not in "OSU":
        raise InvalidTensor(name, f"is an array of {array.dtype}, BYTES takes text or bytes")
    odd = [item for item in array.reshape(-1) if not isinstance(item, str | bytes)] if array.dtype.kind == "O" else []
    if odd:
        raise InvalidTensor(name, f"holds {shown(repr(odd[0]))}, BYTES takes text or bytes")
    return array


def _numbers(name: str, array: npt.NDArray[Any], kind: Datatype) -> npt.NDArray[Any]:
    wanted = np.dtype(np.float32) if kind is Datatype.BF16 else kind.stored
    if array.dtype == wanted:
        return array
    given = array.dtype.kind
    if given not in "biuf" or (kind is Datatype.BOOL and given != "b"):
        raise InvalidTensor(name, f"is an array of {array.dtype}, which is no {kind.value}")
    if kind.is_integer:
        _check_whole(name, array, kind)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(wanted)
    if kind.is_float and array.size and (np.isinf(converted) & np.isfinite(array)).any():
        worst = array[np.isinf(converted) & np.isfinite(array)].flat[0]
        raise InvalidTensor(name, f"holds {worst}, which is too large for {kind.value}")
    return converted


def _check_whole(name: str, array: npt.NDArray[Any], kind: Datatype) -> None:
    if array.dtype.kind == "b" or not array.size:
        return
    bounds = np.iinfo(kind.value.lower())
    if array.dtype.kind == "f" and (broken := array != np.trunc(array)).any():  # NaN differs from itself
        raise InvalidTensor(name, f"holds {array[broken].flat[0]}, which is no {kind.value}")
    for worst in (array.min(), array.max()):
        # As Python's numbers, which are exact; an infinity is no integer.
        if not np.isfinite(worst) or not bounds.min <= int(worst) <= bounds.max:
            raise InvalidTensor(name, f"holds {worst}, {kind.value} holds {bounds.min} to {bounds.max}")
