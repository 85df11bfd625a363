"""The datatypes of the Open Inference Protocol and what they are in memory.

All fixed-size types are little-endian and row-major on the wire. BYTES is a sequence of elements, each a 4-byte
little-endian length and that many bytes. numpy has no bfloat16: BF16 travels as its two bytes and is widened to
float32 (exactly) for whoever computes with it, and rounded to nearest even on the way back.

Source: Open Inference Protocol, "Tensor Data Types", and Triton's binary tensor data extension.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt


class Datatype(StrEnum):
    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    # Set below, once per member, so that the hot path reads attributes and looks nothing up.
    itemsize: int
    """Bytes per element; 0 for BYTES, whose elements have no fixed size."""
    stored: np.dtype[np.generic]
    """numpy's type of the bytes as they travel; uint16 for BF16, object for BYTES."""

    raw_only: bool
    """FP16 and BF16 have no JSON form and no typed gRPC field: they travel as raw bytes alone."""
    is_float: bool
    is_integer: bool

    @classmethod
    def of(cls, dtype: npt.DTypeLike) -> Datatype:
        """The protocol's name of a numpy type: strings, bytes and objects are BYTES.

        Raises:
            TypeError: the type (complex, datetime, …) has no counterpart in the protocol.
        """
        resolved = np.dtype(dtype)
        if resolved.kind in "OSU":
            return cls.BYTES
        try:
            return _BY_NUMPY[resolved.newbyteorder("<").str]
        except KeyError:
            raise TypeError(f"numpy type {resolved} has no datatype in the protocol") from None


_STORED = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "BF16": "<u2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}

for _member in Datatype:
    _member.stored = np.dtype(_STORED[_member.value])
    _member.itemsize = 0 if _member is Datatype.BYTES else _member.stored.itemsize
    _member.raw_only = _member in (Datatype.FP16, Datatype.BF16)
    _member.is_float = _member is Datatype.BF16 or _member.stored.kind == "f"
    _member.is_integer = _member is not Datatype.BF16 and _member.stored.kind in "iu"

_BY_NUMPY = {
    member.stored.newbyteorder("<").str: member for member in Datatype if member not in (Datatype.BF16, Datatype.BYTES)
}


def widen_bf16(stored: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """bfloat16 bits to the float32 that they stand for, exactly: they are its upper half."""
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


def narrow_bf16(values: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """float32 to bfloat16 bits, rounded to nearest even; every NaN keeps its sign and stays a NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    # A NaN whose payload lies in the lower half would round to infinity, so the quiet bit is set instead.
    return np.where(nan, (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)
