"""Arrays to PyTorch's tensors and back, and names for what a model returns.

A read-only array becomes a tensor over the same memory through DLPack; ``torch.from_numpy`` and ``torch.frombuffer``
would warn that PyTorch knows no read-only tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype

TORCH_TYPES = {
    Datatype.BOOL: "bool",
    Datatype.UINT8: "uint8",
    Datatype.UINT16: "uint16",
    Datatype.UINT32: "uint32",
    Datatype.UINT64: "uint64",
    Datatype.INT8: "int8",
    Datatype.INT16: "int16",
    Datatype.INT32: "int32",
    Datatype.INT64: "int64",
    Datatype.FP16: "float16",
    Datatype.BF16: "bfloat16",
    Datatype.FP32: "float32",
    Datatype.FP64: "float64",
}
"""What PyTorch calls each datatype; BYTES has no tensor."""

_BY_TORCH = {f"torch.{name}": datatype for datatype, name in TORCH_TYPES.items()}

Array = npt.NDArray[Any]


def datatype_of(value: Any) -> Datatype | None:
    """The datatype of a tensor, or of a number; None where the protocol has none (complex, quantized, no tensor)."""
    if isinstance(value, (bool, int, float)):
        return Datatype.of(np.asarray(value).dtype)
    return _BY_TORCH.get(str(getattr(value, "dtype", None)))


def to_tensor(torch: Any, array: Array, datatype: Datatype, device: str) -> Any:
    """A tensor over the array's memory, which must not be written; a copy where the device or BF16 asks for one."""
    tensor = torch.from_dlpack(array)
    return tensor.to(device=device, dtype=torch.bfloat16 if datatype is Datatype.BF16 else None)


def to_array(value: Any) -> Array:
    """A tensor or a number as an array, over the same memory where it lies in the CPU's; BF16 as float32."""
    if isinstance(value, (bool, int, float)):
        return np.asarray(value)
    if str(value.dtype) == "torch.bfloat16":
        value = value.float()
    array: Array = value.numpy(force=True)
    return array


def named_values(answer: Any) -> dict[str, Any]:
    """The parts of what a model returned by name, in order; None is no part.

    A mapping's and a named tuple's parts have the names that they have there; others are counted: ``output_0``. What
    lies deeper is named by its path: ``hidden.0``.
    """
    return {_name(path): value for path, value in _leaves(answer, ())}


def _leaves(answer: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if answer is None:
        return
    parts: Iterator[tuple[str | int, Any]]
    if isinstance(answer, Mapping):
        parts = ((str(name), value) for name, value in answer.items())
    elif isinstance(answer, (tuple, list)):
        parts = zip(getattr(answer, "_fields", range(len(answer))), answer, strict=True)
    else:
        yield path, answer
        return
    for step, value in parts:
        yield from _leaves(value, (*path, step))


def _name(path: tuple[str | int, ...]) -> str:
    first, *further = path or (0,)
    return ".".join(map(str, (first if isinstance(first, str) else f"output_{first}", *further)))


def choose_names(wanted: Sequence[str], given: Sequence[str]) -> dict[str, str] | None:
    """Declared output names to those of the model's parts: by name where it has them all, else one by one in order.

    None where neither fits.
    """
    if set(wanted) <= set(given):
        return {name: name for name in wanted}
    if len(wanted) == len(given):
        return dict(zip(wanted, given, strict=True))
    return None
